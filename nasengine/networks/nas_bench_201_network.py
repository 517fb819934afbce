"""The network around the cells of NAS-Bench-201: three stages of equal cells, a residual block between them.

A cell is whatever keeps the shape of its input; the network is given one for each of its places, which see
W, 2W and 4W channels at full, half and quarter resolution.

Shapes:  N batch   C input channels   H, W height, width (of an image; W also the width of the first stage)
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nasengine.networks.blocks.convolution import Conv, ReluConvNorm

STAGES = 3
Shape = tuple[int, ...]


class ReductionBlock(nn.Module):
    """Halves the resolution: two 3x3 convolutions, the first with stride 2; a pooled 1x1 convolution as shortcut.

    Source: Dong and Yang, ICLR 2020, arXiv 2001.00326, section 2.1 (after He et al., CVPR 2016, arXiv 1512.03385).

    Args:
        in_channels: C.
        width: output channels.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.first = ReluConvNorm(in_channels, width, kernel=3, stride=2)
        self.second = ReluConvNorm(width, width, kernel=3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), Conv(in_channels, width, kernel=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, H / 2, W / 2)."""
        return self.shortcut(x) + self.second(self.first(x))


class NasBench201Network(nn.Module):
    """3x3 stem, three stages of cells with residual reductions between them, global average pool, classifier.

    Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
            ICLR 2020, arXiv 2001.00326, section 2.1 and figure 1.

    Args:
        in_channels: C.
        classes: number of scores.
        cell: the modules of all places in order, `cells_per_stage` for each stage; each keeps the shape of its input.
            (In YAML one node is enough: it is built once for each place, with weights of its own.)
        width: channels after the stem and in the first stage; each further stage has twice as many.
        cells_per_stage: N in the paper.

    Raises:
        ValueError: another number of modules than places.
    """

    def __init__(
        self, in_channels: int, classes: int, *, cell: Sequence[nn.Module], width: int = 16, cells_per_stage: int = 5
    ) -> None:
        super().__init__()
        if len(cell) != STAGES * cells_per_stage:
            raise ValueError(
                f"{STAGES} stages of {cells_per_stage} cells need {STAGES * cells_per_stage}, got {len(cell)}"
            )
        self.stem = nn.Sequential(Conv(in_channels, width, kernel=3, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList(cell)
        self.reductions = nn.ModuleList(
            ReductionBlock(width * 2**stage, width * 2 ** (stage + 1)) for stage in range(STAGES - 1)
        )
        last = width * 2 ** (STAGES - 1)
        self.norm = nn.BatchNorm2d(last)
        self.activation = nn.ReLU()
        self.classifier = nn.Linear(last, classes)
        self.cells_per_stage = cells_per_stage

    @staticmethod
    def places(shape: Shape, *, width: int, cells_per_stage: int) -> dict[str, list[tuple[Shape, Shape]]]:
        """What goes into each of the modules `cell`, and what must come out, for an image of `shape` (C, H, W)."""
        _, height, breadth = shape
        fed = [(width * 2**stage, height // 2**stage, breadth // 2**stage) for stage in range(STAGES)]
        return {"cell": [(at, at) for at in fed for _ in range(cells_per_stage)]}

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes); H and W are multiples of 4."""
        x = self.stem(x)
        for number, cell in enumerate(self.cells):
            if number and number % self.cells_per_stage == 0:
                x = self.reductions[number // self.cells_per_stage - 1](x)
            x = cell(x)
        x = self.activation(self.norm(x))
        return self.classifier(x.mean((2, 3)))
