"""Random search: candidates drawn from the domain's sampling distribution, each at most once."""

from __future__ import annotations

from collections.abc import Sequence

from nasengine.algorithms.algorithm import Algorithm
from nasengine.objectives import Objective
from nasengine.records import Architecture, Candidate
from nasengine.space.domain import Domain

DRAWS = 100
SMALL_SPACE = 50_000


class RandomSearch(Algorithm):
    """Uniform over the distinct architectures, or as the space's sampling weights say.

    Args:
        avoid_repeats: draw again (up to 100 times) what was proposed before. When all draws of a trial are
            repeats and the space has at most 50,000 architectures, those left are listed and proposed in random
            order, and the search ends when none is left; in a larger space the repeat is proposed, which costs
            nothing where the outcome of an equal trial is reused.
    """

    def __init__(
        self, domain: Domain, objectives: Sequence[Objective], *, seed: int = 0, avoid_repeats: bool = True
    ) -> None:
        super().__init__(domain, objectives, seed=seed)
        self.avoid_repeats = avoid_repeats
        self._proposed: set[Architecture] = set()
        self._left: list[Architecture] | None = None

    def ask(self, trial_number: int) -> Candidate | None:
        rng = self.generator(trial_number)
        if not self.avoid_repeats:
            return Candidate(self.domain.sample(rng))
        if self._left is None:
            for _ in range(DRAWS):
                architecture = self.domain.sample(rng)
                if architecture not in self._proposed:
                    self._proposed.add(architecture)
                    return Candidate(architecture)
            if self.domain.space.size(architecture_part=True) > SMALL_SPACE:
                return Candidate(architecture)
            self._left = [other for other in self.domain.enumerate() if other not in self._proposed]
        if not self._left:
            return None
        return Candidate(self._left.pop(int(rng.integers(len(self._left)))))
