"""What a network is trained and judged by: a loss, and metrics with a direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from nasengine.objectives import Direction


class Task(Protocol):
    """One kind of problem. Its settings come from `task:` of a space; constructors take them as keyword arguments.

    Shapes:  N images of a batch
    """

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """Name of every measurement that `measure` makes -> which way is better."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The scalar that training makes small; gradients flow through it."""

    def measure(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The metrics of each image, (N,) float each: a metric of a data set is the mean over its images."""
