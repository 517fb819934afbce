"""The section of trade-offs: every trial by two objectives, or by an objective and a cost, and the front among them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from nasengine.costs import COSTS
from nasengine.objectives import Direction, Objective
from nasengine.records import Trial
from nasengine.report.blocks import Block, Figure, escaped
from nasengine.report.charts import axis, hover, non_dominated, objective_axis, points_of, thinned, thinned_note
from nasengine.report.records import Searched
from nasengine.wording import number, plural

MOST_PAIRS = 3
COST_ORDER = ("macs", "params", "size_bytes", "bitops", "peak_activation_bytes")


def front_blocks(
    search: Searched,
    objectives: Sequence[Objective],
    names: Mapping[str, str],
    known: Mapping[str, Mapping[str, float]],
) -> list[Block]:
    """A figure for each pair of objectives; with one objective, for it and a cost that was measured along."""
    completed = [trial for trial in search.trials if trial.completed]
    if not completed:
        return []
    pairs = list(itertools.combinations(objectives, 2))
    if len(pairs) > MOST_PAIRS:
        pairs = [(objectives[0], other) for other in objectives[1 : MOST_PAIRS + 1]]
    if not pairs:
        cost = next((name for name in COST_ORDER if all(name in trial.measurements for trial in completed)), None)
        if cost is None:
            return []
        pairs = [(objectives[0], Objective(cost, COSTS[cost].direction))]
        objectives = (*objectives, pairs[0][1])
    front = [completed[i] for i in non_dominated(points_of(completed, objectives))]
    return [_figure(search, completed, front, pair, objectives, names, known) for pair in pairs]


def _figure(
    search: Searched,
    completed: Sequence[Trial],
    front: Sequence[Trial],
    pair: tuple[Objective, Objective],
    objectives: Sequence[Objective],
    names: Mapping[str, str],
    known: Mapping[str, Mapping[str, float]],
) -> Figure:
    up, across = pair
    shown = list(dict.fromkeys([*(objective.name for objective in objectives), *_costs(completed)]))
    chosen = [completed[i] for i in thinned(len(completed))]
    others = [
        trial
        for trial in search.trials
        if trial.status in ("infeasible", "stopped")
        and up.name in trial.measurements
        and across.name in trial.measurements
    ]
    others = [others[i] for i in thinned(len(others), most=500)]

    def trace(trials: Sequence[Trial], name: str, marker: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "markers",
            "x": [trial.measurements[across.name] for trial in trials],
            "y": [trial.measurements[up.name] for trial in trials],
            "text": [hover(trial, shown, names) for trial in trials],
            "hovertemplate": "%{text}<extra></extra>",
            "name": name,
            "marker": marker,
            **more,
        }

    data = [trace(chosen, "completed", {"color": "@series-1/0.45", "size": 6})]
    for status, symbol in (("infeasible", "x-thin"), ("stopped", "circle-open")):
        members = [trial for trial in others if trial.status == status]
        if members:
            look = {"color": "@quiet/0.7", "size": 6, "symbol": symbol, "line": {"color": "@quiet/0.7", "width": 1}}
            data.insert(0, trace(members, status, look))
    if len(objectives) == 2:
        data.append(_stairs(front, up, across))
    best = {"color": "@series-2", "size": 8, "line": {"color": "@paper", "width": 1}}
    data.append(trace(front, "Pareto front", best))
    data += _baselines(known, up, across)
    values = [trial.measurements[across.name] for trial in completed]
    layout: dict[str, Any] = {"xaxis": objective_axis(across, values), "yaxis": objective_axis(up)}
    if any("yaxis" in trace for trace in data):
        layout["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    if COSTS.get(across.name) is not None and len(objectives) == 2:
        layout["xaxis"] = axis(f"{across.name} ({COSTS[across.name].unit})", values)
    what = f"{up.name} against {across.name}"
    return Figure(
        data,
        layout,
        f"{what[0].upper()}{what[1:]} of every completed trial; orange: the {len(front)} that no other beats in "
        f"{'both' if len(objectives) == 2 else 'all objectives'}. Point at one to see its architecture."
        + thinned_note(len(chosen), len(completed)),
        f"Scatter plot of {what} for {plural(len(completed), 'trial')}. On the front: "
        + "; ".join(
            f"trial {trial.number} with {up.name} {number(trial.measurements[up.name])}, "
            f"{across.name} {number(trial.measurements[across.name])}"
            for trial in front[:12]
        ),
        460,
    )


def _costs(completed: Sequence[Trial]) -> list[str]:
    return [name for name in ("params", "macs") if all(name in trial.measurements for trial in completed)]


def _stairs(front: Sequence[Trial], up: Objective, across: Objective) -> dict[str, Any]:
    """The border of what the front dominates."""
    points = sorted((trial.measurements[across.name], trial.measurements[up.name]) for trial in front)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        # With less to spend one has the best of what costs less: the step is taken at the dearer point.
        "line": {"color": "@series-2", "width": 1.5, "shape": "hv" if _cheap_left(across.direction) else "vh"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _cheap_left(direction: Direction) -> bool:
    return direction == "minimize"


def _baselines(known: Mapping[str, Mapping[str, float]], up: Objective, across: Objective) -> list[dict[str, Any]]:
    """Stars for the named architectures of the space that were measured; marks on the axis for those only priced."""
    measured = {name: values for name, values in known.items() if up.name in values and across.name in values}
    priced = {name: values for name, values in known.items() if name not in measured and across.name in values}
    traces: list[dict[str, Any]] = []
    if measured:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [values[across.name] for values in measured.values()],
                "y": [values[up.name] for values in measured.values()],
                "text": [escaped(name) for name in measured],
                "textposition": "top center",
                "name": "known",
                "hovertemplate": "known: %{text}<extra></extra>",
                "marker": {"symbol": "star", "size": 13, "color": "@series-3", "line": {"color": "@paper", "width": 1}},
            }
        )
    if priced:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [values[across.name] for values in priced.values()],
                "y": [0.02] * len(priced),
                "yaxis": "y2",
                "text": [
                    f"known: {escaped(name)}, {escaped(across.name)} {number(values[across.name])}; not measured here"
                    for name, values in priced.items()
                ],
                "name": "known, only priced",
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"symbol": "star-open", "size": 11, "color": "@series-3"},
            }
        )
    return traces
