"""The part of a space a search may propose from: architectures that keep the relations and priced constraints.

Algorithms know no more of a space than this. Every loop that rejects is bounded and says what it met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.encoding import Rows
from nasengine.space.space import SearchSpace

SAMPLING_TRIES = 10_000
MUTATION_TRIES = 100


class Domain:
    """A search space with what is acceptable in it.

    Args:
        space: its own functions keep its relations.
        accepts: whether an architecture keeps the constraints that can be priced beforehand; None: all do.
        draw: samples an acceptable architecture directly, where `accepts` would reject nearly everything (such as
            `costs.Pricer.within(windows).sample`); None: `space.sample` until one is accepted.
    """

    def __init__(
        self,
        space: SearchSpace,
        accepts: Callable[[Architecture], bool] | None = None,
        *,
        draw: Callable[[np.random.Generator], Architecture] | None = None,
    ) -> None:
        self.space = space
        self._accepts = accepts
        self._draw = draw or space.sample

    @property
    def is_free(self) -> bool:
        """Whether nothing can be refused: no relations and no constraints."""
        return self._accepts is None and not self.space.relations

    def accepts(self, architecture: Architecture) -> bool:
        """Whether it may be proposed; relations are taken as kept."""
        return self._accepts is None or self._accepts(architecture)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """An acceptable architecture from the space's sampling distribution.

        Raises:
            InputError: none of 10,000 draws was acceptable.
        """
        for _ in range(SAMPLING_TRIES):
            architecture = self._draw(rng)
            if self.accepts(architecture):
                return architecture
        raise InputError(
            Problem(
                f"none of {SAMPLING_TRIES:,} architectures drawn from {self.space.name} keeps the constraints",
                expected="expected wider constraints: fewer than about 3 in 10,000 architectures can keep these",
            )
        )

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture | None:
        """An acceptable architecture one mutation away; None if there is none, or none among 100 mutants."""
        for _ in range(MUTATION_TRIES):
            try:
                mutant = self.space.mutate(architecture, rng)
            except InputError:  # nothing can be changed, or no change keeps the relations
                return None
            if self.accepts(mutant):
                return mutant
        return None

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture | None:
        """An acceptable architecture that takes each choice from a parent; None if none of 100 was acceptable."""
        for _ in range(MUTATION_TRIES):
            child = self.space.crossover(first, second, rng)
            if self.accepts(child):
                return child
        return None

    def children(self, first: Rows, second: Rows, rng: np.random.Generator) -> tuple[Rows, NDArray[np.intp]]:
        """Children of pairs of parents: crossover, then about one mutation; those not acceptable are left out.

        All at once where nothing can be refused, otherwise one after the other through `crossover` and `mutate`.
        Each active choice mutates with chance 1 / active choices, and at least one where the child would equal a
        parent.

        Args:
            first, second: (N, D) canonical rows of the parents.
            rng: of all draws.
        Returns: (M, D) canonical rows of at most N children, and (M,) the pair that each is of.
        """
        if self.is_free:
            return self.space.children_encoded(first, second, rng), np.arange(len(first))
        pairs = zip(self.space.decode_many(first), self.space.decode_many(second), strict=True)
        made = [self._child(mother, father, rng) for mother, father in pairs]
        kept = [index for index, child in enumerate(made) if child is not None]
        rows = self.space.encode_many(child for child in made if child is not None)
        return rows, np.array(kept, dtype=np.intp)

    def _child(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture | None:
        child = self.crossover(first, second, rng)
        if child is None:
            return None
        for _ in range(int(rng.binomial(len(child), 1 / max(1, len(child))))):
            child = self.mutate(child, rng) or child
        return self.mutate(child, rng) or child if child in (first, second) else child

    def enumerate(self) -> Iterator[Architecture]:
        """Every acceptable architecture once, in the space's order."""
        return filter(self.accepts, self.space.enumerate())
