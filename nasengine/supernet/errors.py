"""The error of a network that cannot share its weights; it names the layer and says what to do."""

from __future__ import annotations

from nasengine.errors import NasEngineError, Problem


class SupernetError(NasEngineError):
    """A layer whose weights cannot be shared between the architectures of a space."""

    def __init__(self, problem: Problem | str) -> None:
        self.problem = Problem(problem) if isinstance(problem, str) else problem
        super().__init__(str(self.problem))

    def __reduce__(self) -> tuple[type[SupernetError], tuple[Problem]]:
        return type(self), (self.problem,)
