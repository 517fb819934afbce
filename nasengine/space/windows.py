"""Draws architectures whose cost lies in a window, from the same distribution as without the window.

The distribution is that of the space (each architecture in proportion to the weights of its options), conditioned
on the window. Along a walk through the decisions (`elimination`) a histogram of costs is carried from state to
state; then architectures are drawn backwards from the bins of the window. Bins round: the cost of each step is
rounded down to a multiple of the bin's width, and bins are drawn from far enough below the window that nothing
inside it can be missed. What is drawn is priced exactly and kept only if it is inside, so the distribution is
exact, whatever the width of the bins; the width only decides how many draws are thrown away.

Shapes:  S states of a step   B bins   T transitions   n draws   D decisions
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.space.elimination import Step, Walk
from nasengine.space.tables import Matrix

MOST_BINS = 16_384
FINEST_BINS = 1_000_000
MOST_BYTES = 300_000_000  # of all histograms together
BINS_A_STEP = 4  # in a window, for each step that costs anything: rounding then wastes about one draw in five
CHUNK = 4096
LARGEST_PART = 2_000_000  # chances worked out at once
MOST_DRAWS = 400  # for each architecture asked for, on average, before giving up


@dataclass(frozen=True, slots=True)
class _Binned:
    """A step whose costs are whole bins, its transitions sorted by target."""

    step: Step
    shift: NDArray[np.int64]
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    widest: int


class WindowedDraws:
    """Draws paths of a walk whose cost is in a window.

    Args:
        walk: of the space, for the cost.
        low, high: the window, both ends inside.
        finest: bins as narrow as memory allows, for windows that coarse bins cannot tell from what is around them.
    """

    def __init__(self, walk: Walk, low: int, high: int, *, finest: bool = False) -> None:
        self.walk, self.low = walk, low
        most = walk.extreme(largest=True)[0]
        self.high = high = min(high, most)
        if not walk.steps:  # no choices: one architecture, and no step that would carry its cost
            low, high = low - most, high - most
        self.decisions = walk.width
        self.exact = True
        if walk.costs.reduction == "sum":
            steps, shifts, bins, lowest, self.exact = _sum_bins(walk.steps, low, high, finest)
            final = np.zeros((1, max(bins, 1)), bool)
            final[0, max(lowest, 0) :] = bins > 0
        else:
            steps, shifts = _peak_flags(walk.steps, low, high)
            bins, final = int(high >= 0), np.array([[low <= 0], [True]])
        self.steps = [_binned(step, shift) for step, shift in zip(steps, shifts, strict=True)]
        self.histograms = self._forward(max(bins, 1), len(final)) if bins > 0 else []
        last = self.histograms[-1] * final if self.histograms else final * 0.0
        self._last = np.flatnonzero(last)
        self._chances = last.reshape(-1)[self._last]
        self.log_mass = math.log(self._chances.sum()) + self._log_scale if len(self._last) else -math.inf

    @property
    def empty(self) -> bool:
        """Whether it is certain that no architecture is inside the window."""
        return len(self._last) == 0

    def _forward(self, bins: int, initial_states: int) -> list[NDArray[np.float64]]:
        """Histograms (S, B) before the first step and after each one, each up to a factor of its own."""
        histogram = np.zeros((initial_states, bins))
        histogram[0, 0] = 1.0
        histograms = [histogram]
        self._log_scale = 0.0
        for binned in self.steps:
            step = binned.step
            following = np.zeros((step.states, bins))
            alive: NDArray[np.bool_] = np.asarray(histogram.any(axis=1))
            moves = zip(
                step.source.tolist(), step.target.tolist(), binned.shift.tolist(), step.weight.tolist(), strict=True
            )
            for source, target, shift, weight in moves:
                if alive[source] and shift < bins:
                    following[target, shift:] += weight * histogram[source, : bins - shift]
            largest = following.max(initial=0.0)
            if largest > 0:
                following /= largest
                self._log_scale += math.log(largest)
            histogram = following
            histograms.append(histogram)
        return histograms

    def draw(self, rng: np.random.Generator, count: int) -> Matrix:
        """Rows (count, D) whose cost is in the window or, by rounding, close below it."""
        rows = np.full((count, self.decisions), -1, np.int16)
        bins = self.histograms[-1].shape[1]
        reached = np.cumsum(self._chances)
        place = self._last[
            np.minimum(np.searchsorted(reached, rng.random(count) * reached[-1], "right"), len(reached) - 1)
        ]
        state, room = place // bins, place % bins
        for binned, before in zip(reversed(self.steps), reversed(self.histograms[:-1]), strict=True):
            chosen = np.empty(count, np.int64)
            part = max(1, LARGEST_PART // binned.widest)
            for first in range(0, count, part):
                here = slice(first, first + part)
                chosen[here] = _choose(binned, before, state[here], room[here], rng)
            rows[:, binned.step.decision] = binned.step.option[chosen]
            state, room = binned.step.source[chosen], room - binned.shift[chosen]
        return rows


def _choose(
    binned: _Binned,
    before: NDArray[np.float64],
    state: NDArray[np.int64],
    room: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """For each of n draws that are in `state` (n,) with `room` (n,) bins left, the transition that led there: (n,).

    Draws in the same place share a row of chances (U, K); all rows laid end to end are searched at once.
    """
    bins = before.shape[1]
    places, whose = np.unique(state * bins + room, return_inverse=True)
    state, room = places // bins, places % bins
    offset = np.arange(binned.widest)
    move = np.minimum(binned.start[state][:, None] + offset, len(binned.shift) - 1)  # (U, K)
    left = room[:, None] - binned.shift[move]
    possible = (offset < binned.count[state][:, None]) & (left >= 0)
    chances = binned.step.weight[move] * before[binned.step.source[move], np.maximum(left, 0)] * possible
    reached = np.cumsum(chances, axis=1)
    reached /= reached[:, -1:]
    reached += np.arange(len(places))[:, None]
    found = np.searchsorted(reached.reshape(-1), whose + rng.random(len(whose)), "right")
    last = np.argmax(reached >= reached[:, -1:], axis=1)
    taken = np.clip(found - whose * binned.widest, 0, last[whose])
    return np.asarray(move[whose, taken])


def _binned(step: Step, shift: NDArray[np.int64]) -> _Binned:
    count = np.bincount(step.target, minlength=step.states)
    start = np.concatenate([[0], np.cumsum(count)[:-1]]) if len(count) else np.zeros(0, np.int64)
    return _Binned(step, shift, start, count, int(count.max(initial=1)))


def _sum_bins(
    steps: Sequence[Step], low: int, high: int, finest: bool
) -> tuple[Sequence[Step], list[NDArray[np.int64]], int, int, bool]:
    """Costs of each step in bins.

    Returns: the steps, their costs in bins, how many bins there are up to the top of the window, the lowest bin that
        may hold a cost inside, and whether nothing was rounded.
    """
    bases = [int(step.cost.min(initial=np.iinfo(np.int64).max)) if len(step.cost) else 0 for step in steps]
    extra = [step.cost - base for step, base in zip(steps, bases, strict=True)]
    room = high - sum(bases)
    unit = math.gcd(*(int(np.gcd.reduce(costs)) for costs in extra if len(costs)), 0) or 1
    costly = sum(bool(costs.any()) for costs in extra)
    states = sum(step.states for step in steps) + 1
    most = max(64, min(FINEST_BINS if finest else MOST_BINS, MOST_BYTES // (8 * states)))
    width = max(1, (high - low + 1) // (BINS_A_STEP * max(1, costly)) if not finest else 1, room // most + 1)
    width = max(unit, width // unit * unit)
    shifts = [costs // width for costs in extra]
    slack = sum(int((costs - shift * width).max(initial=0)) for costs, shift in zip(extra, shifts, strict=True))
    lowest = -((slack + sum(bases) - low) // width)
    return steps, shifts, (room // width + 1 if room >= 0 else 0), lowest, slack == 0


def _peak_flags(steps: Sequence[Step], low: int, high: int) -> tuple[list[Step], list[NDArray[np.int64]]]:
    """States doubled by whether `low` has been reached; transitions above `high` left out."""
    flagged = []
    for step in steps:
        inside = step.cost <= high
        source, target = step.source[inside] * 2, step.target[inside] * 2
        reaches = (step.cost[inside] >= low).astype(np.int64)
        order = np.argsort(np.concatenate([target + reaches, target + 1]), kind="stable")

        def both(first: NDArray[np.generic], second: NDArray[np.generic], order: NDArray[np.int64] = order) -> NDArray:  # type: ignore[type-arg]
            return np.concatenate([first, second])[order]

        flagged.append(
            Step(
                step.decision,
                step.states * 2,
                both(source, source + 1),
                both(target + reaches, target + 1),
                both(step.option[inside], step.option[inside]),
                both(step.weight[inside], step.weight[inside]),
                both(step.cost[inside], step.cost[inside]),
            )
        )
    return flagged, [np.zeros(len(step.target), np.int64) for step in flagged]


@dataclass(slots=True)
class Drawn:
    """How many draws were made and kept so far."""

    made: int = 0
    kept: int = 0

    @property
    def acceptance(self) -> float:
        """Share of draws that were kept."""
        return self.kept / self.made if self.made else 0.0


def draw_until(
    draws: WindowedDraws,
    keep: Callable[[Matrix], Any],
    rng: np.random.Generator,
    count: int,
    *,
    most: int | None = None,
) -> tuple[Matrix, Drawn]:
    """Draw until `count` rows are kept, or so many were made that it is hopeless.

    Args:
        keep: (n, D) rows -> (n,) which are wanted.
        most: draws to make at most; some hundred for each row wanted if left out.
    Returns: (at most count, D) rows, and how it went.
    """
    drawn = Drawn()
    kept: list[Matrix] = []
    most = MOST_DRAWS * count + 20 * CHUNK if most is None else most
    while drawn.kept < count and drawn.made < most and not draws.empty:
        wanted = count - drawn.kept
        expected = wanted / drawn.acceptance if drawn.kept else wanted * (1 if not drawn.made else 8)
        rows = draws.draw(rng, int(min(CHUNK, max(16, 1.3 * expected))))
        inside = rows[keep(rows)]
        drawn.made, drawn.kept = drawn.made + len(rows), drawn.kept + len(inside)
        kept.append(inside)
    rows = np.concatenate(kept) if kept else np.zeros((0, draws.decisions), np.int16)
    return rows[:count], drawn


def nearest_prices(walk: Walk, low: int, high: int, rounds: int = 16) -> tuple[int | None, int | None]:
    """Costs below and above a window that architectures have; the nearest such, unless bins hide a nearer one.

    Args:
        rounds: of bisection on each side; each halves the stretch beside the window in which one may be nearer.
    """
    least, most = walk.extreme(largest=False)[0], walk.extreme(largest=True)[0]
    if most < low or least > high:
        return (most, None) if most < low else (None, least)
    rng = np.random.default_rng(0)

    def between(first: int, last: int) -> NDArray[np.int64]:
        def inside(rows: Matrix) -> NDArray[np.bool_]:
            amounts = walk.costs.price(rows)
            return (amounts >= first) & (amounts <= last)

        return walk.costs.price(draw_until(WindowedDraws(walk, first, last), inside, rng, 32, most=CHUNK)[0])

    below, above = least, most
    nothing_from, nothing_to = low, high
    for _ in range(rounds):
        if below + 1 < nothing_from:
            middle = (below + nothing_from) // 2
            found = between(middle, nothing_from - 1)
            below, nothing_from = (int(found.max()), nothing_from) if len(found) else (below, middle)
        if nothing_to + 1 < above:
            middle = (above + nothing_to + 1) // 2
            found = between(nothing_to + 1, middle)
            above, nothing_to = (int(found.min()), nothing_to) if len(found) else (above, middle)
    return (below if below < low else None), (above if above > high else None)
