"""Multi-stage vision transformers: tokens become fewer and wider from stage to stage, the class token goes through all.

Shapes:  N batch   C input channels   S side of the image   P side of the grid of patches   T = 1 + P² tokens
         D width of a token
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.networks.blocks.convolution import ConvNormActivation
from nasengine.networks.blocks.drop_path import DropPath
from nasengine.networks.blocks.spatial_reduction import SpatialReduction
from nasengine.networks.blocks.transformer import NORM_EPSILON, make_linear, make_parameter

STAGE_KEYS = ("width", "blocks")


class PatchEmbedding(nn.Module):
    """Three 3x3 convolutions, the last two a residual branch, then one that makes a token of each patch.

    Args:
        in_channels: C.
        width: D.
        patch: side of a patch in pixels.
        stem_width: channels of the 3x3 convolutions.
        stem_stride: of the first of them.
    """

    def __init__(self, in_channels: int, width: int, *, patch: int, stem_width: int, stem_stride: int) -> None:
        super().__init__()
        self.first = ConvNormActivation(in_channels, stem_width, kernel=3, stride=stem_stride)
        self.branch = nn.Sequential(
            ConvNormActivation(stem_width, stem_width, kernel=3), ConvNormActivation(stem_width, stem_width, kernel=3)
        )
        side = patch // stem_stride
        self.project = nn.Conv2d(stem_width, width, side, stride=side)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to (N, P², D)."""
        x = self.first(x)
        x = self.project(x + self.branch(x))  # (N, D, P, P)
        return x.flatten(2).transpose(1, 2)


class VitResNas(nn.Module):
    """Patch embedding with a class token, stages of transformer blocks with residual spatial reductions between them.

    Source: Liao, Karaman, Sze, "Searching for Efficient Multi-Stage Vision Transformers", 2021, arXiv 2109.00642,
            and its released code, from which the initial weights are.

    Args:
        in_channels: C.
        classes: number of scores.
        input_size: S, a multiple of `patch` times 2 for each stage after the first.
        stages: one mapping for each: `width` (D of its tokens, never less than in the stage before) and `blocks`, which
            keep the shape of (N, T, D), in order; None for a slot without a block.
        patch: side of a patch in pixels, a multiple of `stem_stride`.
        stem_width: channels of the three convolutions before the patches are cut.
        stem_stride: of the first of them.
        drop_path: rate of every DropPath in the block of the last slot; it rises linearly over all slots from 0.
        patch_head: have a second classifier for the patches, which only training uses: then `forward` gives its
            scores too.

    Raises:
        ValueError: an image that the patches do not divide, a stage without a width or with unknown keys, or stages
            that become narrower.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        input_size: int,
        stages: Sequence[Mapping[str, Any]],
        patch: int = 14,
        stem_width: int = 24,
        stem_stride: int = 2,
        drop_path: float = 0.0,
        patch_head: bool = False,
    ) -> None:
        super().__init__()
        _check_stages(stages)
        if patch % stem_stride:
            raise ValueError(f"patch must be a multiple of stem_stride, got {patch=}, {stem_stride=}")
        reduction = patch * 2 ** (len(stages) - 1)
        if input_size % reduction:
            raise ValueError(
                f"patches of {patch} pixels and {len(stages)} stages need images whose side is a multiple of "
                f"{reduction}, got {input_size}"
            )
        grid, width = input_size // patch, stages[0]["width"]
        self.patches = PatchEmbedding(in_channels, width, patch=patch, stem_width=stem_width, stem_stride=stem_stride)
        self.class_token = make_parameter(1, 1, width)
        self.position = make_parameter(1, 1 + grid**2, width)

        self.reductions = nn.ModuleList()  # one before each stage, nothing before the first
        self.stages = nn.ModuleList()
        for number, stage in enumerate(stages):
            if number == 0:
                self.reductions.append(nn.Identity())
            else:
                self.reductions.append(SpatialReduction(width, stage["width"], grid=grid))
                grid, width = grid // 2, stage["width"]
            blocks = [nn.Identity() if block is None else block for block in stage["blocks"]]
            self.stages.append(nn.Sequential(*blocks))

        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.classifier = make_linear(width, classes)
        self.patch_classifier = make_linear(width, classes) if patch_head else None
        self._set_drop_path([block for stage in stages for block in stage["blocks"]], drop_path)

    def _set_drop_path(self, slots: Sequence[nn.Module | None], last: float) -> None:
        for slot, block in enumerate(slots):
            for part in block.modules() if block is not None else ():
                if isinstance(part, DropPath):
                    part.rate = last * slot / max(1, len(slots) - 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, S, S) to (N, classes); in training with a patch head also to (N, P², classes) of the last stage."""
        x = self.patches(x)  # (N, P², D)
        x = torch.cat((self.class_token.expand(x.shape[0], -1, -1), x), 1) + self.position  # (N, T, D)
        for reduction, blocks in zip(self.reductions, self.stages, strict=True):
            x = blocks(reduction(x))
        if self.patch_classifier is not None and self.training:
            x = self.norm(x)
            return self.classifier(x[:, 0]), self.patch_classifier(x[:, 1:])
        return self.classifier(self.norm(x[:, 0]))


def _check_stages(stages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what is no list of stages, before anything is built.

    Raises:
        ValueError: no stage, or one with other keys than it must have, or a width that is none.
    """
    if not stages:
        raise ValueError("at least one stage is needed")
    for number, stage in enumerate(stages):
        if not isinstance(stage, Mapping) or set(stage) != set(STAGE_KEYS):
            raise ValueError(f"stages.{number} must be a mapping with {', '.join(STAGE_KEYS)}, got {stage!r}")
        if type(stage["width"]) is not int or stage["width"] < 1:
            raise ValueError(f"stages.{number}.width must be a whole number from 1, got {stage['width']!r}")
        if not all(block is None or isinstance(block, nn.Module) for block in stage["blocks"]):
            raise ValueError(f"stages.{number}.blocks must be blocks, or None where there is none")
