"""The training loop: one, visible, for every network and task.

Deterministic: all draws are keyed by (seed, epoch); on a CPU with a fixed number of threads two trainings, or one
that was interrupted and resumed, agree bit for bit. Nothing waits for the device inside an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nasengine.data import Part
from nasengine.errors import InputError, TrialError
from nasengine.tasks import Task
from nasengine.training.batches import Normalize, epoch_batches, keyed_seed
from nasengine.training.checkpoint import CheckpointFolder
from nasengine.training.device import deterministic_kernels, own_random_state
from nasengine.training.settings import Length, TrainingSettings
from nasengine.training.step import GraphedStep, TrainingStep
from nasengine.training.weight_average import WeightAverage

GRAPH_PAYS_FROM = 30  # steps: capturing costs about as much as some tens of eager steps


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One point of a learning curve.

    Args:
        epoch: from 1; `epochs` is how many there will be.
        loss: mean training loss over the epoch's steps, as optimised (smoothed, augmented).
        rate: learning rate of the epoch's last step.
        seconds: of this epoch.
    """

    epoch: int
    epochs: int
    loss: float
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training did.

    Args:
        curve: one record `{epoch, loss, rate}` per epoch, also of epochs before an interruption.
        images: trained on, in this process.
        seconds: spent, in this process.
    """

    curve: tuple[Mapping[str, Any], ...]
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds > 0 else 0.0


def train(
    network: nn.Module,
    part: Part,
    task: Task,
    *,
    settings: TrainingSettings,
    budget: Mapping[str, float],
    seed: int,
    checkpoints: CheckpointFolder | None = None,
    start: CheckpointFolder | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    deterministic: bool = False,
) -> TrainingReport:
    """Train a network in place; it ends in evaluation mode, with the averaged weights if there is an average.

    Args:
        network: moved to the device of `part`, in channels_last order.
        part: images and labels, on the device, at the network's resolution.
        task: gives the loss.
        settings: everything else but the length.
        budget: see `Length.of`.
        seed: of the order of images, of the augmentation and of layers that draw.
        checkpoints: where to go on from and to save to; None: neither. A part of a longer training leaves the state
            after its last whole epoch here.
        start: where to go on from if nothing is there: the checkpoints of a shorter part of the same training.
        on_epoch: called after every epoch.
        deterministic: on a GPU, use only kernels that repeat bit for bit (slower).

    Raises:
        InputError: a budget that is none, or no images.
        TrialError: the loss is no longer a finite number.
        RunError: checkpoints of another training.
    """
    if not len(part):
        raise InputError("there are no images to train on")
    device = part.images.device
    batch = min(settings.batch, len(part))
    length = Length.of(budget, images=len(part), batch=batch, drop_last=settings.drop_last)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = settings.optimizer.build(network)
    average = WeightAverage(network, settings.ema) if settings.ema is not None else None
    done, curve = 0, []
    for folder in (checkpoints, start):
        if folder is not None and not done:
            progress = folder.load(network=network, optimizer=optimizer, average=average)
            done, curve = progress.epoch, list(progress.curve)

    images_per_epoch = length.steps_per_epoch * batch if settings.drop_last else _all_images(length, batch, len(part))
    remaining = length.steps - done * length.steps_per_epoch
    fixed_shapes = images_per_epoch % batch == 0
    graphed = device.type == "cuda" and settings.cuda_graph and fixed_shapes and remaining > GRAPH_PAYS_FROM
    step = (GraphedStep if graphed else TrainingStep)(
        network,
        task,
        optimizer=optimizer,
        settings=settings,
        normalize=Normalize(part.mean, part.std).to(device),
        average=average,
    )

    started, images_seen = time.perf_counter(), 0
    with own_random_state(device), deterministic_kernels(device, deterministic):
        for epoch in range(done, length.epochs):
            epoch_started = time.perf_counter()
            torch.manual_seed(keyed_seed(seed, epoch, 2))
            steps = min(length.steps_per_epoch, length.steps - epoch * length.steps_per_epoch)
            batches = epoch_batches(
                part,
                settings.augmentation,
                batch=batch,
                images=min(images_per_epoch, steps * batch),
                seed=seed,
                epoch=epoch,
            )
            step.loss_sum.zero_()
            for index, (images, labels) in enumerate(batches):
                begin, end = length.schedule_at(epoch * length.steps_per_epoch + index)
                rate = settings.schedule.rate(
                    settings.optimizer.rate,
                    epoch + index / length.steps_per_epoch - begin / length.steps_per_epoch,
                    (end - begin) / length.steps_per_epoch,
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                step(images, labels)
                images_seen += len(labels)
            loss = float(step.loss_sum) / steps  # the only wait for the device in an epoch
            if not math.isfinite(loss):
                raise TrialError(f"the training loss became {loss} in epoch {epoch + 1} of {length.epochs}")
            curve.append({"epoch": epoch + 1, "loss": loss, "rate": rate})
            due = epoch + 1 < length.epochs and checkpoints is not None and (epoch + 1) % checkpoints.every == 0
            due = due or (length.is_part and epoch + 1 == length.whole_epochs)
            if checkpoints is not None and due:
                checkpoints.save(epoch + 1, network=network, optimizer=optimizer, average=average, curve=curve)
            if on_epoch is not None:
                seconds = time.perf_counter() - epoch_started
                on_epoch(EpochRecord(epoch + 1, length.epochs, loss, rate, seconds))
    if average is not None:
        average.hand_over(network)
    network.eval()
    return TrainingReport(tuple(curve), images_seen, time.perf_counter() - started)


def _all_images(length: Length, batch: int, images: int) -> int:
    """Images of an epoch whose last batch may be smaller: each once, if the epoch has just the steps for it."""
    return images if length.steps_per_epoch == -(-images // batch) else length.steps_per_epoch * batch
