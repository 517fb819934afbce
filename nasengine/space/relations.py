"""Relations between choices: `{order: [paths], is: not_decreasing}` and `{sum: [paths], max: n}`.

A relation speaks of the decisions among its paths that are active: an order skips those that are not, and a sum
counts them as zero. Numbers count as themselves, True as 1. Values are kept as whole multiples of a common unit,
so that 0.1 + 0.2 is at most 0.3.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import nearest
from nasengine.space.decisions import Decision
from nasengine.space.holes import Relation, SpaceTree
from nasengine.space.locating import locate
from nasengine.space.options import shown
from nasengine.space.problems import Problems

ORDERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "not_decreasing": operator.le,
    "increasing": operator.lt,
    "not_increasing": operator.ge,
    "decreasing": operator.gt,
    "equal": operator.eq,
}


@dataclass(frozen=True, slots=True)
class CompiledRelation:
    """A relation over columns of encoded rows.

    Args:
        relation: as written.
        columns: of the decisions it names, in the order written.
        values: for each of them, the value of each option: in whole multiples of the unit for a sum, its rank among
            all values for an order.
        spans: for each of them, the smallest and the largest value, 0 counted if it may be inactive.
        low, high: bounds of a sum in the same unit; None where there is none.
    """

    relation: Relation
    columns: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    spans: tuple[tuple[int, int], ...]
    low: int | None = None
    high: int | None = None

    @property
    def ordered(self) -> Callable[[Any, Any], Any] | None:
        """Compares two neighbours of an order; None for a sum."""
        return ORDERS[self.relation.order] if self.relation.kind == "order" else None

    def holds(self, row: Sequence[int]) -> bool:
        """Whether one canonical row satisfies it."""
        taken = [
            values[row[column]] for column, values in zip(self.columns, self.values, strict=True) if row[column] >= 0
        ]
        compare = self.ordered
        if compare is not None:
            return all(compare(left, right) for left, right in itertools.pairwise(taken))
        return self.within(sum(taken))

    def possible(self, row: Sequence[int], column: int) -> bool:
        """Whether it can still hold if the decisions after `column`, -1 in the row, are yet to be taken."""
        if self.ordered is not None:
            return self.holds(row)
        total = least = most = 0
        for place, values, (smallest, largest) in zip(self.columns, self.values, self.spans, strict=True):
            if place > column:
                least += smallest
                most += largest
            elif row[place] >= 0:
                total += values[row[place]]
        return (self.low is None or total + most >= self.low) and (self.high is None or total + least <= self.high)

    def within(self, total: int) -> bool:
        """Whether a sum lies in the bounds."""
        return (self.low is None or total >= self.low) and (self.high is None or total <= self.high)

    def holds_many(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """(N,) which of (N, D) canonical rows satisfy it."""
        result = np.ones(len(rows), dtype=np.bool_)
        compare = self.ordered
        if compare is None:
            exact = sum(max(map(abs, span)) for span in self.spans) < 2**62
            total = np.zeros(len(rows), dtype=np.int64 if exact else object)
            for column, values in zip(self.columns, self.values, strict=True):
                total += np.array((*values, 0), dtype=total.dtype)[rows[:, column]]  # the last entry is that of -1
            if self.low is not None:
                result &= (total >= self.low).astype(np.bool_)
            if self.high is not None:
                result &= (total <= self.high).astype(np.bool_)
            return result
        last = np.zeros(len(rows), dtype=np.int64)
        begun = np.zeros(len(rows), dtype=np.bool_)
        for column, values in zip(self.columns, self.values, strict=True):
            active = rows[:, column] >= 0
            value = np.array((*values, 0))[rows[:, column]]
            result &= ~(active & begun) | compare(last, value)
            last = np.where(active, value, last)
            begun |= active
        return result


def compile_relations(
    tree: SpaceTree, decisions: Sequence[Decision], problems: Problems
) -> tuple[CompiledRelation, ...]:
    """The relations of a space over the columns of its rows; what is wrong is added to `problems`."""
    columns = {decision.path: column for column, decision in enumerate(decisions)}
    compiled = []
    for relation in tree.relations:
        found = [_column(tree, columns, path, relation, problems) for path in relation.paths]
        named = [column for column in found if column is not None]
        if len(named) == len(found) and _sensible(relation, named, decisions, problems):
            values = [[Fraction(repr(option + 0)) for option in decisions[column].options] for column in named]
            make = _order if relation.kind == "order" else _sum
            compiled.append(make(relation, named, values, decisions))
    return tuple(compiled)


def _column(
    tree: SpaceTree, columns: Mapping[str, int], path: str, relation: Relation, problems: Problems
) -> int | None:
    """The column of the decision at a path; a path that leads through `use` names the decision under `let`."""
    if path in columns:
        return columns[path]
    located = locate(tree, path)
    if located is not None and located.path in columns:
        return columns[located.path]
    known = f"expected the path of a choice{nearest(path, columns)}"
    problems.add(f"no choice has the path {path}", relation.mark, known)
    return None


def _sensible(relation: Relation, columns: Sequence[int], decisions: Sequence[Decision], problems: Problems) -> bool:
    """Whether all options are numbers (or booleans), and an order names each choice once."""
    fine = True
    for place, column in enumerate(columns):
        decision = decisions[column]
        wrong = [option for option in decision.options if not isinstance(option, (int, float))]
        if wrong:
            fine = False
            problems.add(
                f"{decision.path} has the option {shown(wrong[0])}, which is not a number",
                relation.mark,
                "expected paths of choices between numbers",
            )
        if relation.kind == "order" and column in columns[:place]:
            fine = False
            problems.add(
                f"{relation.paths[columns.index(column)]} and {relation.paths[place]} are the same choice",
                relation.mark,
                f"expected {decision.path} once",
            )
    return fine


def _order(
    relation: Relation, columns: Sequence[int], values: Sequence[Sequence[Fraction]], decisions: Sequence[Decision]
) -> CompiledRelation:
    """Only the rank of a value matters."""
    rank = {value: i for i, value in enumerate(sorted({value for options in values for value in options}))}
    return _compiled(relation, columns, [tuple(rank[value] for value in options) for options in values], decisions)


def _sum(
    relation: Relation, columns: Sequence[int], values: Sequence[Sequence[Fraction]], decisions: Sequence[Decision]
) -> CompiledRelation:
    """A choice that is named twice (by two uses of it) counts twice."""
    unit = math.lcm(*(value.denominator for options in values for value in options))
    total: dict[int, tuple[int, ...]] = {}
    for column, options in zip(columns, values, strict=True):
        before = total.get(column, (0,) * len(options))
        total[column] = tuple(b + int(value * unit) for b, value in zip(before, options, strict=True))
    return _compiled(
        relation,
        list(total),
        list(total.values()),
        decisions,
        None if relation.low is None else math.ceil(Fraction(repr(relation.low)) * unit),
        None if relation.high is None else math.floor(Fraction(repr(relation.high)) * unit),
    )


def _compiled(
    relation: Relation,
    columns: Sequence[int],
    values: Sequence[tuple[int, ...]],
    decisions: Sequence[Decision],
    low: int | None = None,
    high: int | None = None,
) -> CompiledRelation:
    reach = [(*v, 0) if decisions[c].conditional else v for c, v in zip(columns, values, strict=True)]
    spans = tuple((min(r), max(r)) for r in reach)
    return CompiledRelation(relation, tuple(columns), tuple(values), spans, low, high)
