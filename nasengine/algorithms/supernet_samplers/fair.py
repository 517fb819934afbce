"""Strict fairness: every option of every choice is trained equally often.

Source: [FN] Chu, Zhang, Xu, "FairNAS: Rethinking Evaluation Fairness of Weight Sharing Neural Architecture Search",
             ICCV 2021, arXiv:1907.01845 (strict fairness, algorithm 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.domain import Domain

TRIES = 20  # for an architecture of the domain from what the decks hold


class Fair(SupernetSampler):
    """Each choice deals its options from a shuffled deck of its own, so their counts never differ by more than one.

    A step has as many passes as the largest choice has options, one architecture each, and one update: choices with
    that many options, or a divisor of it, train each of them equally often in every step [FN].

    Differs from the paper, where all choices have equally many options, always matter and combine freely:
    - A deck that is not used up in a step goes on in the next.
    - A choice inside an option that is not taken is dealt nothing.
    - What breaks a relation or a constraint goes back into its decks, and where only such is left they are shuffled
      anew: counts are then equal on average, as far as relations and constraints allow.

    The space's sampling weights are not looked at.

    Args:
        paths: passes of a step; null: the most options of any choice. With fewer, fairness takes several steps.
    """

    def __init__(self, *, domain: Domain, paths: int | None = None) -> None:
        if paths is not None and paths < 1:
            raise InputError(Problem(f"fair with paths {paths}", expected="expected at least 1, or null"))
        self.domain = domain
        self.decisions = domain.space.decisions
        self.paths = paths or max((len(decision.options) for decision in self.decisions), default=1)
        self._decks: list[list[int]] = [[] for _ in self.decisions]  # what is left to deal; the last comes next

    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        return tuple(Pass((self._dealt(rng),)) for _ in range(self.paths))

    def _dealt(self, rng: np.random.Generator) -> Architecture:
        space = self.domain.space
        for _ in range(TRIES):
            row = self._row(rng)
            if all(relation.holds(row) for relation in space.compiled_relations):
                architecture = space.encoding.architecture(row)
                if self.domain.accepts(architecture):
                    return architecture
            self._take_back(row, rng)
        self._decks = [[] for _ in self.decisions]  # what is left in them goes together with nothing
        return self.domain.sample(rng)

    def _row(self, rng: np.random.Generator) -> list[int]:
        """The next option of every choice that is active."""
        row = [-1] * len(self.decisions)
        for column, decision in enumerate(self.decisions):
            if decision.conditional and not decision.is_active(row):
                continue
            deck = self._decks[column]
            if not deck:
                deck += rng.permutation(len(decision.options)).tolist()
            row[column] = deck.pop()
        return row

    def _take_back(self, row: list[int], rng: np.random.Generator) -> None:
        for deck, option in zip(self._decks, row, strict=True):
            if option >= 0:
                deck.insert(int(rng.integers(len(deck) + 1)), option)

    def state(self) -> dict[str, Any]:
        return {"decks": [list(deck) for deck in self._decks]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._decks = [[int(option) for option in deck] for deck in state["decks"]]
