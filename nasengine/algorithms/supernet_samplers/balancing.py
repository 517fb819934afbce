"""Soft assignments of configurations to models in which every model has the same share.

Rows are made to sum to one and columns to have the mean 1 / M by dividing in turn by both sums: Sinkhorn's scaling,
which changes an assignment by a factor for each row and one for each column and by nothing else. It is done on
logarithms in double precision: at a sharp temperature probabilities in single precision become zero, a column of
zeros has no logarithm, and a loop that asks whether NaN is large ends without a word.

Shapes:  C configurations   M models
Sources: [BMS] Javan Roshtkhari, Toews, Pedersoli, "Balanced Mixture of SuperNets for Learning the CNN Pooling
               Architecture", AutoML 2023, arXiv:2306.11982
         [SK] Sinkhorn, Knopp, "Concerning nonnegative matrices and doubly stochastic matrices", 1967
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
MOST_ITERATIONS = 10_000


@dataclass(frozen=True)
class Balanced:
    """A balanced assignment.

    Args:
        log_probabilities: (C, M) log P(m | c).
        columns: (M,) what was taken from every row of the logits, before each row was made to sum to one; the same
            from another matrix of logits is that matrix balanced by these stale marginals.
        iterations: how often rows and columns were scaled.
        divergence: KL divergence of the models' shares from equal ones, in nats; above the tolerance only if the
            most iterations were not enough.
        unbalanced: the same before the first iteration.
    """

    log_probabilities: Matrix
    columns: Matrix
    iterations: int
    divergence: float
    unbalanced: float

    @property
    def probabilities(self) -> Matrix:
        """(C, M) P(m | c); rows sum to one."""
        probabilities: Matrix = np.exp(self.log_probabilities)
        return probabilities

    @property
    def shares(self) -> Matrix:
        """(M,) of each model; they sum to one."""
        shares: Matrix = self.probabilities.mean(axis=0)
        return shares


def balance(logits: Matrix, tolerance: float, most: int = MOST_ITERATIONS) -> Balanced:
    """The softmax of each row, balanced until the models' shares are equal [BMS].

    Args:
        logits: (C, M) scores times the inverse temperature, all finite.
        tolerance: the divergence to reach.
        most: iterations after which it ends as it is; 0 leaves the rows' softmax.
    """
    if not np.isfinite(logits).all():
        raise FloatingPointError(f"{np.count_nonzero(~np.isfinite(logits))} of {logits.size} scores are not finite")
    columns = np.zeros(logits.shape[1])
    made = _rows_summing_to_one(logits)
    shares = _log_shares(made)
    divergence = unbalanced = _divergence(shares)
    iterations = 0
    while divergence > tolerance and iterations < most:
        columns += shares
        made = _rows_summing_to_one(made - shares)
        shares = _log_shares(made)
        divergence = _divergence(shares)
        iterations += 1
    return Balanced(made, columns, iterations, divergence, unbalanced)


def _rows_summing_to_one(logits: Matrix) -> Matrix:
    made: Matrix = logits - logits.max(axis=1, keepdims=True)
    made -= np.log(np.exp(made).sum(axis=1, keepdims=True))
    return made


def _log_shares(logarithms: Matrix) -> Matrix:
    """(M,) log of the mean of each column, never minus infinity."""
    largest = logarithms.max(axis=0)
    shares: Matrix = largest + np.log(np.exp(logarithms - largest).mean(axis=0))
    return shares


def _divergence(log_shares: Matrix) -> float:
    """KL(shares || equal shares) in nats."""
    divergence = float(np.exp(log_shares) @ (log_shares + math.log(len(log_shares))))
    assert math.isfinite(divergence)
    return divergence
