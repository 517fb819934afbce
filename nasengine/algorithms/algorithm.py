"""What every search algorithm promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from nasengine.objectives import Objective
from nasengine.records import Candidate, Trial
from nasengine.space.domain import Domain


class Algorithm(ABC):
    """Proposes candidates and is told what became of them.

    Life: constructed as `(domain, objectives, *, seed, …settings)`; then `ask(0)`, `ask(1)`, … in that order,
    with `tell` of trials in the order of their numbers in between. Before `ask(k)` it has been told the trials
    0 … k - lag and no other, so it lives with not knowing the last few, and must never wait for them.

    An algorithm that can make use of constraints on measurements has an argument `constraints` and is handed those of
    the search; constraints on costs are kept by its domain.

    Its state is a function of its constructor's arguments and of the calls so far, so that repeating them
    brings a resumed run to where it was. The draws of trial k come from `self.generator(k)` only.

    It is told every trial, also failed and infeasible ones, of which nothing is measured for certain.

    What its class says of it:
        needs_evaluator: candidates are measured; without need a search phase may leave its evaluator out.
        reads_probabilities: it has an argument `probabilities` and is handed those that a prepare phase has learned.
    """

    needs_evaluator: ClassVar[bool] = True
    reads_probabilities: ClassVar[bool] = False

    def __init__(self, domain: Domain, objectives: Sequence[Objective], *, seed: int = 0) -> None:
        self.domain = domain
        self.objectives = tuple(objectives)
        self.seed = seed

    @property
    def ends_after(self) -> int | None:
        """How many candidates it has in all; None: without end, or not known."""
        return None

    @abstractmethod
    def ask(self, trial_number: int) -> Candidate | None:
        """The candidate of this trial; None if there is nothing left to propose, now or later.

        A scheduler's None may be for now: it is told of more trials while some are out, and asked again.
        """

    def tell(self, trial: Trial) -> None:  # noqa: B027 (an algorithm need not learn)
        """Learn from a trial. The default learns nothing."""

    def generator(self, trial_number: int) -> np.random.Generator:
        """The source of all draws of one trial: the same whatever happened before."""
        return np.random.default_rng([self.seed, trial_number])
