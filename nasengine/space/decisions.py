"""A decision: one thing that an architecture answers, with its options and with when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import Mark

Kind = Literal["choice", "range", "subset", "repeat", "optional", "format"]
Condition = tuple[int, frozenset[int]]  # the decision of this index took one of these options
Site = tuple[Condition, ...]  # all of them hold; without any, always


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that an architecture answers.

    Args:
        path: its name in an architecture, as the table in `holes` says.
        kind: which hole it is; `format` is a choice that belongs to a quantization rule.
        options: what an architecture may store: scalars, or tuples for subsets; False and True for an optional.
        weights: relative frequency of each option in sampling; that of a subset is the product over its items.
        sites: active iff at one of them all conditions hold: the decision of each (an index) is active and took one
            of the options (indices). Only the copies of a repeat with a shared count have more than one condition.
        mark: where the hole is written.
        low: smallest number of items of a subset; 0 for other kinds.
    """

    path: str
    kind: Kind
    options: tuple[Any, ...]
    weights: tuple[float, ...]
    sites: tuple[Site, ...]
    mark: Mark
    low: int = 0

    @property
    def conditional(self) -> bool:
        """Whether some architecture leaves this decision out."""
        return () not in self.sites

    @property
    def above(self) -> set[int]:
        """The decisions (indices) that its sites name."""
        return {parent for site in self.sites for parent, _ in site}

    def is_active(self, row: Sequence[int] | NDArray[np.int16]) -> bool:
        """Whether it is active in a row of option indices whose entries for the decisions above it are canonical."""
        for site in self.sites:
            for parent, taken in site:
                if row[parent] not in taken:
                    break
            else:
                return True
        return False
