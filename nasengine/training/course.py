"""The course of one training: where it begins, the rate and the images of each step, what an epoch leaves behind.

Whoever takes the steps, one training alone or a cohort side by side, asks here. So both do the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.data import Part
from nasengine.errors import InputError, TrialError
from nasengine.training.batches import epoch_batches, keyed_seed
from nasengine.training.checkpoint import CheckpointFolder
from nasengine.training.settings import Length, TrainingSettings
from nasengine.training.weight_average import WeightAverage

GRAPH_PAYS_FROM = 30  # steps: capturing costs about as much as some tens of eager steps


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One point of a learning curve.

    Args:
        epoch: from 1; `epochs` is how many there will be.
        loss: mean training loss over the epoch's steps, as optimised (smoothed, augmented).
        rate: learning rate of the epoch's last step.
        seconds: of this epoch; of all members together where several are trained side by side.
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
        seconds: spent, in this process; of a member of a cohort, its share.
        notes: what a person should know of how it was done.
    """

    curve: tuple[Mapping[str, Any], ...]
    images: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A network to train, with what is its own in a cohort; what a training alone is given too.

    Args:
        network: moved to the device of the images, in channels_last order.
        seed: of layers that draw, and of the order of images and the augmentation where `order` is not said.
        order: seed of the order of images and of the augmentation; members with the same see the same batches.
        checkpoints, start, on_epoch: see `train`.
    """

    network: nn.Module
    seed: int
    order: int | None = None
    checkpoints: CheckpointFolder | None = None
    start: CheckpointFolder | None = None
    on_epoch: Callable[[EpochRecord], None] | None = None


class Course:
    """What a training is between its steps. Made with the network moved, and the latest checkpoint in place.

    Args:
        member: the network and what is its own.
        part: images and labels, on the device.
        settings: how to train.
        budget: see `Length.of`.

    Raises:
        InputError: a budget that is none, or no images.
        RunError: checkpoints of another training.
    """

    def __init__(self, member: Member, part: Part, *, settings: TrainingSettings, budget: Mapping[str, float]) -> None:
        if not len(part):
            raise InputError("there are no images to train on")
        self.network, self.seed, self.checkpoints = member.network, member.seed, member.checkpoints
        self.order = member.seed if member.order is None else member.order
        self.on_epoch, self.part, self.settings = member.on_epoch, part, settings
        self.device = part.images.device
        self.batch = min(settings.batch, len(part))
        self.length = Length.of(budget, images=len(part), batch=self.batch, drop_last=settings.drop_last)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        self.optimizer = settings.optimizer.build(self.network)
        self.average = WeightAverage(self.network, settings.ema) if settings.ema is not None else None
        self.done, self.curve, self.images_seen = 0, list[Mapping[str, Any]](), 0
        for folder in (member.checkpoints, member.start):
            if folder is not None and not self.done:
                progress = folder.load(network=self.network, optimizer=self.optimizer, average=self.average)
                self.done, self.curve = progress.epoch, list(progress.curve)

    @property
    def epochs(self) -> range:
        """Those left, numbered from 0."""
        return range(self.done, self.length.epochs)

    @property
    def graph_pays(self) -> bool:
        """Whether steps may be replayed as CUDA graphs, and are enough to pay for the capture."""
        fixed_shapes = self._images_per_epoch % self.batch == 0
        remaining = self.length.steps - self.done * self.length.steps_per_epoch
        on_gpu = self.device.type == "cuda" and self.settings.cuda_graph
        return on_gpu and fixed_shapes and remaining > GRAPH_PAYS_FROM

    def steps(self, epoch: int) -> int:
        """Updates in an epoch; the last may be a part of one."""
        return min(self.length.steps_per_epoch, self.length.steps - epoch * self.length.steps_per_epoch)

    def rates(self, epoch: int) -> list[float]:
        """The learning rate of each step of an epoch."""
        per_epoch, found = self.length.steps_per_epoch, []
        for index in range(self.steps(epoch)):
            begin, end = self.length.schedule_at(epoch * per_epoch + index)
            done, whole = epoch + index / per_epoch - begin / per_epoch, (end - begin) / per_epoch
            rate = self.settings.schedule.rate(self.settings.optimizer.rate, done, whole)
            # On a GPU a graph reads its rate from a float32 in memory: steps outside of a graph take the same.
            found.append(float(np.float32(rate)) if self.device.type == "cuda" else rate)
        return found

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images and labels of each step of an epoch."""
        return epoch_batches(
            self.part,
            self.settings.augmentation,
            batch=self.batch,
            images=min(self._images_per_epoch, self.steps(epoch) * self.batch),
            seed=self.order,
            epoch=epoch,
        )

    def seed_layers(self, epoch: int) -> None:
        """Begin the draws that layers make in an epoch, from the global generators."""
        torch.manual_seed(keyed_seed(self.seed, epoch, 2))

    def set_rate(self, rate: float) -> None:
        """The learning rate of the optimizer's next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def end_epoch(self, epoch: int, loss_sum: float, seconds: float) -> None:
        """Add to the learning curve, save a checkpoint where one is due, and tell who wants to know.

        Args:
            epoch: that ended.
            loss_sum: over its steps.
            seconds: that it took.

        Raises:
            TrialError: the loss is no longer a finite number.
        """
        length, checkpoints = self.length, self.checkpoints
        loss, rate = loss_sum / self.steps(epoch), self.rates(epoch)[-1]
        if not math.isfinite(loss):
            raise TrialError(f"the training loss became {loss} in epoch {epoch + 1} of {length.epochs}")
        per_epoch = self._images_per_epoch
        self.images_seen += min(per_epoch, self.steps(epoch) * self.batch)
        self.curve.append({"epoch": epoch + 1, "loss": loss, "rate": rate})
        due = epoch + 1 < length.epochs and checkpoints is not None and (epoch + 1) % checkpoints.every == 0
        due = due or (length.is_part and epoch + 1 == length.whole_epochs)
        if checkpoints is not None and due:
            checkpoints.save(
                epoch + 1, network=self.network, optimizer=self.optimizer, average=self.average, curve=self.curve
            )
        if self.on_epoch is not None:
            self.on_epoch(EpochRecord(epoch + 1, length.epochs, loss, rate, seconds))

    def finish(self) -> None:
        """Leave the network in evaluation mode, with the averaged weights if there is an average."""
        if self.average is not None:
            self.average.hand_over(self.network)
        self.network.eval()

    def report(self, seconds: float, notes: tuple[str, ...] = ()) -> TrainingReport:
        """What was done, in so many seconds."""
        return TrainingReport(tuple(self.curve), self.images_seen, seconds, notes)

    @property
    def _images_per_epoch(self) -> int:
        images, drop_last = len(self.part), self.settings.drop_last
        return self.length.images_per_epoch(images=images, batch=self.batch, drop_last=drop_last)
