"""The five costs of a network, what each is, and the frozen record that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class About:
    """What a cost is, for people and for checks: its unit, and whether less is better (it always is)."""

    what: str
    unit: str
    direction: Literal["minimize"] = "minimize"
    reduction: Literal["sum", "max"] = "sum"


COSTS: dict[str, About] = {
    "params": About("trainable numbers, each counted once however many layers share it", "parameters"),
    "macs": About("multiply-accumulates of convolutions, linear layers, matrix and attention products", "MACs"),
    "bitops": About(
        "MACs × weight bits × activation bits, summed over layers; 32 × 32 where no format is named", "BitOPs"
    ),
    "size_bytes": About("parameters × their bits, in whole bytes a tensor; buffers are not counted", "bytes"),
    "peak_activation_bytes": About(
        "most bytes of activations alive at once, at batch 1, in the order of execution", "bytes", reduction="max"
    ),
}


@dataclass(frozen=True, slots=True)
class LayerBits:
    """How many bits a layer spends on a weight and on an activation; a plain network uses 32 and 32."""

    weight: int = 32
    activation: int = 32


@dataclass(frozen=True, slots=True)
class Costs:
    """What a network, or one module of it, costs; names and units as in `COSTS`."""

    params: int = 0
    macs: int = 0
    bitops: int = 0
    size_bytes: int = 0
    peak_activation_bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        """{name: amount}, in the order of `COSTS`."""
        return asdict(self)

    def to_json(self) -> dict[str, int]:
        """The same as `as_dict`: plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, int]) -> Costs:
        """Read what `to_json` wrote."""
        return cls(**record)
