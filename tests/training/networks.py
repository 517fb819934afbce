"""Small networks and tasks that several tests of training share."""

from __future__ import annotations

import torch
from torch import nn

from nasengine.data import Part, load_data
from nasengine.tasks import ImageClassification

TASK = ImageClassification(classes=4)


def small_network(seed: int = 0, *, dropout: float = 0.0) -> nn.Module:
    """Two convolutions with batch norm for 1x8x8 images of four classes."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPU too
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(8, 8, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 4),
        )


def synthetic_part(images: int = 512) -> Part:
    """The first of the made-up training images."""
    part = load_data("synthetic").train
    return Part(part.images[:images], part.labels[:images], part.mean, part.std)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights agree bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
