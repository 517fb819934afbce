"""Exhaustive search: every architecture of the domain once, in the order of enumeration."""

from __future__ import annotations

from collections.abc import Sequence

from nasengine.algorithms.algorithm import Algorithm
from nasengine.objectives import Objective
from nasengine.records import Candidate
from nasengine.space.domain import Domain


class Exhaustive(Algorithm):
    """Proposes what `domain.enumerate()` yields and then ends; draws nothing and learns nothing."""

    def __init__(self, domain: Domain, objectives: Sequence[Objective], *, seed: int = 0) -> None:
        super().__init__(domain, objectives, seed=seed)
        self._remaining = domain.enumerate()

    @property
    def ends_after(self) -> int | None:
        """The size of the domain; None where finding it means listing it, as relations or constraints refuse some."""
        return self.domain.space.size(architecture_part=True) if self.domain.is_free else None

    def ask(self, trial_number: int) -> Candidate | None:
        architecture = next(self._remaining, None)
        return None if architecture is None else Candidate(architecture)
