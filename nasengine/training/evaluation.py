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
    network: nn.Module,
    part: Part,
    task: Task,
    *,
    batch: int = 128,
    precision: Precision = "auto",
    drop_last: bool = False,
) -> dict[str, float]:
    """The mean of each metric over the images of `part`, in their order.

    Args:
        network: put in evaluation mode; on the device of `part`.
        part: at the network's resolution.
        batch: images at a time. Matters to the result only for networks whose norms take statistics of the batch.
        precision: as in training.
        drop_last: leave out a last batch that is smaller than the others, and would be scored unlike them where norms
            take statistics of the batch.
    """
    if not len(part):
        raise ValueError("there are no images to measure on")
    device = part.images.device
    normalize = Normalize(part.mean, part.std).to(device)
    dtype = autocast_dtype(precision, device)
    network.eval()
    sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in task.metrics}
    count = len(part) // batch * batch if drop_last and len(part) > batch else len(part)
    whole = zip(torch.split(part.images[:count], batch), torch.split(part.labels[:count], batch), strict=True)
    for images, labels in whole:
        with autocast(dtype, device):
            outputs: Tensor = network(normalize(images))
        for name, values in task.measure(outputs, labels).items():
            sums[name] += values.double().sum()
    return {name: float(total) / count for name, total in sums.items()}
