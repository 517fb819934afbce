"""What every scheduler promises."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping

from nasengine.algorithms.algorithm import Algorithm


class Scheduler(Algorithm):
    """An algorithm that takes its architectures from another one and decides how far each is trained.

    To the search loop it is an algorithm like any other. Its candidates carry a budget, a part of that of the whole
    training, and may name an earlier trial whose training they go on with. It draws nothing itself.

    A scheduler may have nothing to propose before more is known: `ask` may answer None and later, told more, a
    candidate. So asking must leave no trace where the answer is None.

    Args:
        source: proposes the architectures; asked and told by the scheduler alone, with trial numbers of its own.
        budget: of a whole training, unit -> amount.
    """

    def __init__(self, source: Algorithm, *, budget: Mapping[str, float]) -> None:
        super().__init__(source.domain, source.objectives, seed=source.seed)
        self.source = source
        self.budget = dict(budget)

    @abstractmethod
    def resumable(self, trials_left: int | None) -> Collection[int]:
        """The trials told so far whose training is or may yet be gone on with: by a candidate that was asked and not
        told yet, or by a later one, if at most so many more are asked.
        """
