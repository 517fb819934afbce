"""The sandwich: each step trains the largest, the smallest and some random architectures, taught by the largest.

Sources: [US] Yu, Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019,
              arXiv:1903.05134 (sandwich rule, in-place distillation)
         [BN] Yu et al., "BigNAS: Scaling Up Neural Architecture Search with Big Single-Stage Models", ECCV 2020,
              arXiv:2003.11142 (only the largest is regularised)
"""

from __future__ import annotations

import numpy as np

from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.domain import Domain


class Sandwich(SupernetSampler):
    """The largest learns from the labels, then random ones and the smallest from its scores alone [US] [BN].

    Dropout and drop path are on for the largest only. The largest and the smallest frame the space: they are trained
    also where the search's constraints would refuse them; the random ones keep the constraints.

    Args:
        architectures: in a step, the largest and the smallest among them.
    """

    def __init__(
        self, *, domain: Domain, largest: Architecture, smallest: Architecture, architectures: int = 4
    ) -> None:
        if architectures < 2:
            found = f"sandwich with architectures {architectures}"
            raise InputError(Problem(found, expected="expected at least 2: the largest and the smallest"))
        self.domain = domain
        self.largest = largest
        self.smallest = smallest
        self.architectures = architectures

    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        between = [self.domain.sample(rng) for _ in range(self.architectures - 2)]
        taught = [Pass((one,), target="teacher", regularized=False) for one in (*between, self.smallest)]
        return (Pass((self.largest,)), *taught)
