"""Facts of any architecture in microseconds: each depends on few choices, and is remembered by these.

Which choices those are is found by changing one at a time, then by architectures at random: where two agree in all
choices that a fact is thought to depend on and yet differ in it, the choices in which they differ are halved until
the one that matters is found. A combination of options not seen before is read from its network, once; that, too,
checks everything known. Costs are tabulated in the same way.

Shapes:  K architectures   D decisions of the space   N facts
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.extent import some_options
from nasengine.supernet.facts import Fact, Facts

RANDOM = 24  # architectures that check what was learned
MOST_COMBINATIONS = 20_000  # of options of the choices that one fact depends on, that are counted out

Row = tuple[int, ...]
Numbers = NDArray[np.int64]
UNKNOWN = -1
ABSENT = -1  # the value of every fact of a layer that is not there


class Lookup:
    """What is known of the architectures of one space.

    Args:
        space: of the architectures.
        read: the facts of one, from its network.
        whole: the largest architecture, from which choices are changed one at a time.
        learned: what an earlier lookup of the same space learned, as `to_json` gives it.
    """

    def __init__(
        self,
        space: SearchSpace,
        read: Callable[[Architecture], Facts],
        whole: Architecture,
        learned: Mapping[str, Any] | None = None,
    ) -> None:
        self.space = space
        self._read = read
        self.wishes = [
            index if index >= 0 else len(decision.options) - 1
            for index, decision in zip(space.encode(whole).tolist(), space.decisions, strict=True)
        ]
        self.dependences: dict[Fact, set[int]] = {}
        self.values: dict[Fact, dict[Row, Hashable]] = {}
        self._rows: dict[Fact, dict[Row, Row]] = {}  # of an architecture for which the value was read
        self._known: dict[Row, Facts] = {}
        self._names: dict[Fact, dict[Hashable, int]] = {}
        self._learning = False
        self.lacking: set[str] = set()  # keys that some architecture lacks while it has what they are part of
        if learned is None:
            self._learn()
        else:
            self._recall(learned)

    # --- learning -------------------------------------------------------------------------------------------------

    def row(self, wishes: Sequence[int]) -> Row:
        """The canonical row of an option for every decision, active or not; the largest where it says INACTIVE."""
        full = [option if option >= 0 else largest for option, largest in zip(wishes, self.wishes, strict=True)]
        return tuple(self.space.canonical(np.array([full], dtype=np.int16))[0].tolist())

    def facts(self, row: Row) -> Facts:
        """The facts of an architecture, read from its network if that has not been done."""
        known = row in self._known
        found = self._read_once(row)
        if not known:
            self._enter(row, found)
            if not self._learning:
                self._find_lacking([found])
        return found

    def _learn(self) -> None:
        self._learning = True
        start = self.row(self.wishes)
        self.facts(start)
        for column, decision in enumerate(self.space.decisions):
            for option in some_options(decision):
                wishes = [*self.wishes[:column], option, *self.wishes[column + 1 :]]
                self._compare(start, self.row(wishes), column)
        rng = np.random.default_rng(0)
        for row in self.space.sample_encoded(rng, RANDOM).tolist():
            self.facts(tuple(row))
        for row, facts in list(self._known.items()):  # what came to light late holds for the first ones too
            self._enter(row, facts)
        self._find_lacking(self._known.values())
        self._learning = False

    def _find_lacking(self, known: Iterable[Facts]) -> None:
        keys = {key for what, key in self.values if what == "there"}
        above = {key: _parent(key, keys) for key in keys}
        for facts in known:
            for key in keys - self.lacking:
                parent = above[key]
                if ("there", key) not in facts and (parent is None or ("there", parent) in facts):
                    self.lacking.add(key)

    def to_json(self) -> dict[str, Any]:
        """What was learned, as plain values."""
        return {
            "facts": [
                [*fact, self.columns[fact], [[*self._rows_of(fact, place), value] for place, value in known.items()]]
                for fact, known in self.values.items()
            ],
            "rows": [list(row) for row in self._numbered],
            "lacking": sorted(self.lacking),
        }

    def _rows_of(self, fact: Fact, place: Row) -> tuple[int]:
        return (self._numbered.setdefault(self._rows[fact][place], len(self._numbered)),)

    @functools.cached_property
    def _numbered(self) -> dict[Row, int]:
        return {}

    def _recall(self, learned: Mapping[str, Any]) -> None:
        rows = [tuple(row) for row in learned["rows"]]
        for what, key, columns, known in learned["facts"]:
            fact = what, key
            self.dependences[fact] = set(columns)
            self.values[fact], self._rows[fact], self._names[fact] = {}, {}, {}
            for number, value in known:
                place = tuple(rows[number][column] for column in columns)
                self.values[fact][place] = _hashable(value)
                self._rows[fact][place] = rows[number]
        self.lacking = set(learned["lacking"])

    def _compare(self, first: Row, second: Row, column: int) -> None:
        one, other = self.facts(first), self._read_once(second)
        for fact in one.keys() | other.keys():
            if one.get(fact, ABSENT) != other.get(fact, ABSENT):
                self._depend(fact, column)
        self._enter(second, other)

    def _enter(self, row: Row, facts: Facts) -> None:
        for fact in facts:
            if fact not in self.values:
                self.dependences.setdefault(fact, set())
                self.values[fact], self._rows[fact], self._names[fact] = {}, {}, {}
                self.__dict__.pop("columns", None)
        for fact in self.values:
            value = facts.get(fact, ABSENT)
            while True:
                place = self._place(fact, row)
                known = self.values[fact].setdefault(place, value)
                self._rows[fact].setdefault(place, row)
                if known == value:
                    break
                self._depend(fact, self._blame(fact, self._rows[fact][place], row))

    def _place(self, fact: Fact, row: Row) -> Row:
        return tuple(row[column] for column in self.columns[fact])

    @functools.cached_property
    def columns(self) -> dict[Fact, Row]:
        """Fact -> the decisions it depends on, in order."""
        return {fact: tuple(sorted(self.dependences[fact])) for fact in self.values}

    def _depend(self, fact: Fact, column: int) -> None:
        """A fact depends on one more decision: what is known of it is sorted anew."""
        columns = self.dependences.setdefault(fact, set())
        if column in columns:
            return
        columns.add(column)
        self.__dict__.pop("columns", None)
        if fact in self.values:
            entries = [(self._rows[fact][place], value) for place, value in self.values[fact].items()]
            self.values[fact], self._rows[fact] = {}, {}
            for row, value in entries:
                place = self._place(fact, row)
                self.values[fact][place], self._rows[fact][place] = value, row

    def _blame(self, fact: Fact, first: Row, second: Row) -> int:
        """A decision that, changed between two architectures that differ in a fact, changes it."""

        def full(row: Row) -> list[int]:
            return [index if index >= 0 else wish for index, wish in zip(row, self.wishes, strict=True)]

        low, high = full(first), full(second)
        before = self._read_once(first).get(fact, ABSENT)
        candidates = [column for column in range(len(low)) if low[column] != high[column]]
        while len(candidates) > 1:
            half = candidates[: len(candidates) // 2]
            middle = list(low)
            for column in half:
                middle[column] = high[column]
            if self._read_once(self.row(middle)).get(fact, ABSENT) == before:
                low, candidates = middle, candidates[len(half) :]
            else:
                high, candidates = middle, half
        if not candidates or candidates[0] in self.dependences[fact]:
            raise AssertionError(f"{fact} differs between architectures that agree in everything it could depend on")
        return candidates[0]

    def _read_once(self, row: Row) -> Facts:
        """The facts of an architecture; what they say is not entered yet, as others are being compared."""
        found = self._known.get(row)
        if found is None:
            found = self._known[row] = dict(self._read(self.space.decode(np.array(row, dtype=np.int16))))
        return found

    # --- looking up -----------------------------------------------------------------------------------------------

    def varying(self, fact: Fact) -> bool:
        """Whether a fact is known to differ between architectures that have the layer."""
        return len(set(self.values.get(fact, {}).values()) - {ABSENT}) > 1

    def number(self, fact: Fact, value: Hashable) -> int:
        """A whole number that stands for a value: itself, or below ABSENT by its place among those seen so far."""
        if isinstance(value, int):
            return value
        names = self._names[fact]
        return named(names.setdefault(value, len(names)))

    def value(self, fact: Fact, number: int) -> Hashable:
        """What a number of `number` stands for."""
        if number >= ABSENT:
            return number
        return next(value for value, place in self._names[fact].items() if named(place) == number)

    def table(self, facts: Sequence[Fact]) -> FactTable:
        """These facts of many architectures at once."""
        return FactTable(self, facts)


def named(place: int) -> int:
    """The number of a value that is none itself, by its place; and the place, by the number."""
    return ABSENT - 1 - place


def _parent(key: str, keys: set[str]) -> str | None:
    """The longest key of which a key is part."""
    while "." in key:
        key = key.rpartition(".")[0]
        if key in keys:
            return key
    return None


def _hashable(value: Any) -> Hashable:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


class FactTable:
    """Some facts as columns, looked up for many architectures in a few operations.

    Args:
        lookup: of the space.
        facts: N of them.
    """

    def __init__(self, lookup: Lookup, facts: Sequence[Fact]) -> None:
        self.lookup = lookup
        self.facts = tuple(facts)
        self._prepare()

    def _prepare(self) -> None:
        lookup = self.lookup
        options = np.array([len(decision.options) + 1 for decision in lookup.space.decisions], dtype=np.int64)
        columns = [lookup.columns.get(fact, ()) for fact in self.facts]
        groups = sorted(set(columns))
        self._columns = columns
        counted = [group for group in groups if np.prod(options[list(group)], dtype=float) <= MOST_COMBINATIONS]
        self._group_of = np.array([counted.index(c) if c in counted else -1 for c in columns], dtype=np.int64)
        self._slow = [place for place, group in enumerate(self._group_of.tolist()) if group < 0]
        self._fast = np.array([place for place, group in enumerate(self._group_of.tolist()) if group >= 0], np.int64)
        self._strides = np.zeros((len(lookup.space.decisions), len(counted)), dtype=np.int64)
        self._members = [np.flatnonzero(self._group_of == group) for group in range(len(counted))]
        sizes = []
        for place, group in enumerate(counted):
            size = 1
            for column in group:
                self._strides[column, place] = size
                size *= int(options[column])
            sizes.append(size)
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
        # For each combination of options: where its values begin in the store; one row of UNKNOWN to begin with.
        self._starts = np.full(int(sum(sizes)), UNKNOWN, dtype=np.int64)
        self._store = np.empty(0, dtype=np.int64)
        self._within = np.zeros(len(self.facts), dtype=np.int64)
        for members in self._members:
            self._within[members] = np.arange(len(members))

    def numbers(self, rows: NDArray[np.int16]) -> Numbers:
        """(K, N) the facts of (K, D) canonical rows as whole numbers; ABSENT for a layer that is not there."""
        if self._columns != [self.lookup.columns.get(fact, ()) for fact in self.facts]:
            self._prepare()  # something read since depends on more than was known
        codes = (rows.astype(np.int64) + 1) @ self._strides + self._offsets
        starts = self._starts[codes]
        for place in np.flatnonzero((starts < 0).any(1)).tolist():
            if self._fill(tuple(rows[place].tolist()), codes[place]):
                return self.numbers(rows)
        starts = self._starts[codes]
        found = np.empty((len(rows), len(self.facts)), dtype=np.int64)
        if len(self._fast):
            groups = self._group_of[self._fast]
            found[:, self._fast] = self._store[starts[:, groups] + self._within[self._fast]]
        for place in self._slow:
            for number, row in enumerate(rows.tolist()):
                found[number, place] = self._one(self.facts[place], tuple(row))
        return found

    def _one(self, fact: Fact, row: Row) -> int:
        place = tuple(row[column] for column in self.lookup.columns[fact])
        value = self.lookup.values[fact].get(place)
        return self.lookup.number(fact, self.lookup.facts(row).get(fact, ABSENT) if value is None else value)

    def _fill(self, row: Row, codes: Numbers) -> bool:
        """Enter what is known of an architecture; True if that changed what facts depend on."""
        lookup = self.lookup
        read: Facts | None = None
        added: list[int] = []
        for group, members in enumerate(self._members):
            if self._starts[codes[group]] >= 0:
                continue
            facts = [self.facts[member] for member in members.tolist()]
            known = [lookup.values[f].get(tuple(row[c] for c in lookup.columns[f])) for f in facts]
            if None in known and read is None:
                read = lookup.facts(row)
                if self._columns != [lookup.columns.get(fact, ()) for fact in self.facts]:
                    return True
            if read is not None:
                known = [read.get(fact, ABSENT) for fact in facts]
            self._starts[codes[group]] = len(self._store) + len(added)
            added += [lookup.number(fact, value) for fact, value in zip(facts, known, strict=True)]
        self._store = np.concatenate([self._store, np.array(added, dtype=np.int64)])
        return False
