"""Several architectures in one pass: the images of a batch are dealt to them in turn.

Source: [VR] Liao, Karaman, Sze, "Searching for Efficient Multi-Stage Vision Transformers", 2021, arXiv:2109.00642
             (multi-architectural sampling)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler
from nasengine.algorithms.supernet_samplers.unlocking import UnlockedDraws, epochs_to_unlock
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.domain import Domain


class MultiArchitecture(SupernetSampler):
    """K architectures a step, each on every K-th image, in one forward and backward [VR].

    Each choice deals its options to the K architectures without replacement, independently of the other choices;
    the space's sampling weights are not looked at. An optional part is there in half of the draws.

    Args:
        architectures: K, in one pass.
        unlock: `{epochs: 30}`: begin with the largest network alone and unlock smaller options, those of every choice
            at even distances, until after so many epochs everything is drawn from; null: everything at once.
    """

    def __init__(
        self,
        *,
        domain: Domain,
        largest: Architecture,
        architectures: int = 2,
        unlock: Mapping[str, int] | None = None,
    ) -> None:
        if architectures < 1:
            found = f"multi_architecture with architectures {architectures}"
            raise InputError(Problem(found, expected="expected at least 1"))
        self.architectures = self.in_one_pass = architectures
        self._draws = UnlockedDraws(domain, largest, epochs_to_unlock(unlock, "multi_architecture"))

    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        return (Pass(self._draws.draw(moment.epoch, self.architectures, rng)),)
