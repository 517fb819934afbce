"""Architectures as rows of whole numbers, and back.

A row has one column per decision of the space, in their order. A column holds the index of the option taken, or
-1 where the decision is inactive, so that equal architectures are equal rows and a matrix of them can be priced,
compared and mutated without a single Python object.

Shapes:  N rows (architectures)   D columns (decisions)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError
from nasengine.records import Architecture
from nasengine.space.decisions import Condition, Decision, Site

Rows = NDArray[np.int16]
INACTIVE = -1


class Encoding:
    """The rows of one space.

    Args:
        decisions: of the space, parents before children.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self.decisions = tuple(decisions)
        self.contexts = contexts(self.decisions)
        indices: dict[int, dict[Any, int]] = {}  # copies of a repeat share their options
        self._columns: dict[str, tuple[int, dict[Any, int]]] = {}
        for column, decision in enumerate(self.decisions):
            options = decision.options
            if id(options) not in indices:
                indices[id(options)] = {option: i for i, option in enumerate(options)}
            self._columns[decision.path] = column, indices[id(options)]
        self._lookups = {
            sites: [[_lookup(self.decisions, condition) for condition in site] for site in sites]
            for sites in self.contexts
        }
        self._decoding = tuple((decision.path, decision.options) for decision in self.decisions)

    def encode(self, architecture: Mapping[str, Any]) -> Rows:
        """(D,) the row of an architecture.

        Raises:
            InputError: it names a choice or an option that the space lacks.
        """
        return np.array(self.row(architecture), dtype=np.int16)

    def encode_many(self, architectures: Iterable[Mapping[str, Any]]) -> Rows:
        """(N, D) the rows of N architectures."""
        rows = [self.row(architecture) for architecture in architectures]
        return np.array(rows, dtype=np.int16).reshape(len(rows), len(self.decisions))

    def row(self, architecture: Mapping[str, Any]) -> list[int]:
        """D indices, as plain numbers."""
        row = [INACTIVE] * len(self.decisions)
        columns = self._columns
        for path, option in architecture.items():
            try:
                column, index = columns[path]
                row[column] = index[option]
            except (KeyError, TypeError):
                raise InputError(f"this space has no option {option!r} at {path}") from None
        return row

    def decode(self, row: Sequence[int] | Rows) -> Architecture:
        """The architecture of one row of D indices."""
        return self.decode_many(np.asarray(row, dtype=np.int16).reshape(1, -1))[0]

    def decode_many(self, rows: Rows) -> list[Architecture]:
        """The architectures of (N, D) rows; what inactive columns hold does not matter.

        Raises:
            InputError: an active column holds no index of an option.
        """
        return [self.architecture(row) for row in self.canonical(rows).tolist()]

    def architecture(self, row: Sequence[int]) -> Architecture:
        """The architecture of a row that is canonical already."""
        return Architecture.from_trusted(
            {path: options[i] for (path, options), i in zip(self._decoding, row, strict=True) if i >= 0}
        )

    def canonical(self, rows: Rows) -> Rows:
        """(N, D) the same architectures with -1 in every inactive column, as a new matrix.

        Raises:
            InputError: an active column holds no index of an option, or there are not D columns.
        """
        columns = np.array(rows, dtype=np.int16, ndmin=2).T.copy()  # (D, N): a column at a time, in one piece
        if columns.shape[0] != len(self.decisions):
            raise InputError(f"a row of this space has {len(self.decisions)} columns, got {columns.shape[0]}")
        active: dict[tuple[Site, ...], NDArray[np.bool_]] = {}
        for column, decision in enumerate(self.decisions):
            values = columns[column]
            wrong = (values < 0) | (values >= len(decision.options))
            if decision.conditional:
                if decision.sites not in active:
                    active[decision.sites] = self.active(decision.sites, columns)
                values[~active[decision.sites]] = INACTIVE
                wrong &= active[decision.sites]
            if wrong.any():
                raise InputError(
                    f"{values[wrong][0]} is no index of an option of {decision.path} (0 to {len(decision.options) - 1})"
                )
        return np.ascontiguousarray(columns.T)

    def active(self, sites: tuple[Site, ...], columns: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """(N,) where at least one site holds, given the canonical columns (D, N) of all parents."""
        result = np.zeros(columns.shape[1], dtype=np.bool_)
        for (parent, taken), *also in self._lookups[sites]:
            holds = taken[columns[parent]]
            for other, options in also:
                holds &= options[columns[other]]
            result |= holds
        return result


def contexts(decisions: Sequence[Decision]) -> tuple[tuple[Site, ...], ...]:
    """The different `sites` of conditional decisions, in the order of the first decision that has them."""
    return tuple(dict.fromkeys(decision.sites for decision in decisions if decision.conditional))


def _lookup(decisions: Sequence[Decision], condition: Condition) -> tuple[int, NDArray[np.bool_]]:
    """(parent, for each of its option indices whether the condition holds; the last entry is that of -1)."""
    parent, taken = condition
    lookup = np.zeros(len(decisions[parent].options) + 1, dtype=np.bool_)
    lookup[sorted(taken)] = True
    return parent, lookup
