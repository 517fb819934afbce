"""Uniform single path: each step trains one architecture, drawn from the space.

Source: [SPOS] Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020,
        arXiv:1904.00420
"""

from __future__ import annotations

import numpy as np

from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler
from nasengine.space.domain import Domain


class SinglePath(SupernetSampler):
    """One architecture a step, uniform over those of the domain, or as the space's sampling weights say [SPOS]."""

    def __init__(self, *, domain: Domain) -> None:
        self.domain = domain

    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        return (Pass((self.domain.sample(rng),)),)
