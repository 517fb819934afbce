"""Tries a few architectures of a space that between them take every option of every choice at least once.

A subset counts as covered when each of its items has been taken and left out; a choice with very many options
when its ends and some between have been. What the relations of the space forbid is left out. As long as all goes
well, an architecture takes as many new options as it can; after a failure each new option is tried among such
as have worked, so that one failure does not hide another. A few architectures at random follow, since what two
options do together is not seen by trying each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nasengine.records import Architecture
from nasengine.space.decisions import Decision
from nasengine.space.space import SearchSpace

MOST_OPTIONS = 32  # of one choice that are all taken
MOST_ARCHITECTURES = 1_000
MOST_FAILURES = 100
AT_RANDOM = 8
TRIES = 30  # to satisfy the relations


def cover(space: SearchSpace, works: Callable[[Architecture], bool], seed: int = 0) -> int:
    """Call `works` on the smallest and the largest architecture, on others until all options are covered, on some more.

    Args:
        works: says whether an architecture is free of failures; options count as covered if it is.
        seed: of what is drawn where nothing else decides.
    Returns: how many architectures were tried.
    """
    state = _Cover(space, works, np.random.default_rng(seed))
    for largest in (False, True):
        state.take_extreme(largest)
    for column in range(len(space.decisions)):
        while state.waiting[column] and state.tried < MOST_ARCHITECTURES and state.failed < MOST_FAILURES:
            state.take(column)
    for _ in range(AT_RANDOM):
        state.judge(space.sample(state.rng))
    return state.tried


class _Cover:
    """What has been tried, what has worked, and what is waiting."""

    def __init__(self, space: SearchSpace, works: Callable[[Architecture], bool], rng: np.random.Generator) -> None:
        self.space = space
        self.works = works
        self.rng = rng
        self.waiting = [_groups(decision) for decision in space.decisions]
        self.good: list[set[int]] = [set() for _ in space.decisions]
        self.judged: dict[Architecture, bool] = {}

    def take_extreme(self, largest: bool) -> None:
        extremes = [_extreme(decision, largest) for decision in self.space.decisions]
        self.try_row({}, extremes.__getitem__)

    def take(self, column: int) -> None:
        """Try the next waiting option of a decision, if the relations allow it."""
        group = self.waiting[column][0]
        for attempt in range(TRIES):
            forced = {column: int(self.rng.choice(sorted(group)))}
            self.force_parents(column, forced)
            if self.try_row(forced, self.anything if attempt else self.preferred):
                break
        self.waiting[column] = [other for other in self.waiting[column] if other is not group]

    def try_row(self, forced: dict[int, int], choose: Callable[[int], int]) -> bool:
        """Try the architecture in which `choose(column)` decides what is active and not forced; False: forbidden."""
        row: list[int] = []
        for column, decision in enumerate(self.space.decisions):
            if not decision.is_active(row):
                row.append(-1)
            else:
                row.append(forced[column] if column in forced else choose(column))
        architecture = self.space.decode(np.array(row, dtype=np.int16))
        if not self.space.satisfies(architecture):
            return False
        if self.judge(architecture):
            for column, index in enumerate(row):
                self.waiting[column] = [group for group in self.waiting[column] if index not in group]
                if index >= 0:
                    self.good[column].add(index)
        return True

    @property
    def tried(self) -> int:
        return len(self.judged)

    @property
    def failed(self) -> int:
        return sum(not worked for worked in self.judged.values())

    def judge(self, architecture: Architecture) -> bool:
        if architecture not in self.judged:
            self.judged[architecture] = self.works(architecture)
        return self.judged[architecture]

    def force_parents(self, column: int, forced: dict[int, int]) -> None:
        """Make `column` active by fixing options of the decisions above it."""
        allowed: dict[int, frozenset[int]] = {}
        while self.space.decisions[column].conditional:
            sites = self.space.decisions[column].sites
            site = sites[int(self.rng.integers(len(sites)))]
            for parent, options in site:
                allowed[parent] = allowed.get(parent, options) & options or options
            column = site[0][0]  # with it the counts in the other conditions are active too
        forced.update((parent, int(self.rng.choice(sorted(options)))) for parent, options in allowed.items())

    def preferred(self, column: int) -> int:
        if self.failed:
            return int(self.rng.choice(sorted(self.good[column]))) if self.good[column] else self.anything(column)
        groups = self.waiting[column]
        return int(self.rng.choice(sorted(groups[0]))) if groups else self.anything(column)

    def anything(self, column: int) -> int:
        return int(self.rng.integers(len(self.space.decisions[column].options)))


def _groups(decision: Decision) -> list[frozenset[int]]:
    """Sets of option indices of which at least one has to be taken."""
    count = len(decision.options)
    if decision.kind == "subset":
        items = {item for option in decision.options for item in option}
        taken = [frozenset(i for i in range(count) if item in decision.options[i]) for item in items]
        every = frozenset(range(count))
        return sorted({group for with_item in taken for group in (with_item, every - with_item) if group}, key=sorted)
    positions = np.unique(np.linspace(0, count - 1, min(count, MOST_OPTIONS)).round().astype(int))
    return [frozenset([int(position)]) for position in positions]


def _extreme(decision: Decision, largest: bool) -> int:
    """The index of the smallest or largest option: by number, by length, or else the first or last."""

    def size(index: int) -> tuple[float, int]:
        option = decision.options[index]
        if isinstance(option, tuple):
            return len(option), index
        return (float(option), index) if isinstance(option, (int, float)) else (0.0, index)

    indices = range(len(decision.options))
    return max(indices, key=size) if largest else min(indices, key=size)
