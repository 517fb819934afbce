"""A few architectures of a space that between them take every option of every choice at least once.

A subset counts as covered when each of its items has been taken and left out; a choice with very many options
when its ends and some between have been. What the relations of the space forbid is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nasengine.records import Architecture
from nasengine.space.decisions import Decision
from nasengine.space.space import SearchSpace

MOST_OPTIONS = 32  # of one choice that are all taken
MOST_ARCHITECTURES = 1_000
TRIES = 30  # to satisfy the relations


def covering_architectures(space: SearchSpace, seed: int = 0) -> Iterator[Architecture]:
    """Yield the smallest and the largest architecture, then others until all options are covered."""
    rng = np.random.default_rng(seed)
    decisions = space.decisions
    waiting = [_groups(decision) for decision in decisions]
    made = 0

    def finish(row: list[int]) -> Architecture | None:
        nonlocal made
        architecture = space.decode(row)
        if not space.satisfies(architecture):
            return None
        for column, index in enumerate(row):
            waiting[column] = [group for group in waiting[column] if index not in group]
        made += 1
        return architecture

    for largest in (False, True):
        extremes = [_extreme(decision, largest) for decision in decisions]
        architecture = finish(_row(decisions, {}, extremes.__getitem__))
        if architecture is not None:
            yield architecture

    def prefer_new(column: int) -> int:
        groups = waiting[column]
        return int(rng.choice(sorted(groups[0]))) if groups else anything(column)

    def anything(column: int) -> int:
        return int(rng.integers(len(decisions[column].options)))

    while made < MOST_ARCHITECTURES:
        target = next((column for column, groups in enumerate(waiting) if groups), None)
        if target is None:
            if made == 0:  # a space without choices, or whose extremes no relation allows
                yield space.sample(rng)
            return
        group = waiting[target][0]
        for attempt in range(TRIES):
            forced = {target: int(rng.choice(sorted(group)))}
            _force_parents(decisions, target, forced, rng)
            architecture = finish(_row(decisions, forced, anything if attempt else prefer_new))
            if architecture is not None:
                yield architecture
                break
        waiting[target] = [other for other in waiting[target] if other is not group]


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
        return (float(option), 0) if isinstance(option, (int, float)) else (0.0, index)

    indices = range(len(decision.options))
    return max(indices, key=size) if largest else min(indices, key=size)


def _row(decisions: tuple[Decision, ...], forced: dict[int, int], choose: Callable[[int], int]) -> list[int]:
    """A canonical row in which `choose(column)` decides what is active and not forced."""
    row: list[int] = []
    for column, decision in enumerate(decisions):
        if not any(site is None or row[site[0]] in site[1] for site in decision.sites):
            row.append(-1)
        else:
            row.append(forced[column] if column in forced else choose(column))
    return row


def _force_parents(
    decisions: tuple[Decision, ...], column: int, forced: dict[int, int], rng: np.random.Generator
) -> None:
    """Make `column` active by fixing options of the decisions above it."""
    while None not in decisions[column].sites:
        sites = [site for site in decisions[column].sites if site is not None]
        parent, options = sites[int(rng.integers(len(sites)))]
        forced[parent] = int(rng.choice(sorted(options)))
        column = parent
