"""Activations by name, so that a block takes `activation="hardswish"` and YAML can say the same."""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "identity": nn.Identity,
}


def make_activation(kind: str) -> nn.Module:
    """A new activation layer.

    Raises:
        ValueError: `kind` is no key of ACTIVATIONS.
    """
    if kind not in ACTIVATIONS:
        raise ValueError(f"unknown activation {kind!r}; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[kind]()


class Activation(nn.Module):
    """One activation as a layer of its own.

    Args:
        kind: a key of ACTIVATIONS.
    """

    def __init__(self, kind: str = "relu") -> None:
        super().__init__()
        self.activation = make_activation(kind)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return self.activation(x)
