"""What the charts of a report share: axes, the words of a point, and thinning where there are too many points."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.objectives import Objective
from nasengine.records import Trial
from nasengine.report.blocks import escaped
from nasengine.report.labels import in_lines
from nasengine.wording import number

MOST_POINTS = 2_000
DIRECTIONS = {"maximize": "higher is better", "minimize": "lower is better"}


def axis(title: str, values: Sequence[float] = ()) -> dict[str, Any]:
    """An axis; logarithmic where values differ by much more than a factor of ten."""
    found: dict[str, Any] = {"title": {"text": escaped(title)}}
    positive = len(values) > 0 and min(values) > 0
    if positive and max(values) / min(values) > 30:
        found |= {"type": "log", "dtick": 1 if max(values) / min(values) > 1000 else "D2"}
    return found


def objective_axis(objective: Objective, values: Sequence[float] = ()) -> dict[str, Any]:
    """The axis of an objective, with the direction in its title."""
    return axis(f"{objective.name} ({DIRECTIONS[objective.direction]})", values)


def hover(trial: Trial, shown: Sequence[str], names: Mapping[str, str] | None) -> str:
    """The words of a trial: its number, what was measured, and its architecture (unless `names` is None)."""
    values = ", ".join(f"{name} {number(trial.measurements[name])}" for name in shown if name in trial.measurements)
    status = "" if trial.completed else f", {trial.status}"
    return f"<b>trial {trial.number}{status}</b><br>{escaped(values)}" + (
        "" if names is None else f"<br>{in_lines(trial.architecture, names)}"
    )


def thinned(count: int, keep: Collection[int] = (), most: int = MOST_POINTS) -> NDArray[np.intp]:
    """Which of `count` points are drawn: all, or every so many-th and those to keep."""
    if count <= most:
        return np.arange(count)
    even = np.linspace(0, count - 1, most).round().astype(np.intp)
    return np.union1d(even, np.fromiter(keep, dtype=np.intp, count=len(keep)))


def thinned_note(shown: int, count: int) -> str:
    """A sentence on points left out; empty where there are none."""
    return "" if shown >= count else f" {shown:,} of {count:,} points are drawn, the best and evenly spaced others."


def points_of(trials: Sequence[Trial], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """(N, d) losses of the trials, smaller is better."""
    signs = [-1.0 if objective.direction == "maximize" else 1.0 for objective in objectives]
    names = [objective.name for objective in objectives]
    rows = [[trial.measurements[name] for name in names] for trial in trials]
    return np.array(rows, dtype=float).reshape(len(trials), len(names)) * signs


def non_dominated(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indexes of the rows of (N, d) losses that no other row dominates, the first of equal ones, by first loss."""
    left = np.lexsort(points.T[::-1])
    front = []
    while len(left):
        first, left = left[0], left[1:]
        front.append(first)
        left = left[~(points[left] >= points[first]).all(axis=1)]
    return np.array(front, dtype=np.intp)
