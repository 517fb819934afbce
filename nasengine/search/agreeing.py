"""One ranking held against a table: what a search thought of architectures beside what they are truly worth.

Only architectures that are in both are compared. The same is done with the ranking that costs nothing, by MACs alone,
on the same architectures and the same bootstrap samples: a search that does not beat it has learnt nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nasengine.agreement import Agreement, Bootstrap, Estimate, Scores, agreement, difference
from nasengine.costs.pricing import Pricer
from nasengine.errors import BuildError, InputError, Problem, nearest, one_of
from nasengine.evaluators.tabular import Tabulated
from nasengine.objectives import Constraint, Direction, Objective
from nasengine.records import Architecture
from nasengine.search.needs import has_networks
from nasengine.space import SearchSpace

MACS = "macs"
DIRECT = 300  # at most so many architectures are priced one by one, which takes 15 ms each


@dataclass(frozen=True, eq=False)
class Truth:
    """What a table says the architectures of a space are worth.

    Args:
        space: that they are of.
        table: its name.
        name: of the measurement; `direction` which way is better.
        values: canonical key of an architecture -> its truth.
        measured: measurement -> canonical key -> value: what bounds may be on.
        caution: why its values are not what networks reach that are trained alone; empty where nothing says so.
    """

    space: SearchSpace = field(repr=False)
    table: str
    name: str
    direction: Direction
    values: Mapping[str, float] = field(repr=False)
    measured: Mapping[str, Mapping[str, float]] = field(repr=False)
    caution: str = ""

    @property
    def sign(self) -> int:
        """What makes a larger truth the better one."""
        return 1 if self.direction == "maximize" else -1

    def best_within(self, bounds: Sequence[Constraint]) -> float | None:
        """The best truth of those that keep all bounds; None where the table does not measure what is bounded."""
        if any(bound.name not in self.measured for bound in bounds):
            return None
        kept = [
            self.sign * value
            for key, value in self.values.items()
            if not any(bound.breach({bound.name: self.measured[bound.name][key]}) for bound in bounds)
        ]
        return self.sign * max(kept) if kept else None


@dataclass(frozen=True)
class Winner:
    """The first of a ranking: what was thought of it, what it is worth, and how many were thought as good."""

    architecture: Architecture
    predicted: float
    truth: float
    equals: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_json(),
            "predicted": self.predicted,
            "truth": self.truth,
            "equals": self.equals,
        }


@dataclass(frozen=True)
class Ranking:
    """A ranking and how far it agrees with the truth.

    Args:
        name: the folder of its run, or what was made of several.
        seed: of its run.
        ranked: how many architectures it ranks; `shared` so many of them are in the table.
        best: the truth of the best that could have been found: of the table, within the bounds of the search.
        winner: the first of those shared.
        agreement: with the truth, top figures in its own direction.
        macs: the same of the ranking by MACs alone, more being better; None where they cannot be counted.
        ahead: tau-b less that of MACs alone.
    """

    name: str
    seed: int | None
    ranked: int
    shared: int
    best: float
    winner: Winner
    agreement: Agreement
    macs: Agreement | None
    ahead: Estimate | None

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.name,
            "seed": self.seed,
            "ranked": self.ranked,
            "shared": self.shared,
            "best": self.best,
            "winner": self.winner.to_json(),
            **self.agreement.to_json(),
            "macs": self.macs and self.macs.to_json(),
            "ahead_of_macs": self.ahead and self.ahead.to_json(),
        }


def truth_of(space: SearchSpace, table: Tabulated, objective: Objective, name: str | None) -> Truth:
    """What a table says is true of what a search was about.

    Args:
        space: of both.
        table: loaded.
        objective: what the search measured.
        name: of the measurement that is true; None: of the one called as the objective, what the table says is its
            truth.

    Raises:
        InputError: the table has no such measurement.
    """
    known = {**table.description.measurements, **table.description.report}
    wanted = objective.name if name is None else name
    if wanted not in known or (name is None and wanted not in table.values):
        names = table.values if name is None else known
        hint = "" if name is not None else "; another name is given by --truth"
        expected = f"expected {one_of(names)}{nearest(wanted, names)}{hint}"
        found = f"the table {table.description.name} does not measure {wanted!r}"
        raise InputError(Problem(found, expected=expected))
    if name is None:
        column, wanted = table.truth(wanted), known[wanted].truth or wanted
    else:
        of_name = table.values[name] if name in table.values else table.report[name]
        column = of_name[max(of_name)]
    keys = [architecture.key for architecture in table.architectures]
    measured = {name: dict(zip(keys, columns[max(columns)], strict=True)) for name, columns in table.values.items()}
    values = dict(zip(keys, column, strict=True))
    return Truth(space, table.description.name, wanted, known[wanted].direction, values, measured)


def agree(
    predicted: Mapping[Architecture, float],
    truth: Truth,
    *,
    name: str,
    direction: Direction,
    seed: int | None = None,
    bounds: Sequence[Constraint] = (),
    macs: Mapping[Architecture, float] | None = None,
    network: Mapping[str, Any] | None = None,
    samples: int,
    bootstrap_seed: int,
) -> Ranking:
    """Hold a ranking against the truth.

    Args:
        predicted: architecture -> what was thought of it.
        truth: what they are worth.
        name: of the ranking.
        direction: which way is better in `predicted`.
        seed: of the run that it comes from.
        bounds: of the search: the best that could have been found keeps them.
        macs: of every architecture, if the run has counted them; otherwise they are the table's, or counted.
        network: arguments of the network that the run has changed, for counting.
        samples, bootstrap_seed: of the intervals.

    Raises:
        InputError: fewer than two of them are in the table.
    """
    shared = [architecture for architecture in predicted if architecture.key in truth.values]
    if len(shared) < 2:
        found = f"{len(shared)} of the {len(predicted)} architectures that {name} ranks are in the table {truth.table}"
        raise InputError(Problem(found, expected="expected at least 2: a ranking of fewer agrees with everything"))
    scores = np.array([predicted[one] for one in shared]) * (1 if direction == "maximize" else -1)
    true = truth.sign * np.array([truth.values[one.key] for one in shared])
    draws = Bootstrap(len(shared), samples=samples, seed=bootstrap_seed)
    within = truth.best_within(bounds)
    best = float(true.max()) if within is None else truth.sign * within
    first = int(np.argmax(scores))
    costs = _macs(shared, truth, macs, network)
    return Ranking(
        name=name,
        seed=seed,
        ranked=len(predicted),
        shared=len(shared),
        best=truth.sign * best,
        winner=Winner(
            shared[first],
            predicted[shared[first]],
            truth.values[shared[first].key],
            int((scores == scores[first]).sum()),
        ),
        agreement=_in_direction(agreement(scores, true, best=best, draws=draws), truth.sign),
        macs=None if costs is None else _in_direction(agreement(costs, true, best=best, draws=draws), truth.sign),
        ahead=None if costs is None else difference(scores, costs, true, draws),
    )


def _macs(
    shared: Sequence[Architecture],
    truth: Truth,
    counted: Mapping[Architecture, float] | None,
    network: Mapping[str, Any] | None,
) -> Scores | None:
    """MACs of each architecture; None where no network can be built to count them."""
    known = truth.measured.get(MACS)
    if known is not None:
        return np.array([known[one.key] for one in shared], dtype=float)
    if counted is not None:
        return np.array([counted[one] for one in shared], dtype=float)
    if not has_networks(truth.space):
        return None
    pricer = Pricer(truth.space, network=network, compile_after=DIRECT)
    try:
        return pricer.price_encoded(truth.space.encode_many(shared), [MACS])[MACS].astype(float)
    except BuildError:
        return None


def _in_direction(found: Agreement, sign: int) -> Agreement:
    """Best truths as the table has them, not as scores."""
    if sign > 0:
        return found
    turned = {
        name: replace(figure, value=_minus(figure.value), low=_minus(figure.high), high=_minus(figure.low))
        if name.startswith("top_")
        else figure
        for name, figure in found.figures.items()
    }
    return Agreement(found.count, turned)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
