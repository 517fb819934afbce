"""Schedules: the learning rate of a step, from how many epochs are done and how many there are in all.

A schedule's horizon is the budget of the training (in epochs), unless it is stated: a trial that is cut short and
may go on later must state it, or its rate would depend on where it was cut.

Every schedule can begin with a warm-up: from a hundredth of the rate, linearly, over so many epochs.

Source: cosine: Loshchilov, Hutter, "SGDR", ICLR 2017, arXiv:1608.03983, eq. 5, without restarts
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nasengine.errors import InputError, Problem

WARM_UP_START = 0.01  # share of the rate in the very first step


class Schedule(Protocol):
    """What an entry of `SCHEDULES` makes."""

    def rate(self, first: float, done: float, budget: float) -> float:
        """The rate of a step.

        Args:
            first: the optimizer's rate.
            done: epochs trained before this step, fractions included.
            budget: epochs that this training has in all.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """The optimizer's rate throughout.

    Args:
        warm_up: epochs.
    """

    warm_up: float = 0.0

    def __post_init__(self) -> None:
        _check_epochs("constant", self.warm_up, None)

    def rate(self, first: float, done: float, budget: float) -> float:
        """See `Schedule.rate`."""
        return first * _warm_up(done, self.warm_up)


@dataclass(frozen=True, slots=True)
class Cosine:
    """Half a cosine from the optimizer's rate to `last`.

    Args:
        last: the rate at the horizon, and after it.
        warm_up: epochs; the cosine covers the rest.
        horizon: epochs; None: the budget.
    """

    last: float = 0.0
    warm_up: float = 0.0
    horizon: float | None = None

    def __post_init__(self) -> None:
        _check_epochs("cosine", self.warm_up, self.horizon)
        if self.last < 0:
            raise InputError(Problem(f"last of schedule 'cosine' is {self.last!r}", expected="expected 0 or above"))

    def rate(self, first: float, done: float, budget: float) -> float:
        """See `Schedule.rate`."""
        if done < self.warm_up:
            return first * _warm_up(done, self.warm_up)
        horizon = budget if self.horizon is None else self.horizon
        progress = min(1.0, (done - self.warm_up) / max(horizon - self.warm_up, 1e-12))
        return self.last + (first - self.last) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True, slots=True)
class Steps:
    """The rate is multiplied by `factor` at each of some epochs.

    Args:
        at: epochs, ascending.
        factor: above 0.
        warm_up: epochs.
    """

    at: tuple[float, ...]
    factor: float = 0.1
    warm_up: float = 0.0

    def __post_init__(self) -> None:
        _check_epochs("steps", self.warm_up, None)
        if self.factor <= 0:
            raise InputError(Problem(f"factor of schedule 'steps' is {self.factor!r}", expected="expected above 0"))
        if list(self.at) != sorted(self.at):
            raise InputError(
                Problem(f"at of schedule 'steps' is {list(self.at)!r}", expected="expected epochs, ascending")
            )

    def rate(self, first: float, done: float, budget: float) -> float:
        """See `Schedule.rate`."""
        passed = sum(done >= epoch for epoch in self.at)
        return first * self.factor**passed * _warm_up(done, self.warm_up)


SCHEDULES: dict[str, Callable[..., Schedule]] = {"cosine": Cosine, "steps": Steps, "constant": Constant}


def _warm_up(done: float, warm_up: float) -> float:
    return 1.0 if done >= warm_up else WARM_UP_START + (1 - WARM_UP_START) * done / warm_up


def _check_epochs(name: str, warm_up: float, horizon: float | None) -> None:
    problems = []
    if not 0 <= warm_up < math.inf:
        problems.append(Problem(f"warm_up of schedule {name!r} is {warm_up!r}", expected="expected epochs, 0 or above"))
    if horizon is not None and not 0 < horizon < math.inf:
        problems.append(Problem(f"horizon of schedule {name!r} is {horizon!r}", expected="expected epochs, above 0"))
    if problems:
        raise InputError(problems)
