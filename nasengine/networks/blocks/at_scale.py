"""A block that runs at a lower resolution than the maps around it.

Shapes:  N batch   C, D input, output channels   H, W height, width
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class AtScale(nn.Module):
    """Shrinks what goes into a body by a max-pool, and grows what comes out by repeating pixels.

    Two of these in a row lose nothing between them: pooling a map whose pixels were repeated undoes the repetition.

    Source: Javan Roshtkhari, Toews, Pedersoli, AutoML 2023, arXiv 2306.11982 (the baseline "DARTS over scales").

    Args:
        body: keeps the resolution.
        scale: by how much height and width are divided; 1 for not at all. It divides them without a rest.
    """

    def __init__(self, body: nn.Module, *, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, D, H, W)."""
        if self.scale == 1:
            return self.body(x)
        x = self.body(F.max_pool2d(x, self.scale))
        return F.interpolate(x, scale_factor=self.scale, mode="nearest")
