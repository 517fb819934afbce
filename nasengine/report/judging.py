"""Strategies judged side by side: how good is what each has found, after how many trials, and is the difference real?

The incumbent of a search is the architecture that it would hand over: the best by what the search itself measured of
the first objective (while nothing was measured under its whole budget, the best under the largest part of it). With a
table, the incumbent's *true* value is what counts (the test accuracy, where the table has one), and its regret: by how
much the best architecture of the table is truly better. Without a table (real runs) the measured value of the
incumbent is all there is.

Where candidates are measured under parts of a budget, the axis counts what was spent, in whole evaluations.

Shapes:  S seeds   T trials   N architectures of the table
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.objectives import Objective, losses
from nasengine.records import WHOLE, Trial
from nasengine.report.curves import (
    Array,
    bootstrap_interval,
    holm,
    hypervolume_curve,
    incumbent,
    mann_whitney,
    reached,
    superiority,
    together,
)

SHARES = (0.1, 0.01, 0.001)  # of a table's architectures: how long until the incumbent is among so few


@dataclass(frozen=True, slots=True)
class Searched:
    """One search.

    Args:
        strategy: its name; searches of the same name are told apart by their seeds only.
        seed: of the search.
        folder: of its run.
        trials: those that were told, in order.
    """

    strategy: str
    seed: int
    folder: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, eq=False)
class Known:
    """What a table knows of all architectures that could have been found.

    Args:
        name: of the table.
        rows: canonical key of an architecture -> its number.
        measured: objective -> (N,) losses as a search is told them.
        true: (N,) losses of the first objective that count.
        truth: what they are called.
        feasible: (N,) which architectures keep the constraints of the searches.
    """

    name: str
    rows: Mapping[str, int] = field(repr=False)
    measured: Mapping[str, Array] = field(repr=False)
    true: Array = field(repr=False)
    truth: str
    feasible: NDArray[np.bool_] = field(repr=False)

    @property
    def optimum(self) -> float:
        """The smallest true loss that a search could have found."""
        return float(self.true[self.feasible].min())


@dataclass(frozen=True)
class Curves:
    """One figure of merit of one strategy, after each trial.

    Args:
        values: S lists of T numbers.
        mean, low, high: T numbers each: over the seeds, and the 95 % bootstrap interval of the mean.
    """

    values: tuple[tuple[float | None, ...], ...] = field(repr=False)
    mean: tuple[float | None, ...] = field(repr=False)
    low: tuple[float | None, ...] = field(repr=False)
    high: tuple[float | None, ...] = field(repr=False)

    @property
    def final(self) -> tuple[float, ...]:
        """The last number of each seed that has one."""
        return tuple(curve[-1] for curve in self.values if curve and curve[-1] is not None)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the last numbers; one number says nothing of it."""
        return float(np.std(self.final, ddof=1)) if len(self.final) > 1 else None


@dataclass(frozen=True)
class Reach:
    """How soon a strategy comes to a target.

    Args:
        target: of the figure of merit; `share` of the table's architectures that are as good, None for a chosen target.
        seeds: in how many of the searches it was reached.
        trials: the median number of trials over all searches, one that never reached it being the last; None where
            that is half of them or more.
    """

    target: float
    share: float | None
    seeds: int
    trials: float | None


@dataclass(frozen=True)
class Judged:
    """A strategy over its seeds."""

    strategy: str
    seeds: tuple[int, ...]
    folders: tuple[str, ...]
    trials: int
    failed: int
    merit: Curves
    volume: Curves | None
    reach: tuple[Reach, ...]


@dataclass(frozen=True)
class Pair:
    """Two strategies compared by the last figure of each of their searches.

    Args:
        first, second: their names.
        difference: mean of the first less mean of the second.
        better: how often a search of the first beats one of the second, ties half.
        p: two-sided Mann-Whitney; `p_holm` the same, corrected for the number of pairs.
    """

    first: str
    second: str
    difference: float
    better: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    Args:
        space: name of the space; `table` of the table, None for real runs.
        objectives: name -> direction, the first being the one that incumbents are chosen by.
        merit: what is judged: "regret of test_accuracy" or "best accuracy".
        falling: whether a smaller merit is better.
        optimum: the true value of the table's best.
        reference: objective -> the value that the hypervolume is measured from; empty with one objective.
        strategies: best first.
        pairs: of the merit; `volume_pairs` of the hypervolume.
    """

    space: str
    table: str | None
    objectives: Mapping[str, str]
    merit: str
    falling: bool
    optimum: float | None
    reference: Mapping[str, float]
    strategies: tuple[Judged, ...]
    pairs: tuple[Pair, ...]
    volume_pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, the same for the same searches; curves are left out (they are in curves.csv)."""
        said = dict(json.loads(json.dumps(asdict(self))))  # lists for tuples, as whoever reads the file will find them
        for entry, judged in zip(said["strategies"], self.strategies, strict=True):
            entry["merit"] = _in_short(judged.merit)
            entry["volume"] = judged.volume and _in_short(judged.volume)
        return said


