"""Known architectures of a space as the first candidates of an algorithm."""

from __future__ import annotations

from collections.abc import Sequence

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.records import Architecture
from nasengine.space.domain import Domain


def known_architectures(domain: Domain, names: Sequence[str]) -> list[Architecture]:
    """The architectures of these names, in this order.

    Raises:
        InputError: every name that the space does not know.
    """
    table = domain.space.known
    unknown = [name for name in names if name not in table]
    if unknown:
        raise InputError(
            [
                Problem(
                    f"unknown known architecture {name!r}", expected=f"expected {one_of(table)}{nearest(name, table)}"
                )
                for name in unknown
            ]
        )
    return [table[name].architecture for name in names]
