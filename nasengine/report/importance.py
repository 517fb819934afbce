"""How much of an objective's variance each choice explains, with an interval: Shapley shares of an additive model.

The model adds one effect for each option taken. A choice that is not asked everywhere has effects only where it is
asked, each around their mean there: that it is asked at all is the doing of the choice above it. The *value* of a set
of choices is the variance that their effects explain together; a choice's importance is what it adds to that value,
averaged over all orders in which the choices may come in ([LMG], the Shapley value [Lipovetsky]; [Groemping] compares
it with others). Shares are of the whole variance, so they add up to the variance explained.

Two precautions for small samples. Any choice, even an irrelevant one, "explains" part of whatever is unexplained when
it comes in; the value is therefore the adjusted R² [Ezekiel], and an irrelevant choice has an importance of zero on
average. (Where the trials are most of the space the correction fades to that for noise alone, as choices are
uncorrelated in a whole space.) And of each order only the beginning counts, up to half as many effects as there are
trials: what is added after that could not be told from noise. Where choices do not interact and were drawn
independently, an average over beginnings is the average over all.

The interval is that of a delete-d jackknife [Shao]: the same for random three quarters of the trials. Whether the
model says anything about architectures it has not seen is judged by ten-fold cross-validation of its ridge
regression, the shrinkage chosen inside each fold by [GCV].

Shapes:  N trials   D choices   Q effects (options of all choices, less one each)
Sources: [LMG]        Lindeman, Merenda, Gold, "Introduction to Bivariate and Multivariate Analysis", 1980
         [Groemping]  Grömping, The American Statistician 61(2), 2007
         [Lipovetsky] Lipovetsky, Conklin, Applied Stochastic Models in Business and Industry 17(4), 2001
         [Ezekiel]    Ezekiel, "Methods of Correlation Analysis", 1930
         [Shao]       Shao, Wu, The Annals of Statistics 17(3), 1989
         [GCV]        Golub, Heath, Wahba, Technometrics 21(2), 1979
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Codes = NDArray[np.int16]

FEWEST = 20  # different architectures
MOST = 4_000  # of them; beyond, every so many-th is taken
MOST_EFFECTS = 8  # of a choice: one with more options is cut into that many ranges of options
ORDERS, ORDERS_AGAIN = 32, 4  # that count for a choice, each with its reverse: for the shares, for each jackknife part
BLOCKS, PARTS, PART = 64, 100, 0.75
FOLDS = 10
DEPENDENT = 1e-4  # of an effect's variance: what the effects before it must leave, or it is no effect of its own
RIDGES = np.geomspace(1e-4, 10, 16)  # per trial, for prediction


@dataclass(frozen=True)
class Importance:
    """What `importance` found.

    Args:
        shares: (D,) of the variance of the objective; zero on average for a choice that has no effect, so that a
            little below zero can happen.
        low, high: (D,) ends of a 95 % interval of each.
        predicted: R² of the additive model on architectures left out (ten-fold); at most 1, below 0 where
            the mean would have been the better guess.
        architectures: how many different ones this is from.
    """

    shares: Matrix
    low: Matrix
    high: Matrix
    predicted: float
    architectures: int


def importance(codes: Codes, values: Matrix, *, population: float = np.inf, seed: int = 0) -> Importance | None:
    """The importance of each choice.

    Args:
        codes: (N, D) option taken of each choice, counted from 0; -1 where it was not asked.
        values: (N,) what was measured.
        population: how many architectures there are in all.
        seed: of the orders and of the parts; the same gives the same.

    Returns: None if there is nothing to divide: fewer than `FEWEST` different architectures, or equal values.
    """
    codes, first = np.unique(codes, axis=0, return_index=True)
    values = np.asarray(values, dtype=float)[first]
    if len(codes) > MOST:
        chosen = np.linspace(0, len(codes) - 1, MOST).round().astype(int)
        codes, values = codes[chosen], values[chosen]
    if len(codes) < FEWEST or np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return None
    rng = np.random.default_rng(seed)
    effects, owner = design(codes)
    values = (values - values.mean()) / values.std()
    # Rows are dealt to blocks at random, since np.unique has sorted them; a sum over blocks is a sum over trials.
    blocks = rng.permutation(len(codes)) % min(BLOCKS, len(codes))
    moments = _moments(effects, values, blocks)
    choices = codes.shape[1]
    counted = min(len(owner), max(len(codes) // 2, MOST_EFFECTS))  # effects of an order that count
    repeats = -(-len(owner) // counted)
    orders = _orders(rng, ORDERS * repeats, choices)
    shares = _shares(moments.sum(0), owner, orders, counted, population)
    parts = _parts(rng, len(moments))
    few = orders[: 2 * ORDERS_AGAIN * repeats]
    again = np.array([_shares(moments[part].sum(0), owner, few, counted, population) for part in parts])
    left_out = 1 - parts.shape[1] / len(moments)
    spread = np.sqrt((1 - left_out) / left_out) * (again - again.mean(0))
    low, high = np.quantile(spread, [0.025, 0.975], axis=0)
    return Importance(
        shares,
        np.clip(shares + low, 0, 1),
        np.clip(shares + high, 0, 1),
        _predicted(moments, len(codes)),
        len(codes),
    )


def design(codes: Codes) -> tuple[Matrix, NDArray[np.intp]]:
    """The effects of each choice's options as columns of unit variance, uncorrelated within a choice.

    Each option has a column that is one where it was taken, less its mean over the trials where the choice was asked,
    and zero elsewhere; the columns returned span the same. Which options there are and how they are called or ordered
    does not matter.

    Returns: (N, Q) columns, and (Q,) the choice that each belongs to.
    """
    columns, owner = [np.empty((len(codes), 0))], []
    for choice, taken in enumerate(codes.T):
        groups, asked = _grouped(taken), taken >= 0
        taken_groups = np.unique(groups[asked])
        if len(taken_groups) < 2:
            continue
        options = (groups[:, None] == taken_groups).astype(float)
        options[asked] -= options[asked].mean(0)
        spread, axes = np.linalg.eigh(options.T @ options)
        # One column less than options: the last is what the others leave.
        columns.append(options @ axes[:, 1:] / np.sqrt(spread[1:] / len(codes)))
        owner += [choice] * (len(taken_groups) - 1)
    return np.concatenate(columns, axis=1), np.array(owner, dtype=np.intp)


def _grouped(taken: NDArray[np.int16]) -> NDArray[np.intp]:
    """Options of a choice with many, put together in ranges that about as many trials took."""
    asked = taken[taken >= 0]
    if len(np.unique(asked)) <= MOST_EFFECTS:
        return taken.astype(np.intp)
    edges = np.unique(np.quantile(asked, np.linspace(0, 1, MOST_EFFECTS + 1)[1:-1]))
    return np.where(taken < 0, -1, np.searchsorted(edges, taken, side="left"))


def _moments(effects: Matrix, values: Matrix, blocks: NDArray[np.intp]) -> Matrix:
    """(blocks, 1 + Q + 1, 1 + Q + 1) sums of products of (1, effects, values) over the trials of each block."""
    whole = np.column_stack([np.ones(len(values)), effects, values])
    return np.array([whole[blocks == block].T @ whole[blocks == block] for block in range(blocks.max() + 1)])


def _orders(rng: np.random.Generator, number: int, choices: int) -> NDArray[np.intp]:
    """(2 · number, D) random orders, each followed by its reverse, which evens out what one order favours."""
    orders = np.array([rng.permutation(choices) for _ in range(number)])
    return np.stack([orders, orders[:, ::-1]], axis=1).reshape(-1, choices)


def _parts(rng: np.random.Generator, blocks: int) -> NDArray[np.intp]:
    """(parts, blocks kept) which blocks each part of the jackknife keeps."""
    kept = round(PART * blocks)
    return np.array([rng.permutation(blocks)[:kept] for _ in range(PARTS)])


def _centred(moments: Matrix) -> Matrix:
    """Products of (effects, values) around their means, from sums of products of (1, effects, values)."""
    trials = moments[0, 0]
    products: Matrix = moments[1:, 1:] - np.outer(moments[0, 1:], moments[0, 1:]) / trials
    return products


def _shares(
    moments: Matrix, owner: NDArray[np.intp], orders: NDArray[np.intp], counted: int, population: float
) -> Matrix:
    """(D,) the average over orders of what each choice adds to the adjusted R², where it is among the first `counted`.

    One Cholesky factor of the products, effects in the order of their choices and the values last, holds a whole
    order: the square of entry i of its last row is what effect i adds to the explained sum of squares.
    """
    trials, products = moments[0, 0], _centred(moments)
    total, choices = products[-1, -1], orders.shape[1]
    if total <= 0 or not len(owner):
        return np.zeros(choices)
    products = products + 1e-2 * DEPENDENT * trials * np.eye(len(products))
    place = np.argsort(orders, axis=1)  # (orders, D) when each choice comes in
    sequence = np.argsort(place[:, owner], axis=1, kind="stable")  # (orders, Q)
    last = np.full((len(orders), 1), len(owner))
    index = np.concatenate([sequence[:, :counted], last], axis=1)
    factors = np.linalg.cholesky(products[index[:, :, None], index[:, None, :]])
    free = np.diagonal(factors, axis1=1, axis2=2)[:, :-1] ** 2 > DEPENDENT * trials
    left = total - np.cumsum(free * factors[:, -1, :-1] ** 2, axis=1)
    used = np.cumsum(free, axis=1)
    unexplained = left / np.maximum(trials - 1 - used, 1)  # variance, after each effect
    noise = unexplained[:, -1:]
    chance = noise + (unexplained - noise) * max(0.0, 1 - trials / population)  # what any effect would explain
    gains = np.diff(1 - (left + used * chance) / total, axis=1, prepend=0)
    # A choice counts in an order if its last effect does.
    came, size = owner[sequence], np.bincount(owner, minlength=choices)
    shares, times = np.zeros(choices), np.zeros(choices)
    for row, order in zip(gains, came, strict=True):
        inside = np.bincount(order[:counted], minlength=choices) == size
        shares += np.where(inside, np.bincount(order[:counted], row, minlength=choices), 0)
        times += inside
    return shares / np.maximum(times, 1)


def _predicted(moments: Matrix, trials: int) -> float:
    """R² of the additive model on the trials of folds that it has not seen."""
    folds = np.array_split(np.arange(len(moments)), min(FOLDS, len(moments)))
    whole = moments.sum(0)
    error = 0.0
    for fold in folds:
        unseen = moments[fold].sum(0)
        seen = whole - unseen
        effects = _predictor(_centred(seen), seen[0, 0])
        means = seen[0, 1:] / seen[0, 0]
        # Sum over unseen trials of (y - mean y - (x - mean x) · effects)², written with their sums of products.
        weights = np.concatenate([[-(means[-1] - means[:-1] @ effects)], -effects, [1.0]])
        error += float(weights @ unseen @ weights)
    spread = whole[-1, -1] - whole[0, -1] ** 2 / trials
    return 1 - error / float(spread)


def _predictor(products: Matrix, trials: float) -> Matrix:
    """(Q,) effects, shrunk as generalised cross-validation advises."""
    spread, basis = np.linalg.eigh(products[:-1, :-1])
    spread = np.clip(spread, 0, None)
    along = basis.T @ products[:-1, -1]
    kept = spread / (spread + trials * RIDGES[:, None])  # (ridges, Q)
    slopes = along / (spread + trials * RIDGES[:, None])
    left = products[-1, -1] - (2 * along * slopes - spread * slopes**2).sum(1)
    scores = left / np.maximum(trials - 1 - kept.sum(1), 1e-9) ** 2
    return np.asarray(basis @ slopes[np.argmin(scores)])
