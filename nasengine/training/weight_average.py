"""A running average of a network's weights, often a little better than the weights themselves.

Source: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30(4), 1992,
        in the exponential form of Tarvainen, Valpola, NeurIPS 2017, arXiv:1703.01780
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class TensorAverage:
    """Exponential average of every floating-point tensor; of the others, the latest.

    Args:
        present: what the average starts from and follows; the tensors must stay where they are in memory.
        decay: share of the average that is kept each step; less in the first steps, (1 + t) / (10 + t), so that
            the initial values are soon forgotten.
    """

    def __init__(self, present: Mapping[str, Tensor], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: value.clone() for name, value in present.items()}
        averaged = [name for name, value in present.items() if value.is_floating_point()]
        self._averages = [self.values[name] for name in averaged]
        self._present = [present[name] for name in averaged]
        self._copied = [(self.values[name], value) for name, value in present.items() if name not in averaged]

    def follow(self) -> None:
        """Move towards the present values."""
        self.steps += 1
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averages, self._present, 1 - kept)
        for value, present in self._copied:
            value.copy_(present)


class WeightAverage(TensorAverage):
    """The average of a network's parameters and buffers.

    Args:
        network: whose weights are followed; they must stay where they are in memory.
        decay: see `TensorAverage`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network.state_dict(), decay)

    def hand_over(self, network: nn.Module) -> None:
        """Put the average into the network."""
        network.load_state_dict(self.values)
