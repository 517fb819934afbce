"""How far a ranking agrees with the truth: rank correlations, regret of its first, the best among its first k.

Both sides are scores, larger is better. Equal predictions say nothing of their order: correlations treat them as ties,
and what depends on who comes first is the mean over all orders of equals. Intervals are percentiles over bootstrap
samples of the architectures [Boot]: they say how much the figures owe to which architectures there were, not to the
seed of what was ranked (for that, rank several runs).

Shapes:  N architectures   B bootstrap samples
Sources: [K]    Kendall, "The treatment of ties in ranking problems", Biometrika 33(3), 1945: tau-b
         [Kn]   Knight, "A computer method for calculating Kendall's tau with ungrouped data", JASA 61(314), 1966
         [Boot] Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13: percentile intervals
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scores: TypeAlias = NDArray[np.float64]
Draws: TypeAlias = NDArray[np.int64]

TOPS = (1, 3, 5, 10)
SAMPLES, LEVEL = 2000, 0.95
MOST_SAMPLES = 1_000_000  # minutes for a few dozen architectures, and no end of an interval moves by then
AT_ONCE = 2**20  # at most so many places are drawn at a time, in 8 MiB
FEW = 128  # at most so many are compared each with each


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the ends of its interval; None where it has no value (all predictions equal, say)."""

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """B samples of the architectures, (N,) places each; the same every time, so for rankings that are compared.

    They are drawn as they are gone through: all of them at once are gigabytes for a large table.

    Args:
        count: of the architectures, N.
        samples: how many, B.
        seed: of the draws.
    """

    count: int
    samples: int = field(default=SAMPLES, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __iter__(self) -> Iterator[Draws]:
        generator = np.random.default_rng([self.seed, self.count])
        rows = max(1, AT_ONCE // self.count)
        for start in range(0, self.samples, rows):
            yield from generator.integers(self.count, size=(min(rows, self.samples - start), self.count))


@dataclass(frozen=True)
class Agreement:
    """How far one ranking agrees with the truth.

    Args:
        count: of the architectures, N.
        figures: "kendall", "spearman", "pearson"; "regret": by how much the best there is beats the first of the
            ranking; "top_1", "top_3", …: the best truth among the first k.
    """

    count: int
    figures: Mapping[str, Estimate] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Estimate:
        return self.figures[name]

    def to_json(self) -> dict[str, Any]:
        return {name: figure.to_json() for name, figure in self.figures.items()}


def agreement(
    predicted: Sequence[float] | Scores,
    truth: Sequence[float] | Scores,
    *,
    best: float | None = None,
    tops: Sequence[int] = TOPS,
    draws: Iterable[Draws] | None = None,
) -> Agreement:
    """How far a ranking agrees with the truth, with intervals.

    Args:
        predicted: N scores that rank the architectures.
        truth: N scores that say what they are worth.
        best: truth of the best that there is, where that is none of them.
        tops: how many of the first are looked at; those above N are left out.
        draws: B bootstrap samples, (N,) places each, to be gone through once a figure. None: those of the seed 0.

    Raises:
        ValueError: two sequences of different length, or fewer than two architectures.
    """
    scores, true = np.asarray(predicted, dtype=float), np.asarray(truth, dtype=float)
    if scores.shape != true.shape or scores.ndim != 1 or len(scores) < 2:
        raise ValueError(f"need two equally long rankings of at least 2, got {scores.shape} and {true.shape}")
    if draws is None:
        draws = Bootstrap(len(scores))
    optimum = float(true.max()) if best is None else best
    figures: dict[str, Callable[[Scores, Scores], float]] = {
        "kendall": kendall,
        "spearman": spearman,
        "pearson": pearson,
        "regret": lambda scores, true: optimum - best_in_top(scores, true, 1),
    }
    for k in tops:
        if k <= len(scores):
            figures[f"top_{k}"] = functools.partial(best_in_top, k=k)
    return Agreement(len(scores), {name: _estimate(figure, scores, true, draws) for name, figure in figures.items()})


def difference(first: Scores, second: Scores, truth: Scores, draws: Iterable[Draws]) -> Estimate:
    """By how much the tau-b of one ranking exceeds that of another, on the same bootstrap samples."""
    value = kendall(first, truth) - kendall(second, truth)
    return _interval(value, [kendall(first[at], truth[at]) - kendall(second[at], truth[at]) for at in draws])


def kendall(first: Scores, second: Scores) -> float:
    """Kendall's tau-b [K]: -1 … 1, 0 for no agreement; NaN if all of one side are equal.

    O(N log N) for many [Kn]; a few are compared each with each, which is quicker for these.
    """
    if len(first) <= FEW:
        x, y = np.sign(np.subtract.outer(first, first)), np.sign(np.subtract.outer(second, second))
        ordered = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
        return float((x * y).sum()) / ordered if ordered else math.nan
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    pairs = _pairs(np.array([len(first)]))
    tied_first, tied_second = _tied(first), _tied(second)
    both = _pairs(_runs((first[1:] != first[:-1]) | (second[1:] != second[:-1])))
    free = math.sqrt(pairs - tied_first) * math.sqrt(pairs - tied_second)
    if free == 0:
        return math.nan
    # Equals of the first side stand in the order of the second, so they add no inversion.
    return float((pairs - tied_first - tied_second + both - 2 * inversions(second)) / free)


def spearman(first: Scores, second: Scores) -> float:
    """Spearman's rho: Pearson's correlation of the ranks, equals sharing the mean of theirs."""
    return pearson(mid_ranks(first), mid_ranks(second))


def pearson(first: Scores, second: Scores) -> float:
    """Pearson's correlation; NaN if all of one side are equal."""
    if (first == first[0]).all() or (second == second[0]).all():
        return math.nan
    x, y = first - first.mean(), second - second.mean()
    return float(x @ y / math.sqrt(float(x @ x) * float(y @ y)))


def best_in_top(scores: Scores, truth: Scores, k: int) -> float:
    """The best truth among the k highest scores; where equals straddle the k-th place, its mean over their orders."""
    last = np.partition(scores, len(scores) - k)[len(scores) - k]  # the score of the k-th
    surely = truth[scores > last]
    above = float(surely.max()) if len(surely) else -math.inf
    equals = np.sort(np.maximum(truth[scores == last], above))[::-1]
    free = k - len(surely)  # places for some of the equals, every subset as likely
    if free == len(equals):
        return float(equals[0])
    chance, mean = 1.0, 0.0
    for place, value in enumerate(map(float, equals)):  # best first: the best of the subset if no better one is in it
        inside = min(1.0, free / (len(equals) - place))
        mean += chance * inside * value
        chance *= 1 - inside
    return min(mean, float(equals[0]))  # rounded, the mean of equal truths may lie a little above them


def mid_ranks(values: Scores) -> Scores:
    """Ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(last - (counts - 1) / 2, dtype=float)[places]


def inversions(values: Scores) -> int:
    """How many pairs stand in falling order.

    Bit by bit of their ranks, highest first: pairs that first differ in this bit are inverted if the one stands before
    the zero. Every step is a stable partition of all values at once.
    """
    ranks = np.unique(values, return_inverse=True)[1]
    found = 0
    for bit in reversed(range(int(ranks.max()).bit_length())):
        above, ones = ranks >> (bit + 1), (ranks >> bit) & 1
        before = np.cumsum(ones) - ones  # ones before each place, of all groups
        starts = np.flatnonzero(np.diff(above, prepend=above[0] - 1))
        group = np.cumsum(np.diff(above, prepend=above[0] - 1) != 0) - 1
        found += int(((before - before[starts][group]) * (1 - ones)).sum())
        ranks = ranks[np.argsort(ranks >> bit, kind="stable")]
    return found


def _estimate(
    figure: Callable[[Scores, Scores], float], scores: Scores, truth: Scores, draws: Iterable[Draws]
) -> Estimate:
    return _interval(figure(scores, truth), [figure(scores[at], truth[at]) for at in draws])


def _interval(value: float, sampled: Sequence[float]) -> Estimate:
    """The figure and the percentiles of those of its bootstrap samples that have a value."""
    usable = np.array(sampled, dtype=float)
    usable = usable[np.isfinite(usable)]
    if not math.isfinite(value) or not len(usable):
        return Estimate(None, None, None)
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _tied(values: Scores) -> int:
    """How many pairs are equal."""
    return _pairs(np.unique(values, return_counts=True)[1])


def _runs(changes: NDArray[np.bool_]) -> Draws:
    """The lengths of the runs between changes of N values, given for the places 1 … N - 1."""
    ends = np.concatenate(([-1], np.flatnonzero(changes), [len(changes)]))
    return np.diff(ends)


def _pairs(sizes: Draws) -> int:
    """How many pairs there are within groups of these sizes."""
    return int((sizes * (sizes - 1) // 2).sum())
