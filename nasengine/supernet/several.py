"""Several architectures of one supernet at once: plans, proved when they are first wanted, and their passes."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasengine import networks
from nasengine.build.types import look_up_type
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.masks import MaskedPasses, SharedWeights
from nasengine.supernet.plans import Key, Plan
from nasengine.supernet.proof import prove
from nasengine.supernet.proved import Proved
from nasengine.supernet.standing import StandingPass

# What decides on the outcome of a proof: how networks are made, cut, masked and compared.
PROVED_BY = (
    "casting",
    "cloning",
    "comparison",
    "cuts",
    "extent",
    "facts",
    "keys",
    "leaves",
    "lookup",
    "masked_layers",
    "masked_network",
    "masking",
    "masks",
    "no_chance",
    "own_statistics",
    "parts",
    "plain_values",
    "plans",
    "private",
    "probe",
    "proof",
    "skeletons",
    "sources",
    "taint",
    "views",
)
NOT_OWN = ("torch.", "nasengine.networks")


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
        network, _ = weights.private(weights.whole)
        versions = [sources(), torch.__version__, code_of(weights.space, network)]
        self.proved = Proved.read(weights.space.hash, overrides, versions)
        self.passes = MaskedPasses(weights, self.proved)
        self._proving: tuple[SharedWeights, MaskedPasses] | None = None
        self._told = False

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
            self._tell()
            weights = self._in_double()
            self._proving = weights, MaskedPasses(weights, self.proved)
        weights, passes = self._proving
        changed = prove(weights, passes, key)
        if changed:
            self.passes.separate(passes.structure.columns)
        self.proved.write()
        return changed

    def _tell(self) -> None:
        """Say, once, what is about to take a minute for a large space."""
        note, path = self.passes.weights.on_note, self.proved.path
        if note is not None and path is not None and not self._told:
            note(f"proving masks of {self.passes.weights.space.name} (once; kept in {path.parent})")
        self._told = True

    def standing(self, plan: Plan) -> StandingPass:
        """A pass of a plan that stays for other architectures of it."""
        return StandingPass(self.passes, plan)

    def batch(self, images: Tensor, architectures: Sequence[Architecture], *, model: int = 0) -> Tensor:
        """(B, …) of all; image i belongs to architecture i mod K."""
        return self.passes.batch(images, self.plans(architectures), model=model)


@functools.cache
def sources() -> str:
    """A hash of the code that a proof is about."""
    folder = Path(__file__).parent
    own = [folder / f"{name}.py" for name in PROVED_BY]
    return _digest([*own, *sorted(Path(networks.__file__).parent.rglob("*.py"))])


def code_of(space: SearchSpace, network: nn.Module) -> str:
    """A hash of the files of a user's own networks: one that was edited is not the one that was proved.

    Args:
        network: the largest of the space, whose parts may be of other files than the types that the space names.
    """
    kinds = [look_up_type(name) for name in _types(space.tree.resolved) if ":" in name]
    modules = {kind.__module__ for kind in [*kinds, *map(type, network.modules())]}
    files = [vars(sys.modules[name]).get("__file__") for name in sorted(modules) if not name.startswith(NOT_OWN)]
    return _digest([Path(file) for file in files if file])


def _types(value: Any) -> Iterator[str]:
    """Every `type:` of a resolved space."""
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            yield value["type"]
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _types(item)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
