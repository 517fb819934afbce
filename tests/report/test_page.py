import importlib
import json
import re

import numpy as np
import pytest

from nasengine.errors import InputError
from nasengine.report import Code, Details, Facts, Figure, Mark, Page, Section, Table, Text
from nasengine.report.blocks import escaped, json_in_html
from nasengine.report.theme import DARK, LIGHT, SERIES, contrast

HOSTILE = '</script><script>alert("1")</script><img src=x onerror=alert(2)>'


def page_of(*blocks, title="title", lead=""):
    return Page(title, [Section("Part", blocks)], lead).html()


def test_text_from_a_run_is_never_markup():
    blocks = [
        Text(HOSTILE),
        Code(HOSTILE),
        Facts([(HOSTILE, HOSTILE)]),
        Table([HOSTILE], [[HOSTILE], [Mark(HOSTILE, "changed")]], HOSTILE),
        Details(HOSTILE, [Text(HOSTILE)]),
        Figure([{"type": "scatter", "text": [HOSTILE], "name": HOSTILE}], {}, HOSTILE, HOSTILE),
    ]
    text = Page(HOSTILE, [Section(HOSTILE, blocks, HOSTILE)], HOSTILE).html()
    own = text.split("<script>/**\n* plotly.js")[0]
    assert "<img" not in own
    assert "<script>alert" not in own
    assert own.count("<script") == own.count("</script") == 1  # the figure's data


def test_the_data_of_a_figure_survive_escaping():
    value = {"text": [HOSTILE, "a\u2028b", "×"], "y": [1.5, 2]}
    written = json_in_html(value)
    assert "<" not in written
    assert "\u2028" not in written
    assert json.loads(written) == value


def test_figures_take_arrays_and_leave_out_what_is_no_number():
    value = {"y": np.array([1.0, np.nan, 1 / 3]), "n": np.int64(3), "z": float("inf")}
    assert json.loads(json_in_html(value)) == {"y": [1, None, 0.333333], "n": 3, "z": None}


def test_a_page_names_nothing_that_a_browser_would_fetch():
    text = page_of(Text("a"), title="t")
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:,")[^"']*""", text)
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


def test_a_page_without_figures_carries_no_plotly():
    assert len(page_of(Text("a"))) < 20_000


def test_plotly_is_inlined_once_however_many_figures_there_are():
    figure = Figure([{"type": "scatter", "y": [1, 2]}], {}, "c", "a")
    text = page_of(figure, figure)
    assert text.count("* plotly.js v") == 1
    assert text.count('class="chart"') == 2


def test_the_same_blocks_give_the_same_bytes():
    def make():
        return page_of(Table(["a", "b"], [[1, 2.5], ["x", None]], "c"), Figure([{"y": [1]}], {}, "c", "a"))

    assert make() == make()


def test_columns_of_numbers_are_aligned_right_and_others_left():
    text = Table(["rank", "name", "value"], [[1, "x", 0.5], [2, "y", None]]).html()
    assert text.count('class="right"') == 6  # two columns, a head and two rows each
    assert '<th scope="col">name</th>' in text
    assert "<td>x</td>" in text


def test_whole_amounts_have_their_thousands_marked_whatever_their_type():
    text = Table(["name", "amount"], [["a", 5600.0], ["b", 24800], ["c", 0.25]]).html()
    assert "5,600" in text
    assert "24,800" in text
    assert "0.25" in text


def test_a_figure_says_in_words_what_it_shows():
    text = Figure([], {}, "A caption.", "Accuracy rises.").html()
    assert 'role="img"' in text
    assert 'aria-label="Accuracy rises."' in text
    assert "<figcaption>A caption." in text


def test_control_characters_do_not_reach_the_page():
    assert escaped("a\x00b\x1b[31m\nc") == "a b [31m\nc"


def test_without_plotly_a_figure_is_an_error_that_says_what_to_install(monkeypatch):
    real = importlib.import_module

    def refuse(name, *rest):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(InputError, match=r"nasengine\[report\]"):
        page_of(Figure([], {}, "c", "a"))
    assert "<p>a</p>" in page_of(Text("a"))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_their_ground(theme):
    for ground in ("paper", "panel"):
        assert contrast(theme["ink"], theme[ground]) >= 7  # WCAG 2.2, 1.4.6
        assert contrast(theme["quiet"], theme[ground]) >= 4.5  # 1.4.3
        for series in SERIES:
            assert contrast(theme[series], theme[ground]) >= 3  # 1.4.11
    assert contrast(theme["ink"], theme["marked"]) >= 7
    assert contrast(theme["series-1"], theme["paper"]) >= 4.5  # links


def test_black_and_white_contrast_as_the_standard_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_both_themes_name_the_same_colours():
    assert list(LIGHT) == list(DARK)
