"""Uniform single path: each step trains one architecture, drawn from the space.

Source: [SPOS] Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020,
        arXiv:1904.00420
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler
from nasengine.algorithms.supernet_samplers.unlocking import UnlockedDraws, epochs_to_unlock
from nasengine.records import Architecture
from nasengine.space.domain import Domain


class SinglePath(SupernetSampler):
    """One architecture a step, uniform over those of the domain, or as the space's sampling weights say [SPOS].

    Args:
        unlock: `{epochs: 30}`: begin with the largest network alone and unlock smaller options, those of every choice
            at even distances; until everything is unlocked each choice is drawn on its own. null: everything at once.
    """

    def __init__(self, *, domain: Domain, largest: Architecture, unlock: Mapping[str, int] | None = None) -> None:
        self.domain = domain
        self._locked = UnlockedDraws(domain, largest, epochs_to_unlock(unlock, "single_path"))

    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        if moment.epoch < self._locked.epochs:
            return (Pass(self._locked.draw(moment.epoch, 1, rng)),)
        return (Pass((self.domain.sample(rng),)),)
