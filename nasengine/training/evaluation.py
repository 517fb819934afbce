"""Measuring a network: the metrics of a task, averaged over all images of a part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasengine.data import Part
from nasengine.tasks import Task
from nasengine.training.batches import Normalize
from nasengine.training.device import autocast, autocast_dtype
from nasengine.training.settings import Precision


@torch.inference_mode()
def evaluate(
    network: nn.Module, part: Part, task: Task, *, batch: int = 128, precision: Precision = "auto"
) -> dict[str, float]:
    """The mean of each metric over the images of `part`, in their order, none left out.

    Args:
        network: put in evaluation mode; on the device of `part`.
        part: at the network's resolution.
        batch: images at a time. Matters to the result only for networks whose norms take statistics of the batch.
        precision: as in training.
    """
    if not len(part):
        raise ValueError("there are no images to measure on")
    device = part.images.device
    normalize = Normalize(part.mean, part.std).to(device)
    dtype = autocast_dtype(precision, device)
    network.eval()
    sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in task.metrics}
    for images, labels in zip(torch.split(part.images, batch), torch.split(part.labels, batch), strict=True):
        with autocast(dtype, device):
            outputs: Tensor = network(normalize(images))
        for name, values in task.measure(outputs, labels).items():
            sums[name] += values.double().sum()
    return {name: float(total) / len(part) for name, total in sums.items()}
