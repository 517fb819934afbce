"""A running average of a network's weights, often a little better than the weights themselves.

Source: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30(4), 1992,
        in the exponential form of Tarvainen, Valpola, NeurIPS 2017, arXiv:1703.01780
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average of every floating-point parameter and buffer; other buffers are the latest.

    Args:
        network: whose weights the average starts from.
        decay: share of the average that is kept each step; less in the first steps, (1 + t) / (10 + t), so that
            the initial weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def follow(self, network: nn.Module) -> None:
        """Move towards the network's present weights."""
        self.steps += 1
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages: list[Tensor] = []
        present: list[Tensor] = []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.values[name])
                present.append(value)
            else:
                self.values[name].copy_(value)
        torch._foreach_lerp_(averages, present, 1 - kept)

    def hand_over(self, network: nn.Module) -> None:
        """Put the average into the network."""
        network.load_state_dict(self.values)