def judge(
    searches: Sequence[Searched],
    objectives: Sequence[Objective],
    space: str,
    known: Known | None = None,
    targets: Sequence[float] = (),
) -> Comparison:
    """Judge strategies by their searches.

    Args:
        searches: of one space, in the order of the strategies.
        objectives: incumbents are chosen by the first; with several, hypervolumes are compared too.
        space: its name.
        known: the table that measured them; None for real runs.
        targets: of the merit, instead of those made from the table.
    """
    first = objectives[0]
    worst, best = _scale(searches, objectives, known)
    shares = _targets(known) if known is not None and not targets else [(target, None) for target in targets]
    falling = known is not None or first.direction == "minimize"
    judged = []
    for name in dict.fromkeys(search.strategy for search in searches):
        own = [search for search in searches if search.strategy == name]
        merits = [_by_cost(_merit(search, first, known), search.trials) for search in own]
        volumes = [
            _by_cost(_volume(search, objectives, worst, best), search.trials) for search in own if len(objectives) > 1
        ]
        judged.append(
            Judged(
                name,
                tuple(search.seed for search in own),
                tuple(search.folder for search in own),
                trials=max((len(search.trials) for search in own), default=0),
                failed=sum(trial.status == "failed" for search in own for trial in search.trials),
                merit=_curves(merits),
                volume=_curves(volumes) if volumes else None,
                reach=tuple(_reach(merits, target, share, falling) for target, share in shares),
            )
        )
    judged.sort(key=lambda one: _order(one.merit, falling))
    volumes_by_name = {one.strategy: one.volume.final for one in judged if one.volume is not None}
    return Comparison(
        space=space,
        table=None if known is None else known.name,
        objectives={objective.name: objective.direction for objective in objectives},
        merit=f"best {first.name}" if known is None else f"regret of {known.truth}",
        falling=falling,
        optimum=None if known is None else _value(known.optimum, first),
        reference={item.name: _value(loss, item) for item, loss in zip(objectives, worst, strict=True)}
        if len(objectives) > 1
        else {},
        strategies=tuple(judged),
        pairs=_pairs({one.strategy: one.merit.final for one in judged}, falling),
        volume_pairs=_pairs(volumes_by_name, falling=False),
    )


def _merit(search: Searched, objective: Objective, known: Known | None) -> Array:
    """(T,) the regret, or the best value, after each trial."""
    places = incumbent([_rank(trial, objective) for trial in search.trials])
    if not len(places):
        return np.empty(0)
    if known is None:
        values = [trial.measurements.get(objective.name, np.nan) for trial in search.trials]
        return np.where(places < 0, np.nan, np.array(values, dtype=float)[places])
    rows = [known.rows.get(trial.architecture.key, -1) for trial in search.trials]  # failed ones may be in no row
    found = np.where(places < 0, known.true.max(), known.true[rows][places])
    return np.asarray(found - known.optimum, dtype=float)


def _rank(trial: Trial, objective: Objective) -> tuple[float, ...] | None:
    """The best comes first: what was measured whole by its loss, then what was stopped, largest part first."""
    if trial.completed:
        return (0.0, 0.0, objective.loss(trial.measurements))
    if trial.status == "stopped" and objective.name in trial.measurements:
        return (1.0, -_part(trial), objective.loss(trial.measurements))
    return None


def _volume(search: Searched, objectives: Sequence[Objective], worst: Sequence[float], best: Sequence[float]) -> Array:
    """(T,) the hypervolume after each trial, every objective scaled to 0 (best known) … 1 (worst known)."""
    width = [w - b if w > b else 1.0 for w, b in zip(worst, best, strict=True)]
    points = [
        tuple((loss - b) / s for loss, b, s in zip(losses(trial.measurements, objectives), best, width, strict=True))
        if trial.completed
        else None
        for trial in search.trials
    ]
    return hypervolume_curve(points, (1.0,) * len(objectives))


