"""Draws architectures: for now each active choice on its own."""

from __future__ import annotations

import numpy as np

from nasengine.space.encoding import INACTIVE, Encoding


def sample_by_choice(encoding: Encoding, rng: np.random.Generator) -> list[int]:
    """One canonical row; each active choice takes an option with probability proportional to its weight."""
    row = [INACTIVE] * len(encoding.decisions)
    for column, decision in enumerate(encoding.decisions):
        if encoding.is_active(column, row):
            weights = np.array(decision.weights)
            row[column] = int(rng.choice(len(weights), p=weights / weights.sum()))
    return row
