"""Masked passes that stand: a place for the masks of one plan, into which other architectures are put.

`supernet.batch` makes masks anew for each pass. A captured graph reads what lies where it lay when it was captured, so
whoever replays passes first puts the next architectures there: two small copies, for which nothing waits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nasengine.records import Architecture
from nasengine.supernet.masks import MaskedPasses, to
from nasengine.supernet.plans import Plan


class StandingPass:
    """The pass of one plan for a number of its architectures.

    Args:
        passes: of the supernet.
        plan: a masked one; its architectures are the first.
    """

    def __init__(self, passes: MaskedPasses, plan: Plan) -> None:
        assert plan.masked, f"runs as views: {plan.note}"
        self.passes, self.key = passes, plan.key
        self.network = passes.network(plan.key)
        self._masks = [to(mask, passes.weights.device) for mask in self._computed(plan.architectures)]

    def put(self, architectures: Sequence[Architecture]) -> None:
        """Have the passes to come run for other architectures of the plan, as many as before."""
        for place, mask in zip(self._masks, self._computed(architectures), strict=True):
            place.copy_(mask.pin_memory() if place.is_cuda else mask, non_blocking=True)

    def __call__(self, images: Tensor, *, model: int = 0) -> Tensor:
        """(B, …) as of `supernet.batch`, image i by the architecture at place i mod K of those that were put last."""
        return self.passes.run_by(self.network, self.key, images, *self._masks, model=model)

    @torch.no_grad()
    def look(self, images: Tensor, *, model: int = 0) -> None:
        """Run it in evaluation, not compiled and without a trace."""
        weights = self.passes.weights
        training, compiled = weights.training, weights.compiled
        weights.training = weights.compiled = False
        try:
            self(images, model=model)
        finally:
            weights.training, weights.compiled = training, compiled

    def _computed(self, architectures: Sequence[Architecture]) -> tuple[Tensor, Tensor]:
        return self.network.compute(self.passes.weights.space.encode_many(architectures))
