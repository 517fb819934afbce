"""One candidate, read off probabilities that a prepare phase has learned: the most probable option of every choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.probabilities import Probabilities
from nasengine.errors import InputError, Problem
from nasengine.objectives import Objective
from nasengine.records import Candidate
from nasengine.space.domain import Domain


class Derived(Algorithm):
    """Proposes what a relaxed search has settled on, and nothing else (Liu et al., ICLR 2019, arXiv:1806.09055, eq. 2).

    Args:
        probabilities: of the options of every choice; None while the strategy is only being checked.
    """

    needs_evaluator: ClassVar[bool] = False
    reads_probabilities: ClassVar[bool] = True

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        probabilities: Probabilities | None = None,
    ) -> None:
        super().__init__(domain, objectives, seed=seed)
        self.probabilities = probabilities

    def ask(self, trial_number: int) -> Candidate | None:
        """The most probable architecture, once.

        Raises:
            InputError: it breaks a constraint of the search.
        """
        if trial_number > 0 or self.probabilities is None:
            return None
        architecture = self.probabilities.architecture()
        if not self.domain.accepts(architecture):
            found = "the most probable architecture breaks a constraint of the search"
            raise InputError(Problem(found, expected="expected no bound here, or one that the preparation keeps"))
        return Candidate(architecture)
