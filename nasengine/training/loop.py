"""The training loop: one, visible, for every network and task.

Deterministic: all draws are keyed by (seed, epoch); on a CPU with a fixed number of threads two trainings, or one
that was interrupted and resumed, agree bit for bit. Nothing waits for the device inside an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from torch import nn

from nasengine.data import Part
from nasengine.tasks import Task
from nasengine.training.batches import Normalize
from nasengine.training.checkpoint import CheckpointFolder
from nasengine.training.course import Course, EpochRecord, Member, TrainingReport
from nasengine.training.device import deterministic_kernels, fastest_convolutions, own_random_state
from nasengine.training.settings import TrainingSettings
from nasengine.training.step import GraphedStep, TrainingStep


def train(
    network: nn.Module,
    part: Part,
    task: Task,
    *,
    settings: TrainingSettings,
    budget: Mapping[str, float],
    seed: int,
    order: int | None = None,
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
        seed: of layers that draw, and of all else where `order` is not said.
        order: seed of the order of images and of the augmentation.
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
    member = Member(network, seed, order, checkpoints, start, on_epoch)
    return train_member(member, part, task, settings=settings, budget=budget, deterministic=deterministic)


def train_member(
    member: Member,
    part: Part,
    task: Task,
    *,
    settings: TrainingSettings,
    budget: Mapping[str, float],
    deterministic: bool = False,
) -> TrainingReport:
    """The same of what could be a member of a cohort, alone."""
    course = Course(member, part, settings=settings, budget=budget)
    device = course.device
    step = (GraphedStep if course.graph_pays else TrainingStep)(
        course.network,
        task,
        optimizer=course.optimizer,
        settings=settings,
        normalize=Normalize(part.mean, part.std).to(device),
        average=course.average,
    )
    started = time.perf_counter()
    with (
        own_random_state(device),
        deterministic_kernels(device, deterministic),
        fastest_convolutions([course.network], device, course.graph_pays and not deterministic),
    ):
        for epoch in course.epochs:
            epoch_started = time.perf_counter()
            course.seed_layers(epoch)
            step.loss_sum.zero_()
            for rate, (images, labels) in zip(course.rates(epoch), course.batches(epoch), strict=True):
                course.set_rate(rate)
                step(images, labels)
            loss_sum = float(step.loss_sum)  # the only wait for the device in an epoch
            course.end_epoch(epoch, loss_sum, time.perf_counter() - epoch_started)
    course.finish()
    return course.report(time.perf_counter() - started)
