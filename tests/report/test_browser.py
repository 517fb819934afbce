"""The report in a real browser, headless: nothing in the console, nothing fetched, readable at both widths."""

import socket

import pytest

pytest.importorskip("websocket", reason="needs websocket-client, in the extra `dev`")
pytest.importorskip("plotly", reason="needs plotly: pip install 'nasengine[report]'")

from nasengine import load_space
from nasengine.search.reporting import report
from tests.report.browser import BINARY, Browser
from tests.report.prepared import mixture_of, write_prepared_run
from tests.report.written import separable, write_run

pytestmark = pytest.mark.skipif(BINARY is None, reason="needs chromium, chromium-browser or google-chrome on the path")
WIDE, PHONE = 1280, 390
HOVER = "[...document.querySelectorAll('.hoverlayer text')].map((text) => text.textContent).join(' ')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    def measure(number, architecture):
        done = separable(number, architecture)
        if number % 10 == 9:
            return "failed", {}, "RuntimeError: <img src=x onerror=console.error(1)>", {"traceback": "Traceback"}
        return done

    folder = tmp_path_factory.mktemp("run")
    return report(write_run(folder / "run", 80, measure, objectives="{accuracy: maximize, macs: minimize}"))


@pytest.fixture
def opened(browser, page):
    def open_at(width, *, dark=False):
        browser.logged.clear()
        browser.requested.clear()
        browser.open(page, width=width, dark=dark)
        return browser

    return open_at


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fetches_nothing_logs_nothing_and_is_no_wider_than_the_window(opened, page, width, dark):
    browser = opened(width, dark=dark)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
    figures = browser.evaluate("document.querySelectorAll('.chart').length")
    assert figures >= 5
    drawn = "[...document.querySelectorAll('.chart')].filter((chart) => chart.querySelector('svg .trace')).length"
    assert browser.evaluate(drawn) == figures
    assert browser.evaluate("document.querySelectorAll('svg.network .block').length") >= 4
    assert browser.logged == []
    assert set(browser.requested) == {page.resolve().as_uri()}


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_assignment_of_a_mixture_is_drawn_at_both_widths(browser, tmp_path, width):
    space = load_space("pooling_resnet20")
    browser.logged.clear()
    browser.open(report(write_prepared_run(tmp_path / "run", space, *mixture_of(space, 8))), width=width)
    assert browser.evaluate("document.querySelectorAll('.chart .heatmaplayer image').length") == 2
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
    assert browser.logged == []


def test_pointing_at_the_front_shows_the_architecture(opened):
    browser = opened(WIDE)
    place = browser.evaluate(
        "(() => { const plot = document.querySelector('#pareto-front .chart'); plot.scrollIntoView({block: 'center'});"
        "const points = plot.querySelectorAll('.scatterlayer .trace:last-child .point');"
        "const box = points[0].getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    browser.point_at(place[0] - 1, place[1])
    browser.point_at(*place)
    shown = browser.until(HOVER)
    assert "trial " in shown
    assert "layers.0.width" in shown
    assert "accuracy" in shown


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_charts_take_the_colours_of_the_theme(opened, dark):
    browser = opened(WIDE, dark=dark)
    ink = browser.evaluate("getComputedStyle(document.querySelector('.chart .xtick text')).fill")
    assert ink == browser.evaluate("getComputedStyle(document.body).color")


def test_long_things_scroll_in_their_own_box_on_a_phone(opened):
    browser = opened(PHONE)
    boxes = "[...document.querySelectorAll('.scroll, pre')]"
    assert browser.evaluate(f"{boxes}.every((box) => box.getBoundingClientRect().right <= innerWidth)")
    texts = "[...document.querySelectorAll('p, td, dd, figcaption')]"
    assert browser.evaluate(f"{texts}.every((text) => parseFloat(getComputedStyle(text).fontSize) >= 13)")


def test_everything_can_be_reached_by_its_heading_or_its_label(opened):
    browser = opened(WIDE)
    assert browser.evaluate("document.querySelectorAll('h1').length") == 1
    assert browser.evaluate("[...document.querySelectorAll('section')].every((s) => s.querySelector('h2'))")
    assert browser.evaluate("[...document.querySelectorAll('[role=img], [role=region]')].every((e) => e.ariaLabel)")
    assert browser.evaluate("[...document.querySelectorAll('th')].every((e) => e.scope)")
    ids = "[...document.querySelectorAll('[id]')].map((e) => e.id)"
    own = browser.evaluate(f"{ids}.filter((id) => document.querySelector(`main > [id='${{id}}']`))")
    assert len(own) == len(set(own))
    links = "[...document.querySelectorAll('nav a')].every((a) => document.querySelector(a.getAttribute('href')))"
    assert browser.evaluate(links)


def test_a_script_that_got_into_the_page_would_not_run(browser, page, tmp_path):
    text = page.read_text(encoding="utf-8").replace("</h1>", "</h1><script>window.ran = 1</script>", 1)
    changed = tmp_path / "changed.html"
    changed.write_text(text, encoding="utf-8")
    browser.open(changed, width=WIDE)
    assert browser.evaluate("window.ran === undefined")


def test_the_page_could_not_reach_a_server_if_it_tried(browser, page):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        browser.open(page, width=WIDE)
        tried = f"fetch('http://127.0.0.1:{port}/').then(() => 'reached', () => 'refused')"
        assert browser.evaluate(tried) == "refused"
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
