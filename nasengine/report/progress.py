"""The section of progress: every trial and the best so far, the hypervolume, and learning curves of the best few."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.objectives import Objective, hypervolume
from nasengine.records import Trial
from nasengine.report.blocks import Block, Figure, escaped
from nasengine.report.charts import axis, hover, non_dominated, objective_axis, points_of, thinned, thinned_note
from nasengine.report.records import Searched, Trained
from nasengine.report.theme import SERIES
from nasengine.wording import number

MOST_OBJECTIVES, MOST_CURVES = 3, 5
CHECKPOINTS = {2: 200, 3: 40}  # objectives -> points at which the hypervolume is found; it is costly with three
LARGEST_FRONT = 120  # with three objectives


def progress_blocks(search: Searched, objectives: Sequence[Objective], names: Mapping[str, str] | None) -> list[Block]:
    """A figure for each objective, one for the hypervolume, one over wall time.

    Args:
        names: of the choices, to show architectures by; None: another figure shows them.
    """
    completed = [trial for trial in search.trials if trial.completed]
    if not completed:
        return []
    blocks: list[Block] = [_trials(search, completed, objective, names) for objective in objectives[:MOST_OBJECTIVES]]
    if len(objectives) > 1:
        blocks += _hypervolume(completed, objectives)
    return [*blocks, *_over_time(search, completed, objectives[0])]


def best_so_far(values: NDArray[np.float64], objective: Objective) -> NDArray[np.float64]:
    """The running best."""
    best: NDArray[np.float64] = (np.maximum if objective.direction == "maximize" else np.minimum).accumulate(values)
    return best


def _trials(
    search: Searched, completed: Sequence[Trial], objective: Objective, names: Mapping[str, str] | None
) -> Figure:
    values = np.array([trial.measurements[objective.name] for trial in completed])
    best = best_so_far(values, objective)
    steps = np.flatnonzero(np.diff(best, prepend=np.nan) != 0)
    drawn = thinned(len(completed), steps.tolist())
    data: list[dict[str, Any]] = []
    stopped = [trial for trial in search.trials if trial.status == "stopped" and objective.name in trial.measurements]
    if stopped:
        chosen = [stopped[i] for i in thinned(len(stopped), most=1000)]
        look = {"color": "@quiet/0.6", "size": 5, "symbol": "circle-open"}
        data.append(_points(chosen, objective, names, "stopped", look))
    chosen = [completed[i] for i in drawn]
    data.append(_points(chosen, objective, names, "trial", {"color": "@series-1/0.45", "size": 6}))
    last = completed[-1].number
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*(completed[int(i)].number for i in steps), last],
            "y": [*best[steps], best[-1]],
            "name": "best so far",
            "line": {"color": "@series-2", "width": 2, "shape": "hv"},
            "hovertemplate": "best so far %{y:.4g}<extra></extra>",
        }
    )
    at = completed[int(steps[-1])].number
    return Figure(
        data,
        {"xaxis": axis("trial") | ({"dtick": 1} if last < 10 else {}), "yaxis": objective_axis(objective)},
        f"Every completed trial by {objective.name}, and the best so far." + thinned_note(len(drawn), len(completed)),
        f"{objective.name} against trial number: the best, {number(best[-1])}, was found at trial {at}; the first "
        f"trial had {number(values[0])}, the median is {number(float(np.median(values)))}.",
        360,
    )


def _points(
    trials: Sequence[Trial], objective: Objective, names: Mapping[str, str] | None, name: str, marker: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [trial.number for trial in trials],
        "y": [trial.measurements[objective.name] for trial in trials],
        "text": [hover(trial, [objective.name], names) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "name": name,
        "marker": marker,
    }


def _over_time(search: Searched, completed: Sequence[Trial], objective: Objective) -> list[Block]:
    """The best so far against wall time, in the order in which trials ended."""
    timed = [(search.ended_s[trial.number], trial) for trial in completed if trial.number in search.ended_s]
    timed.sort(key=lambda pair: (pair[0], pair[1].number))
    if len(timed) < 2:
        return []
    hours = timed[-1][0] > 2 * 3600
    unit, seconds = ("hours", 3600.0) if hours else ("minutes", 60.0) if timed[-1][0] > 180 else ("seconds", 1.0)
    best = best_so_far(np.array([trial.measurements[objective.name] for _, trial in timed]), objective)
    steps = np.flatnonzero(np.diff(best, prepend=np.nan) != 0)
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [*(timed[i][0] / seconds for i in steps), timed[-1][0] / seconds],
        "y": [*best[steps], best[-1]],
        "text": [*(f"trial {timed[i][1].number}" for i in steps), "last trial"],
        "hovertemplate": "%{text}: %{y:.4g} after %{x:.3g} " + unit + "<extra></extra>",
        "name": "best so far",
        "line": {"color": "@series-2", "width": 2, "shape": "hv"},
        "marker": {"size": 5},
    }
    return [
        Figure(
            [line],
            {"xaxis": axis(f"wall time ({unit})"), "yaxis": objective_axis(objective)},
            f"The best {objective.name} against the wall time of the search, all its resumptions together.",
            f"The best {objective.name} reached {number(best[-1])} after "
            f"{number(timed[int(steps[-1])][0] / seconds)} of {number(timed[-1][0] / seconds)} {unit}.",
            300,
        )
    ]


def _hypervolume(completed: Sequence[Trial], objectives: Sequence[Objective]) -> list[Block]:
    """How much of the box between the worst and the best values the front dominates, trial by trial."""
    points = points_of(completed, objectives)
    spread = np.ptp(points, axis=0)
    if len(objectives) not in CHECKPOINTS or len(completed) < 2 or not (spread > 0).all():
        return []
    points = (points - points.min(0)) / spread
    at = np.unique(np.linspace(1, len(points), min(len(points), CHECKPOINTS[len(objectives)])).round().astype(int))
    front, before, volumes = points[:0], 0, []
    for end in at:
        front = np.concatenate([front, points[before:end]])
        front, before = front[non_dominated(front)], end
        if len(objectives) > 2 and len(front) > LARGEST_FRONT:
            return []
        volumes.append(hypervolume(front.tolist(), [1.0] * len(objectives)))
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [completed[i - 1].number for i in at],
        "y": volumes,
        "line": {"color": "@series-2", "width": 2, "shape": "hv"},
        "hovertemplate": "%{y:.3f} at trial %{x}<extra></extra>",
        "showlegend": False,
    }
    half = int(at[next(i for i, volume in enumerate(volumes) if volume >= volumes[-1] / 2)])
    return [
        Figure(
            [line],
            {"xaxis": axis("trial"), "yaxis": {**axis("hypervolume"), "rangemode": "tozero"}},
            "Hypervolume of the front: the share that it dominates of the box between the worst and the best value "
            "of each objective in this search.",
            f"The hypervolume rises to {number(volumes[-1])}; half of that was reached by trial {half}.",
            300,
        )
    ]


def curve_blocks(searches: Sequence[Searched], trained: Sequence[Trained]) -> list[Block]:
    """Training losses of the best trials, and of what was retrained."""
    blocks: list[Block] = []
    for search in searches:
        curves = [
            (f"trial {trial.number}", search.details.get(trial.number, {}).get("curve") or ())
            for trial in search.ranked[:MOST_CURVES]
        ]
        blocks += loss_blocks(curves, f"the best trials of {search.name}")
    for phase, group in itertools.groupby(trained, key=lambda record: record.phase):
        curves = [(record.label, curve) for record in group for curve in record.curves[:1]]
        blocks += loss_blocks(curves[:MOST_CURVES], f"the trainings of {phase}, first seeds")
    return blocks


def loss_blocks(curves: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], of_what: str) -> list[Block]:
    """A figure of training losses: (name, records of epochs); nothing where no curve has two points."""
    usable = [(name, [point for point in curve if "epoch" in point and "loss" in point]) for name, curve in curves]
    usable = [(name, curve) for name, curve in usable if len(curve) > 1]
    if not usable:
        return []
    longest = max(len(curve) for _, curve in usable)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [point["epoch"] for point in curve],
            "y": [point["loss"] for point in curve],
            "name": escaped(name),
            "line": {"color": f"@{SERIES[number % len(SERIES)]}", "width": 1.5},
            "hovertemplate": "%{y:.4g} after epoch %{x}<extra>%{fullData.name}</extra>",
        }
        for number, (name, curve) in enumerate(usable)
    ]
    return [
        Figure(
            data,
            {"xaxis": axis("epoch") | ({"dtick": 1} if longest <= 10 else {}), "yaxis": axis("training loss")},
            f"Training loss of {of_what}, as optimised.",
            "Training loss at the last epoch: "
            + "; ".join(f"{name} {number(float(curve[-1]['loss']))}" for name, curve in usable),
            300,
        )
    ]