def _by_cost(curve: Array, trials: Sequence[Trial]) -> Array:
    """The curve after 1, 2, … whole evaluations, where trials cost a part of one; else the curve itself."""
    costs = [_cost(trial, trials) for trial in trials]
    if all(cost == 1.0 for cost in costs):
        return curve
    spent = np.cumsum(costs)
    whole = np.arange(1, int(np.ceil(spent[-1] - 1e-9)) + 1)
    return curve[np.maximum(np.searchsorted(spent, whole + 1e-9) - 1, 0)]


def _cost(trial: Trial, trials: Sequence[Trial]) -> float:
    """What measuring a trial took, as a part of a whole evaluation; what it resumes was paid before."""
    resumed = trial.candidate.resumes
    return _part(trial) - (0.0 if resumed is None else _part(trials[resumed]))


def _part(trial: Trial) -> float:
    """How large a part of a whole evaluation its budget is."""
    budget = trial.candidate.budget or {}
    unit = next((unit for unit in budget if WHOLE + unit in budget), None)
    return 1.0 if unit is None else budget[unit] / budget[WHOLE + unit]


def _scale(
    searches: Sequence[Searched], objectives: Sequence[Objective], known: Known | None
) -> tuple[list[float], list[float]]:
    """The worst and the best loss of each objective: of the table, or of everything that was measured."""
    worst, best = [], []
    for objective in objectives:
        if known is not None:
            found = known.measured[objective.name]
        else:
            found = np.array(
                [
                    objective.loss(trial.measurements)
                    for search in searches
                    for trial in search.trials
                    if trial.completed
                ]
                or [0.0]
            )
        worst.append(float(found.max()))
        best.append(float(found.min()))
    return worst, best


def _targets(known: Known) -> list[tuple[float, float | None]]:
    """The regrets of being among the best 10 %, 1 %, 0.1 % of a table, or its very best."""
    regrets = np.sort(known.true[known.feasible] - known.optimum)
    counts = [max(1, int(len(regrets) * share)) for share in SHARES]
    return [(float(regrets[count - 1]), count / len(regrets)) for count in dict.fromkeys(counts)]


def _reach(curves: Sequence[Array], target: float, share: float | None, falling: bool) -> Reach:
    sign = 1.0 if falling else -1.0
    found = [reached(sign * curve, sign * target + 1e-12) for curve in curves]
    trials = sorted(math.inf if number is None else float(number) for number in found)
    middle = (trials[(len(trials) - 1) // 2] + trials[len(trials) // 2]) / 2
    return Reach(target, share, sum(number is not None for number in found), middle if math.isfinite(middle) else None)


def _curves(curves: Sequence[Array]) -> Curves:
    values = together(curves)
    if not values.size:
        return Curves(tuple(() for _ in curves), (), (), ())
    low, high = bootstrap_interval(values)
    return Curves(tuple(map(_plain, values)), _plain(values.mean(axis=0)), _plain(low), _plain(high))


def _pairs(final: Mapping[str, Sequence[float]], falling: bool) -> tuple[Pair, ...]:
    usable = [name for name, values in final.items() if values]
    pairs = list(itertools.combinations(usable, 2))
    tests = [mann_whitney(final[first], final[second]) for first, second in pairs]
    found = []
    for (first, second), p, corrected in zip(pairs, tests, holm(tests), strict=True):
        less = superiority(final[first], final[second])
        difference = float(np.mean(final[first]) - np.mean(final[second]))
        found.append(Pair(first, second, difference, less if falling else 1 - less, p, corrected))
    return tuple(found)


def _order(curves: Curves, falling: bool) -> float:
    if not curves.final:
        return float("inf")
    mean = float(np.mean(curves.final))
    return mean if falling else -mean


def _value(loss: float, objective: Objective) -> float:
    return -loss if objective.direction == "maximize" else loss


def _plain(values: Array) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _in_short(curves: Curves) -> dict[str, Any]:
    last = [curve[-1] if curve else None for curve in (curves.mean, curves.low, curves.high)]
    return {
        "mean": last[0],
        "deviation": curves.deviation,
        "low": last[1],
        "high": last[2],
        "final": [curve[-1] if curve else None for curve in curves.values],
    }
