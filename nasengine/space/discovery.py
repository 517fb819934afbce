"""Finds on which decisions each part of a network depends, by trial, and tabulates the parts.

Nothing is declared: `measure` prices an architecture part by part, and two architectures that agree on all
decisions a part is thought to depend on, but in which that part costs differently, are a *conflict*. Walking from
one of them to the other, a decision at a time, by bisection, ends at a decision that moves the part; it joins the
part's scope. First, a few architectures are changed in one decision at a time, which finds most; then every
combination of every scope is measured, many combinations by one architecture; then random architectures are
predicted until `in_a_row` of them were exact. Each conflict on the way is resolved at once, so scopes only grow
towards the truth, in the worst case to all decisions.

A part with too many combinations is *split* by a decision: what it costs under each option of that is a part of its
own, which may depend on less (what follows a repeat of blocks depends on the last block that is there). If no split
helps, the whole family of costs is *wide*: it is left without tables.

(Above 400 lines because every step reads and extends the same few observations.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nasengine.errors import BuildError
from nasengine.space.decisions import Decision
from nasengine.space.tables import IMPOSSIBLE, LARGEST_TABLE, UNKNOWN, Matrix, Table, combinations, complete

Amounts = tuple[int, ...]
Part = tuple[str, Hashable]  # family of costs, name of the part
FAILS: Part = ("fails", "")  # a part that every architecture without a network has, and no other
Measure = Callable[[Matrix], Mapping[Part, Amounts]]

DEEPEST_SPLIT = 4  # decisions that a part is split by, one below the other
TRIES = 12  # of measuring a combination in different architectures, before it is taken for impossible


Place = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]  # decisions of a scope, and its context


@dataclass(slots=True)
class _Scope:
    """What is known of one part: its decisions, and for each combination an observation that shows it."""

    decisions: tuple[int, ...] = ()
    entries: dict[tuple[int, ...], int] = field(default_factory=dict)
    context: tuple[tuple[int, int], ...] = ()  # (decision, option index): the part is absent elsewhere

    @property
    def place(self) -> Place:
        return self.decisions, self.context


class Discovery:
    """Scopes and tables of the parts of a space.

    Args:
        decisions: of the space.
        measure: row (D,) -> {part: amounts}; a part that is absent costs nothing. Raises BuildError where an
            architecture has no network.
        draw: rng -> row (D,), an architecture of the space. Each option should be drawn often enough: drawn
            uniformly among all architectures, those with few repeats are too rare to be checked.
        limit: combinations of one scope that may be measured.
        budget: architectures that may be measured to fill all tables.
        seed: of every draw.
    """

    def __init__(
        self,
        decisions: Sequence[Decision],
        measure: Measure,
        draw: Callable[[np.random.Generator], Matrix],
        *,
        limit: int = 3000,
        budget: int = 3000,
        seed: int = 0,
    ) -> None:
        self.decisions, self.measure, self.draw = decisions, measure, draw
        self.limit, self.budget = limit, budget
        self.rng = np.random.default_rng([seed, len(decisions)])
        self.rows: list[list[int]] = []
        self.seen: list[dict[Part, Amounts]] = []
        self.known: dict[bytes, int] = {}
        self.scopes: dict[Part, _Scope] = {}
        self.wide: dict[str, str] = {}
        self.splits: dict[Part, int] = {}
        self.impossible: set[tuple[Place, tuple[int, ...]]] = set()
        self._combinations: dict[Place, Matrix] = {}

    @property
    def measured(self) -> int:
        """How many architectures have been measured."""
        return len(self.rows)

    def run(self, *, bases: int = 2, in_a_row: int = 200) -> None:
        """Find all scopes and measure all combinations.

        Args:
            bases: architectures that are changed in one decision at a time.
            in_a_row: random architectures predicted exactly, one after the other, before tables are trusted.
        """
        for base in self._bases(bases):
            self._perturb(base)
        for _ in range(10):
            self._observe(self.draw(self.rng))
        self._drop_what_children_say()
        exact = 0
        while exact < in_a_row:
            self._fill()
            if not self.scopes:
                return
            before = self._version()
            self._observe(self.draw(self.rng))
            exact = exact + 1 if self._version() == before else 0

    def tables(self, family: str, amounts: int) -> list[list[Table]]:
        """For each of the amounts of a family, the tables of its parts, those of equal scope together.

        Args:
            family: must not be wide.
            amounts: how many numbers `measure` gives for a part of this family.
        """
        groups: dict[Place, list[Part]] = {}
        for part, scope in self.scopes.items():
            if part[0] == family:
                groups.setdefault(scope.place, []).append(part)
        found = [[self._table(place, parts, i) for place, parts in groups.items()] for i in range(amounts)]
        for part in [part for part in self.scopes if part[0] == FAILS[0]]:
            fails = self._table(self.scopes[part].place, [part], 0)
            table = Table(fails.scope, np.where(fails.amounts > 0, IMPOSSIBLE, fails.amounts))
            found = [[*tables, table] for tables in found]
        return found

    def _table(self, place: Place, parts: Sequence[Part], index: int) -> Table:
        scope, context = place
        entries = self.scopes[parts[0]].entries
        array = np.full([len(self.decisions[i].options) + 1 for i in scope], UNKNOWN, np.int64)
        together = max if parts[0][0] == "max" else sum
        for key, observation in entries.items():
            seen = self.seen[observation]
            array[tuple(k + 1 for k in key)] = together(seen[part][index] if part in seen else 0 for part in parts)
        for among, key in self.impossible:
            if among == place:
                array[tuple(k + 1 for k in key)] = IMPOSSIBLE
        for decision, option in context:
            axis = scope.index(decision)
            elsewhere = np.arange(array.shape[axis]) != option + 1
            array[(slice(None),) * axis + (elsewhere,)] = 0
        return Table(scope, array)

    # --- observing -----------------------------------------------------------------------------------------------

    def _observe(self, row: Matrix) -> int:
        """Measure a row unless it has been, and resolve what it contradicts; its number."""
        number = self._measured(row)
        while True:
            conflict = next(self._conflicts(number), None)
            if conflict is None:
                return number
            self._resolve(*conflict)

    def _measured(self, row: Matrix) -> int:
        key = row.astype(np.int16).tobytes()
        if key in self.known:
            return self.known[key]
        try:
            measured: Mapping[Part, Amounts] = self.measure(row)
        except BuildError:
            measured = {FAILS: (1,)}
        options = row.tolist()
        parts = {self._name(part, options): a for part, a in measured.items() if part[0] not in self.wide}
        number = len(self.rows)
        self.known[key] = number
        self.rows.append(options)
        self.seen.append(parts)
        for part in parts:
            if part not in self.scopes:
                self.scopes[part] = _Scope()
                self._extend(part, [])
        return number

    def _tells(self, part: Part, number: int) -> bool:
        """Whether an observation says anything of a part: one that could not be built says only that."""
        row = self.rows[number]
        if any(row[decision] != option for decision, option in self.scopes[part].context):
            return False
        return part[0] == FAILS[0] or not self._failed(number)

    def _failed(self, number: int) -> bool:
        return self._name(FAILS, self.rows[number]) in self.seen[number]

    def _name(self, part: Part, row: Sequence[int]) -> Part:
        """The part that stands for `part` in a row, once that has been split."""
        while part in self.splits:
            decision = self.splits[part]
            part = part[0], (part[1], decision, row[decision])
        return part

    def _conflicts(self, number: int) -> Iterator[tuple[Part, int, int]]:
        row, seen = self.rows[number], self.seen[number]
        for part, scope in list(self.scopes.items()):
            if not self._tells(part, number):
                continue
            key = tuple([row[i] for i in scope.decisions])
            other = scope.entries.setdefault(key, number)
            if other != number and self.seen[other].get(part) != seen.get(part):
                yield part, other, number

    def _resolve(self, part: Part, one: int, other: int) -> None:
        """Add decisions to the part's scope until all that was observed of it agrees."""
        scope = self.scopes[part]
        conflict: tuple[int, int] | None = (one, other)
        while conflict is not None:
            self._extend(part, self._separating(part, *conflict))
            conflict = None
            for number, row in enumerate(self.rows):
                if not self._tells(part, number):
                    continue
                key = tuple([row[i] for i in scope.decisions])
                first = scope.entries.setdefault(key, number)
                if first != number and self.seen[first].get(part) != self.seen[number].get(part):
                    conflict = first, number
                    break

    def _extend(self, part: Part, found: Iterable[int]) -> None:
        scope = self.scopes[part]
        scope.decisions = tuple(sorted({*scope.decisions, *found}))
        scope.entries = {}
        for number, row in enumerate(self.rows):
            if self._tells(part, number):
                scope.entries.setdefault(tuple([row[i] for i in scope.decisions]), number)

    def _separating(self, part: Part, one: int, other: int) -> list[int]:
        """A decision outside the scope that moves the part, on the way from one row to another."""
        start, end = np.array(self.rows[one], np.int16), np.array(self.rows[other], np.int16)
        low, high = 0, len(self.decisions)
        first = self.seen[one].get(part)
        while high - low > 1:
            middle = (low + high) // 2
            between = np.concatenate([end[:middle], start[middle:]])
            number = self._measured(complete(self.decisions, [between, end, start], self.rng))
            if not self._tells(part, number):
                low = -1
                break
            if self.seen[number].get(part) != first:
                high = middle
            else:
                low = middle
        if low in self.scopes[part].decisions or low < 0:
            return [i for i in range(len(self.decisions)) if start[i] != end[i]]
        return [low]

    # --- finding scopes ------------------------------------------------------------------------------------------

    def _bases(self, count: int) -> list[Matrix]:
        """Of some drawn rows, those that answer most decisions, so that together all are answered if possible."""
        drawn = [self.draw(self.rng) for _ in range(64)]
        taken: list[Matrix] = []
        answered = np.zeros(len(self.decisions), bool)
        while drawn and len(taken) < 2 * count:
            best = max(range(len(drawn)), key=lambda i: int(((drawn[i] >= 0) & ~answered).sum()))
            if len(taken) >= count and not ((drawn[best] >= 0) & ~answered).any():
                break
            answered |= drawn[best] >= 0
            taken.append(drawn.pop(best))
        return taken

    def _perturb(self, base: Matrix) -> None:
        """Change one decision at a time, children before parents, so that a part depends on the nearest cause."""
        here = self._observe(base)
        for index in reversed(range(len(self.decisions))):
            options = len(self.decisions[index].options)
            if base[index] < 0 or options < 2:
                continue
            changed = base.copy()
            changed[index] = (base[index] + self.rng.integers(1, options)) % options
            there = self._measured(complete(self.decisions, [changed], self.rng))
            before, after = self.rows[here], self.rows[there]
            for part, scope in self.scopes.items():
                told = self._tells(part, here) and self._tells(part, there)
                moved = told and self.seen[here].get(part) != self.seen[there].get(part)
                if moved and all(before[i] == after[i] for i in scope.decisions):
                    self._extend(part, [index])

    def _drop_what_children_say(self) -> None:
        """Drop decisions that tell nothing the rest of the scope does not: a parent whose child shows it."""
        for part, scope in self.scopes.items():
            for index in sorted(scope.decisions, key=lambda i: -len(self.decisions[i].options)):
                rest = tuple(i for i in scope.decisions if i != index)
                above = {parent for i in rest for parent in self.decisions[i].above}
                told = [number for number in range(len(self.rows)) if self._tells(part, number)]
                if index in above and self._agrees(part, rest, told):
                    scope.decisions = rest
                    self._extend(part, [])

    def _agrees(self, part: Part, decisions: Sequence[int], told: Sequence[int]) -> bool:
        """Whether observations that agree on some decisions agree on the part."""
        entries: dict[tuple[int, ...], Amounts | None] = {}
        for number in told:
            amounts, row = self.seen[number].get(part), self.rows[number]
            if entries.setdefault(tuple([row[i] for i in decisions]), amounts) != amounts:
                return False
        return True

    # --- measuring every combination -----------------------------------------------------------------------------

    def _version(self) -> int:
        """Changes when a scope does."""
        return sum(len(scope.decisions) + 1 for scope in self.scopes.values())

    def _fill(self) -> None:
        """Measure until every scope has every combination, each time as many at once as one row can hold."""
        version = -1
        missing: dict[Place, Matrix] = {}
        tries: dict[tuple[Place, tuple[int, ...]], int] = {}
        while True:
            if version != self._version():
                missing = self._missing()
                version = self._version()
            if not missing:
                return
            row, chosen = self._covering(missing)
            if self._failed(self._observe(row)):
                for place in chosen:
                    key = place, tuple(row[list(place[0])].tolist())
                    tries[key] = tries.get(key, 0) + 1
                    if tries[key] < TRIES:
                        continue
                    self.impossible.add(key)
                    missing = _without(missing, place, row)
            else:
                for place in list(missing):
                    missing = _without(missing, place, row)

    def _missing(self) -> dict[Place, Matrix]:
        """For each scope, rows that show its combinations not yet seen."""
        representatives: dict[Place, Part] = {}
        for part, scope in self.scopes.items():
            representatives.setdefault(scope.place, part)
        missing = {}
        for place, part in representatives.items():
            try:
                rows = self._all(place)
            except OverflowError as error:
                if not self._split(part):
                    self._give_up(part[0], f"{part[1]} depends on {len(place[0])} decisions together ({error})")
                return self._missing()
            entries = self.scopes[part].entries
            keys = map(tuple, rows[:, list(place[0])].tolist())
            new = [key not in entries and (place, key) not in self.impossible for key in keys]
            if any(new):
                missing[place] = rows[new]
        largest = max(missing, key=lambda place: len(missing[place]), default=None)
        if largest is not None and self.measured + len(missing[largest]) > self.budget:
            part = representatives[largest]
            self._give_up(part[0], f"{part[1]} alone needs {len(missing[largest])} more architectures to be measured")
            return self._missing()
        return missing

    def _all(self, place: Place) -> Matrix:
        """Every combination of a scope in its context."""
        if place not in self._combinations:
            decisions, context = place
            if math.prod(len(self.decisions[i].options) + 1 for i in decisions) > LARGEST_TABLE:
                raise OverflowError(f"more than {LARGEST_TABLE} numbers")
            self._combinations[place] = combinations(self.decisions, decisions, self.limit, dict(context))
        return self._combinations[place]

    def _split(self, part: Part) -> bool:
        """Make a part of what `part` costs under each option of one decision, if that leaves little enough."""
        scope = self.scopes[part]
        if len(scope.context) >= DEEPEST_SPLIT:
            return False
        within = {decision for decision, _ in scope.context}
        above = {parent for i in scope.decisions for parent in self.decisions[i].above}
        above |= {parent for i in above for parent in self.decisions[i].above}
        best: tuple[int, int, dict[int, _Scope]] | None = None
        for decision in sorted({*scope.decisions, *above} - within):
            pieces = self._pieces(part, decision)
            try:
                size = sum(len(self._all(piece.place)) for piece in pieces.values())
            except OverflowError:
                continue
            if best is None or size < best[0]:
                best = size, decision, pieces
        if best is None:
            return False
        _, decision, pieces = best
        self.splits[part] = decision
        del self.scopes[part]
        for row, seen in zip(self.rows, self.seen, strict=True):
            if part in seen:
                seen[self._name(part, row)] = seen.pop(part)
        for option, piece in pieces.items():
            new = part[0], (part[1], decision, option)
            self.scopes[new] = piece
            self._extend(new, [])
            shown = next((n for n in range(len(self.rows)) if self._tells(new, n)), None)
            if shown is not None:
                self._perturb(np.array(self.rows[shown], np.int16))
        return True

    def _pieces(self, part: Part, decision: int) -> dict[int, _Scope]:
        """For each option of a decision, the smallest scope that agrees with what was observed of the part there."""
        scope = self.scopes[part]
        pieces = {}
        for option in range(-1, len(self.decisions[decision].options)):
            context = (*scope.context, (decision, option))
            always = {other for other, _ in context}
            told = [n for n in range(len(self.rows)) if self.rows[n][decision] == option and self._tells(part, n)]
            kept = [i for i in scope.decisions if i not in always]
            for index in sorted(kept, key=lambda i: -len(self.decisions[i].options)):
                rest = [i for i in kept if i != index]
                if self._agrees(part, rest, told):
                    kept = rest
            pieces[option] = _Scope(tuple(sorted({*kept, *always})), {}, context)
        return pieces

    def _give_up(self, family: str, reason: str) -> None:
        self.wide[family] = reason
        if family == FAILS[0]:  # what cannot be built must be told apart, or nothing can be priced by tables
            for other in {part[0] for part in self.scopes} - {family}:
                self._give_up(other, f"whether there is a network: {reason}")
        self.scopes = {part: scope for part, scope in self.scopes.items() if part[0] != family}
        self.seen = [{p: a for p, a in seen.items() if p[0] != family} for seen in self.seen]

    def _covering(self, missing: Mapping[Place, Matrix]) -> tuple[Matrix, list[Place]]:
        """A row that shows a missing combination of as many scopes as fit together."""
        partial = np.full(len(self.decisions), -2, np.int16)
        chosen = []
        for place in sorted(missing, key=lambda place: -len(missing[place])):
            rows = missing[place]
            fits = np.flatnonzero(((rows == partial) | (rows == -2) | (partial == -2)).all(axis=1))
            if len(fits):
                row = rows[self.rng.choice(fits)]
                partial = np.where(row == -2, partial, row).astype(np.int16)
                chosen.append(place)
        return complete(self.decisions, [partial], self.rng), chosen


def _without(missing: dict[Place, Matrix], place: Place, row: Matrix) -> dict[Place, Matrix]:
    """The same without the combination that a row shows; scopes with nothing missing are left out."""
    columns = list(place[0])
    rest = missing[place][(missing[place][:, columns] != row[columns]).any(axis=1)] if columns else missing[place][:0]
    return {**missing, place: rest} if len(rest) else {other: rows for other, rows in missing.items() if other != place}
