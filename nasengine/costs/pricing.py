"""Prices architectures of a space: a few directly, many by tables, and finds those that cost what is wanted.

A direct price builds the network without memory and counts: about 15 ms. Tables (see `space.tables`) price a
hundred thousand in the time of a few, but must be found first: seconds to a minute. So a pricer counts directly
until enough was asked of it that tables pay, or something was asked that only tables can answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasengine.costs.counting import total
from nasengine.costs.measuring import measure
from nasengine.costs.records import COSTS, Costs
from nasengine.costs.windows import WindowSampler
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.registry import look_up
from nasengine.space import SearchSpace
from nasengine.space.discovery import Amounts, Discovery, Part
from nasengine.space.elimination import Walk, walk
from nasengine.space.tables import CostTables, Matrix, Table, merge, relation_table

SUMMED = tuple(name for name, about in COSTS.items() if about.reduction == "sum")
PEAKS = tuple(name for name, about in COSTS.items() if about.reduction == "max")


class Priced(NamedTuple):
    """An amount of a cost, and an architecture that costs it."""

    amount: int
    architecture: Architecture


class Pricer:
    """Costs of the architectures of one space.

    Args:
        space: must describe a network.
        network: arguments of the root network that replace those of the space, as in `build`.
        compile_after: how many architectures are priced directly before tables are made.
        widest: most combinations of choices that one table may take to measure; costs that need more have no
            tables and are always counted directly.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        network: Mapping[str, Any] | None = None,
        compile_after: int = 300,
        widest: int = 1500,
    ) -> None:
        self.space, self.network = space, network
        self.compile_after, self.widest = compile_after, widest
        self.without_tables: dict[str, str] = {}
        self._tables: dict[str, CostTables] | None = None
        self._direct: dict[bytes, Costs] = {}
        self._walks: dict[str, Walk] = {}

    # --- pricing -------------------------------------------------------------------------------------------------

    def price(self, architecture: Architecture) -> Costs:
        """What one architecture costs.

        Raises:
            BuildError: its network cannot be built.
        """
        return self.price_many([architecture])[0]

    def price_many(self, architectures: Iterable[Architecture]) -> list[Costs]:
        """What each of some architectures costs, in their order.

        Raises:
            BuildError: a network cannot be built.
        """
        priced = self.price_encoded(self.space.encode_many(architectures))
        return [Costs(*amounts) for amounts in zip(*(priced[name].tolist() for name in COSTS), strict=True)]

    def price_encoded(self, rows: Matrix, names: Sequence[str] = tuple(COSTS)) -> dict[str, NDArray[np.int64]]:
        """Costs of encoded architectures.

        Args:
            rows: (N, D) int16 as from `space.encode_many`: -1 in every inactive column.
            names: of the costs wanted; a cost without tables takes as long as counting each architecture.
        Returns: {name: (N,)}.
        Raises:
            InputError: an unknown name.
            BuildError: a network cannot be built.
        """
        for name in names:
            look_up(COSTS, name, "cost")
        if self._tables is None and len(rows) + len(self._direct) > self.compile_after:
            self.compile()
        tables = self._tables or {}
        priced = {name: tables[name].price(rows) for name in names if name in tables}
        missing = [name for name in names if name not in tables]
        unknown = np.zeros(len(rows), bool) | bool(missing)
        for amounts in priced.values():
            unknown |= amounts < 0
        for name in missing:
            priced[name] = np.zeros(len(rows), np.int64)
        for place in np.flatnonzero(unknown):
            direct = self._count(rows[place]).as_dict()
            for name in names:
                priced[name][place] = direct[name]
        return {name: priced[name] for name in names}

    def _count(self, row: Matrix) -> Costs:
        key = row.astype(np.int16).tobytes()
        if key not in self._direct:
            parts = measure(self.space, self.space.decode(row), network=self.network)
            self._direct[key] = total(parts.values())
        return self._direct[key]

    # --- tables --------------------------------------------------------------------------------------------------

    @property
    def compiled(self) -> bool:
        """Whether tables have been made."""
        return self._tables is not None

    def compile(self) -> Mapping[str, CostTables]:
        """Find the tables, once; costs whose tables would be too wide are noted in `without_tables` with the reason.

        Returns: {name of the cost: its tables}.
        """
        if self._tables is None:
            discovery = Discovery(
                self.space.decisions,
                self._parts,
                self._draw,
                limit=self.widest,
                budget=2 * self.widest,
            )
            discovery.run()
            tables: dict[str, CostTables] = {}
            for family, names in (("sum", SUMMED), ("max", PEAKS)):
                if family in discovery.wide:
                    self.without_tables |= dict.fromkeys(names, discovery.wide[family])
                    continue
                for name, found in zip(names, discovery.tables(family, len(names)), strict=True):
                    reduction = COSTS[name].reduction
                    tables[name] = CostTables(name, reduction, merge(found, reduction))
            self._tables = tables
        return self._tables

    def _draw(self, rng: np.random.Generator) -> Matrix:
        """A row in which small architectures, of which there are few, are no rarer than large ones."""
        by: Literal["uniform", "choice"] = "uniform" if rng.random() < 0.5 else "choice"
        row: Matrix = self.space.sample_encoded(rng, 1, by=by)[0]
        return row

    def _parts(self, row: Matrix) -> dict[Part, Amounts]:
        found: dict[Part, Amounts] = {}
        for part, costs in measure(self.space, self.space.decode(row), network=self.network).items():
            amounts = costs.as_dict()
            for family, names in (("sum", SUMMED), ("max", PEAKS)):
                values = tuple(amounts[name] for name in names)
                if any(values):
                    found[family, part] = values
        return found

    def tables(self, name: str) -> CostTables:
        """The tables of one cost.

        Raises:
            InputError: an unknown name, or a cost that has no tables in this space.
        """
        look_up(COSTS, name, "cost")
        tables = self.compile()
        if name not in tables:
            raise InputError(f"{name} of {self.space.name} has no tables: {self.without_tables[name]}")
        return tables[name]

    def walk(self, name: str) -> Walk:
        """The walk through the decisions of the space for one cost.

        Raises:
            InputError: an unknown name, a cost without tables, choices that hang together too much, or no architecture
                that satisfies the relations and has a network.
        """
        if name not in self._walks:
            try:
                found = walk(self.space.decisions, self.tables(name), relation_tables(self.space))
            except OverflowError as error:
                raise InputError(f"{name} of {self.space.name} cannot be searched exactly: {error}") from error
            if found.empty:
                raise InputError(
                    Problem(
                        f"no architecture of {self.space.name} satisfies the relations and has a network",
                        expected="`nasengine check` says what is wrong with networks",
                    )
                )
            self._walks[name] = found
        return self._walks[name]

    # --- extremes and windows ------------------------------------------------------------------------------------

    def bounds(self, name: str) -> tuple[Priced, Priced]:
        """The cheapest and the dearest architecture of the space, relations respected, and what they cost.

        Raises:
            InputError: as `walk`; a relation that names too many choices at once.
        """
        found = []
        for largest in (False, True):
            amount, row = self.walk(name).extreme(largest=largest)
            architecture = self.space.decode(row)
            if not self.space.satisfies(architecture):
                raise InputError(
                    f"{name} of {self.space.name} has no exact bounds: a relation names too many choices at once"
                )
            found.append(Priced(amount, architecture))
        return found[0], found[1]

    def within(self, windows: Mapping[str, tuple[float | None, float | None]]) -> WindowSampler:
        """A sampler of the architectures whose costs lie in all windows, both ends inside; None is open.

        Raises:
            InputError: an unknown name, or a cost that cannot be searched exactly; no architecture is inside, with
                the nearest prices that architectures have.
        """
        return WindowSampler(self.space, windows, self.walk, self.price_encoded)


def relation_tables(space: SearchSpace) -> list[Table]:
    """The relations of a space as tables; those that name too many choices are left out, to be checked on each draw."""
    tables = []
    for relation in space.compiled_relations:
        with contextlib.suppress(OverflowError):
            tables.append(relation_table(space.decisions, relation))
    return tables
