"""The page of a comparison in a real browser, headless: nothing in the console, nothing fetched, bands under lines."""

import pytest

pytest.importorskip("websocket", reason="needs websocket-client, in the extra `dev`")
pytest.importorskip("plotly", reason="needs plotly: pip install 'nasengine[report]'")

import nasengine as nas
from tests.report.browser import BINARY, Browser

pytestmark = pytest.mark.skipif(BINARY is None, reason="needs chromium, chromium-browser or google-chrome on the path")
HOVER = "[...document.querySelectorAll('.hoverlayer text')].map((text) => text.textContent).join(' ')"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    strategies = ["random_search", "regularized_evolution"]
    nas.compare(strategies, table="pooling36", objectives=["accuracy", "macs"], seeds=4, trials=20, out=folder)
    return folder / "compare.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_drawn_offline_at_both_widths(browser, page, width):
    browser.logged.clear()
    browser.requested.clear()
    browser.open(page, width=width)
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
    # Two figures, each with three traces for each of two strategies: the ends of a band, and the mean over it.
    browser.until("document.querySelectorAll('svg .scatterlayer .trace').length === 12")
    assert browser.evaluate("document.querySelectorAll('svg .scatterlayer .js-fill[d]').length") == 4
    assert browser.logged == []
    assert set(browser.requested) == {page.resolve().as_uri()}


def test_hovering_shows_the_mean_and_its_interval(browser, page):
    browser.open(page, width=1280)
    browser.until("document.querySelectorAll('svg .scatterlayer .trace').length === 12")
    x, y = browser.evaluate(
        "(() => { const plot = document.querySelector('.chart'); plot.scrollIntoView({block: 'center'});"
        "const box = plot.querySelector('.nsewdrag').getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    browser.point_at(x - 5, y)
    browser.point_at(x, y)
    shown = browser.until(HOVER)
    assert "regularized_evolution" in shown
    assert " to " in shown
