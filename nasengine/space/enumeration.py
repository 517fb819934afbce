"""Lists every architecture of a space once, in an order that never changes, without holding more than one.

Rows come in lexicographic order: decisions in the order of the space, the first one varying slowest, options in
the order of the file. A branch is left as soon as what is decided rules a relation out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nasengine.space.encoding import INACTIVE, Encoding
from nasengine.space.relations import CompiledRelation


def enumerate_rows(encoding: Encoding, relations: Sequence[CompiledRelation]) -> Iterator[list[int]]:
    """Every canonical row that satisfies the relations, each a list of its own."""
    decisions = encoding.decisions
    checks = [[relation for relation in relations if column in relation.columns] for column in range(len(decisions))]
    row = [INACTIVE] * len(decisions)
    column, down = 0, True
    while column >= 0:
        if column == len(decisions):
            if all(relation.holds(row) for relation in relations):
                yield list(row)
            column, down = column - 1, False
            continue
        if not decisions[column].is_active(row):
            column += 1 if down else -1
            continue
        option = row[column] + 1  # of a decision met on the way down, that is the first
        while option < len(decisions[column].options):
            row[column] = option
            if all(relation.possible(row, column) for relation in checks[column]):
                break
            option += 1
        down = option < len(decisions[column].options)
        if not down:
            row[column] = INACTIVE
        column += 1 if down else -1
