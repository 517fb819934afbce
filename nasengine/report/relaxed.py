"""What a relaxed supernet has settled on: the probability of every option in the end, and how the choices settled.

Shapes:  E epochs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasengine.report.blocks import Block, Cell, Figure, Heading, Table
from nasengine.report.charts import axis
from nasengine.report.labels import option_text
from nasengine.report.records import Prepared
from nasengine.report.theme import SERIES
from nasengine.space import SearchSpace
from nasengine.wording import number

MOST_CHOICES, MOST_LINES = 200, 24


def relaxed_blocks(prepared: Prepared, space: SearchSpace, names: Mapping[str, str]) -> list[Block]:
    """The options of each choice and the history of the best; nothing for another preparation."""
    learned = [epoch for epoch in prepared.epochs if isinstance(epoch.get("probabilities"), Mapping)]
    if not learned:
        return []
    options = {decision.path: [option_text(option) for option in decision.options] for decision in space.decisions}
    last: Mapping[str, list[float]] = learned[-1]["probabilities"]
    shown = [path for path in options if path in last]
    rows: list[list[Cell]] = []
    for path in shown[:MOST_CHOICES]:
        order = sorted(range(len(last[path])), key=lambda option: -last[path][option])
        rest = ", ".join(f"{options[path][option]} {number(last[path][option])}" for option in order[1:6])
        rows.append([names.get(path, path), options[path][order[0]], float(last[path][order[0]]), rest])
    settled = sum(max(last[path]) > 0.5 for path in shown)
    head = ["choice", "most probable", "probability", "others"]
    blocks: list[Block] = [
        Heading("What the choices have settled on"),
        Table(head, rows, f"In {settled} of {len(shown)} choices one option is more probable than all others."),
    ]
    if len(learned) > 1:
        blocks.append(_by_epoch(learned, shown, names))
    return blocks


def _by_epoch(learned: list[Mapping[str, Any]], shown: list[str], names: Mapping[str, str]) -> Figure:
    """A line a choice: the probability of its best option after each epoch."""
    at = [epoch["epoch"] for epoch in learned]
    data: list[dict[str, Any]] = []
    for place, path in enumerate(shown[:MOST_LINES]):
        name = names.get(path, path)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": at,
                "y": [max(epoch["probabilities"][path]) for epoch in learned],
                "name": name,
                "line": {"color": f"@{SERIES[place % len(SERIES)]}", "width": 2},
                "hovertemplate": "%{y:.3f} after epoch %{x}<extra>" + name + "</extra>",
            }
        )
    more = f" The first {MOST_LINES} of {len(shown)} choices." if len(shown) > MOST_LINES else ""
    means = [
        sum(max(epoch["probabilities"][path]) for path in shown) / len(shown) for epoch in (learned[0], learned[-1])
    ]
    return Figure(
        data,
        {"xaxis": axis("epoch"), "yaxis": axis("probability of the best option")},
        f"How the choices settle: near 1 divided by the number of options nothing is decided, at 1 all is.{more}",
        f"The mean over the choices went from {number(means[0])} to {number(means[1])}.",
        340,
    )
