"""A space of three networks that differ in where they pool, one with dropout, and trainings of a second on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nasengine.data import SplitSettings, load_data, split
from nasengine.preparation import PreparationInputs, SharedWeights, SharedWeightsTraining
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.domain import Domain
from nasengine.tasks import ImageClassification

BATCH_NORM = {"norm": {"affine": False, "statistics": "batch"}}
TASK = ImageClassification(classes=4)

POOLING = {
    "name": "three_pools",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "residual_network",
        "stem_width": 4,
        "widths": [4, 4, 8],
        "downsample": "max_pool",
        "downsample_at": {"subset": {"of": [1, 2, 3], "size": 1}},
    },
    "known": {"middle": {"architecture": {"network.downsample_at": [2]}}},
}

WIDTHS = {
    "name": "widths",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "sequential",
        "layers": [
            {"type": "conv_norm_activation", "width": {"choice": [4, 6, 8]}, "kernel": 3, "norm": {"kind": "none"}},
            {"type": "global_average_pool"},
            {"type": "linear_head", "dropout": 0.5},
        ],
    },
}


def pooling_space() -> SearchSpace:
    """Architectures that share every tensor."""
    return space_from_mapping(POOLING, "three_pools.yaml")


def width_space() -> SearchSpace:
    """Architectures of which each uses a part of the tensors, with dropout before the classifier."""
    return space_from_mapping(WIDTHS, "widths.yaml")


def inputs(folder: Path, space: SearchSpace | None = None, *, device: str = "cpu", **more: Any) -> PreparationInputs:
    """The synthetic data set, half of it held out, in batches of 64: four steps an epoch."""
    space = space or pooling_space()
    dataset = load_data("synthetic", None, shape=(1, 8, 8), classes=4)
    training, validation = split(dataset, SplitSettings(validation=0.5))
    given: dict[str, Any] = {
        "budget": {"epochs": 3},
        "network": BATCH_NORM if space.name == "three_pools" else {},
        "batch": 64,
        "augmentation": "flip",
        "seed": 3,
        "checkpoint_every_s": 0.0,
        **more,
    }
    target = torch.device(device)
    return PreparationInputs(
        domain=Domain(space),
        task=TASK,
        training=training.to(target),
        validation=validation.to(target),
        device=target,
        folder=folder,
        **given,
    )


def begun(folder: Path, sampler: Any = "single_path", settings: Any = None, **more: Any) -> SharedWeightsTraining:
    """A training that has not made a step."""
    return SharedWeights(sampler, **(settings or {})).begin(inputs(folder, **more))


def weights(training: SharedWeightsTraining) -> dict[str, torch.Tensor]:
    """A copy of all shared tensors."""
    return {key: value.cpu().clone() for key, value in training.supernet.state().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
