"""Make docs/images/nas_bench_201.png from benchmarks/results/nas_bench_201.json: regret and hypervolume against trials.

    python docs/make_regret_figure.py

Needs a Chromium on the path, websocket-client (in the extra `dev`) and plotly.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from docs.make_screenshots import IMAGES, WIDE, save  # noqa: E402 (the checkout's)
from nasengine.report.blocks import Figure, escaped  # noqa: E402
from nasengine.report.page import Page, Section  # noqa: E402
from nasengine.report.theme import SERIES  # noqa: E402
from tests.report.browser import Browser  # noqa: E402

RESULTS = REPOSITORY / "benchmarks" / "results" / "nas_bench_201.json"
REGRET = ("random_search", "regularized_evolution", "local_search", "nsga2, accuracy alone", "tpe")
VOLUME = ("random_search", "nsga2", "pymoo nsga2", "optuna nsga2", "tpe, two", "regularized_evolution, two")


def main() -> None:
    """Draw, and take the picture."""
    results = json.loads(RESULTS.read_text())
    searches = {entry["search"]: entry for entry in results["searches"]}
    page = Page(
        "NAS-Bench-201, CIFAR-10",
        [
            Section("One objective", [figure(searches, REGRET, "test_regret", "test regret, % of accuracy", "log")]),
            Section(
                "Accuracy and latency",
                [figure(searches, VOLUME, "hypervolume", "share of the table's hypervolume", "linear")],
            ),
        ],
        f"{results['seeds']} searches of each, {results['evaluations']} trials; bands are 95 % intervals of the mean.",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page.html(), encoding="utf-8")
        with Browser(Path(folder)) as browser:
            browser.open(path, width=WIDE)
            end = browser.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
            save(browser.picture(whole=True), 0, end, IMAGES / "nas_bench_201.png")


def figure(searches: Mapping[str, Any], names: Sequence[str], key: str, title: str, scale: str) -> Figure:
    """Mean curves with their bands."""
    traces: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        curve, colour = searches[name][key], f"@{SERIES[place % len(SERIES)]}"
        shared = {
            "type": "scatter",
            "mode": "lines",
            "x": curve["evaluations"],
            "name": escaped(name.removesuffix(", two")),
        }
        edge = {**shared, "line": {"width": 0}, "showlegend": False}
        traces += [
            {**edge, "y": curve["low"]},
            {**edge, "y": curve["high"], "fill": "tonexty", "fillcolor": f"{colour}/0.15"},
            {**shared, "y": curve["mean"], "line": {"color": colour, "width": 2}},
        ]
    ticks = {"tickvals": [0.1, 0.2, 0.5, 1, 2]} if scale == "log" else {}
    layout = {"xaxis": {"title": {"text": "trials"}}, "yaxis": {"title": {"text": title}, "type": scale, **ticks}}
    ends = "; ".join(f"{name.removesuffix(', two')} {searches[name][key]['mean'][-1]:.3f}" for name in names)
    return Figure(traces, layout, f"At the end: {ends}.", title)


if __name__ == "__main__":
    main()
