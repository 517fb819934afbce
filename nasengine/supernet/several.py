"""Several architectures of one supernet at once: plans, proved when they are first wanted, and their passes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasengine.records import Architecture
from nasengine.supernet.masks import MaskedPasses, SharedWeights
from nasengine.supernet.plans import Key, Plan
from nasengine.supernet.proof import prove
from nasengine.supernet.proved import Proved

PROVED_BY = (
    "cuts",
    "keys",
    "leaves",
    "facts",
    "lookup",
    "masking",
    "masked_layers",
    "masked_network",
    "masks",
    "proof",
)


class Several:
    """What a supernet can do with more than one architecture.

    Args:
        weights: the supernet.
        overrides: of its root network.
        in_double: makes a supernet of the same shapes in double precision, for proofs.
    """

    def __init__(
        self, weights: SharedWeights, overrides: Mapping[str, Any], in_double: Callable[[], SharedWeights]
    ) -> None:
        self._in_double = in_double
        self.proved = Proved.read(weights.space.hash, overrides, sources())
        self.passes = MaskedPasses(weights, self.proved)
        self._proving: tuple[SharedWeights, MaskedPasses] | None = None

    def plans(self, architectures: Sequence[Architecture]) -> list[Plan]:
        """Which of the architectures share a pass; plans that are new are proved."""
        try:
            return self.passes.plans(architectures, self._prove)
        finally:
            self._proving = None  # and with it the memory of weights in double precision

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _prove(self, key: Key) -> bool:
        if self._proving is None:
            weights = self._in_double()
            self._proving = weights, MaskedPasses(weights, self.proved)
        weights, passes = self._proving
        changed = prove(weights, passes, key)
        if changed:
            self.passes.separate(passes.structure.columns)
        self.proved.write()
        return changed

    def batch(self, images: Tensor, architectures: Sequence[Architecture], *, model: int = 0) -> Tensor:
        """(B, …) of all; image i belongs to architecture i mod K."""
        return self.passes.batch(images, self.plans(architectures), model=model)


@functools.cache
def sources() -> str:
    """A hash of the code that a proof is about."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in PROVED_BY:
        digest.update((folder / f"{name}.py").read_bytes())
    return digest.hexdigest()
