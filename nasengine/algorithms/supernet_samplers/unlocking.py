"""Draws architectures choice by choice from what is unlocked: the largest option first, more as epochs pass.

Shapes:  K architectures of one step   D choices
Source: [VR] Liao, Karaman, Sze, "Searching for Efficient Multi-Stage Vision Transformers", 2021, arXiv:2109.00642,
             and its program
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.decisions import Decision
from nasengine.space.domain import SAMPLING_TRIES, Domain
from nasengine.space.encoding import Rows

PROBES = 64  # rows by which is judged whether a part of the space holds anything acceptable
AT_ONCE = 16  # rows drawn in place of one that was refused


class UnlockedDraws:
    """Draws K architectures at once, for each choice K of its unlocked options without replacement [VR].

    A choice of n options has min(n, 1 + floor(epoch (n - 1) / epochs)) unlocked: that of the largest network, then
    the others, numbers from the largest down, anything else in the order of the file. Whether an optional part is
    there is a list of four (there, there, not, not), as published: it may be absent after two thirds of the epochs.
    Where fewer options than K are unlocked, each comes as often as any other, or once more.

    What breaks a relation or a constraint is drawn again on its own. While constraints refuse everything that is
    unlocked, what later epochs unlock is drawn from.

    Args:
        domain: what may be drawn.
        largest: unlocked from the beginning.
        epochs: until everything is unlocked; 0: from the beginning.
    """

    def __init__(self, domain: Domain, largest: Architecture, epochs: int = 0) -> None:
        self.domain = domain
        self.epochs = epochs
        self.listed = tuple(_listed(decision, largest) for decision in domain.space.decisions)
        self._levels: dict[int, int] = {}  # epoch -> the first, from it, with something acceptable

    def draw(self, epoch: int, k: int, rng: np.random.Generator) -> tuple[Architecture, ...]:
        """K architectures of the domain.

        Raises:
            InputError: nearly nothing that is unlocked keeps the constraints.
        """
        level = self._level(epoch)
        made = self._acceptable(self._rows(level, 1, k, rng)[0])
        return tuple(self._again(level, rng) if one is None else one for one in made)

    def unlocked(self, epoch: int) -> list[int]:
        """How many entries of each choice's list are unlocked."""
        if epoch >= self.epochs:
            return [len(listed) for listed in self.listed]
        return [1 + epoch * (len(listed) - 1) // self.epochs for listed in self.listed]

    def _again(self, level: int, rng: np.random.Generator) -> Architecture:
        for _ in range(SAMPLING_TRIES // AT_ONCE):
            for one in self._acceptable(self._rows(level, AT_ONCE, 1, rng)[:, 0]):
                if one is not None:
                    return one
        raise InputError(
            Problem(
                f"none of {SAMPLING_TRIES:,} architectures of {self.domain.space.name} unlocked at epoch {level} "
                "keeps the constraints",
                expected="expected wider constraints, or no unlocking",
            )
        )

    def _rows(self, epoch: int, draws: int, k: int, rng: np.random.Generator) -> Rows:
        """(draws, K, D) indices of options; in inactive columns too."""
        rows = np.empty((draws, k, len(self.listed)), dtype=np.int16)
        counts = np.array(self.unlocked(epoch))
        for n in sorted(set(counts.tolist())):
            columns = np.flatnonzero(counts == n)
            rounds = -(-k // n)
            order = rng.random((draws, len(columns), rounds, n)).argsort(axis=-1)
            order = order.reshape(draws, len(columns), rounds * n)[:, :, :k]
            for place, column in enumerate(columns.tolist()):
                rows[:, :, column] = self.listed[column][order[:, place]]
        return rows

    def _acceptable(self, rows: Rows) -> list[Architecture | None]:
        """The architectures of (K, D) rows, None where one is not of the domain."""
        space = self.domain.space
        rows = space.canonical(rows)
        holds = space.satisfies_encoded(rows).tolist()
        made = (
            space.encoding.architecture(row) if held else None for row, held in zip(rows.tolist(), holds, strict=True)
        )
        return [one if one is not None and self.domain.accepts(one) else None for one in made]

    def _level(self, epoch: int) -> int:
        """The epoch whose part of the space is drawn from: a function of the epoch alone, so that a resumed training
        finds the same.
        """
        epoch = min(epoch, self.epochs)
        if self.domain.is_free or epoch == self.epochs:
            return epoch
        if epoch not in self._levels:
            probes = np.random.default_rng([epoch])
            found = (
                later
                for later in range(epoch, self.epochs)
                if any(one is not None for one in self._acceptable(self._rows(later, PROBES, 1, probes)[:, 0]))
            )
            self._levels[epoch] = next(found, self.epochs)
        return self._levels[epoch]


def epochs_to_unlock(unlock: Mapping[str, Any] | None, sampler: str) -> int:
    """The number in `unlock: {epochs: 30}`; 0 where everything is unlocked from the beginning."""
    if unlock is None:
        return 0
    epochs = unlock.get("epochs")
    if set(unlock) != {"epochs"} or not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        found = f"{sampler} with unlock {dict(unlock)}"
        raise InputError(Problem(found, expected="expected {epochs: N}, a whole number of at least 1"))
    return epochs


def _listed(decision: Decision, largest: Architecture) -> NDArray[np.int16]:
    """Indices of the options in the order in which they are unlocked."""
    options = decision.options
    if decision.kind == "optional":
        there, absent = options.index(True), options.index(False)
        return np.array([there, there, absent, absent], dtype=np.int16)
    order = list(range(len(options)))
    if all(isinstance(option, (int, float)) for option in options):
        order.sort(key=lambda index: -options[index])
    if decision.path in largest:
        order.sort(key=lambda index: options[index] != largest[decision.path])
    return np.array(order, dtype=np.int16)
