"""Drop path: the branch of a residual block is left out for some images of a batch.

Shapes:  N batch
"""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """Sets a branch to zero for single images in training, with the others scaled up.

    Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, arXiv 1603.09382.

    Args:
        rate: share of the images, from 0 to below 1.

    Raises:
        ValueError: another rate.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be from 0 to below 1, got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) to the same shape."""
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(1 - self.rate)  # (N, 1, …)
        return x * (kept / (1 - self.rate))
