"""Several stand-alone trainings at once, where a GPU trains them faster so; each as if it were alone.

They are trained as a cohort: networks small enough not to fill the GPU by themselves, of one budget and one resolution,
with steps enough for CUDA graphs, on batches of one shape. Whatever a cohort cannot do is done one by one: what then
goes wrong is the failure of one job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from nasengine.costs import costs
from nasengine.data import Part
from nasengine.errors import InputError, NasEngineError
from nasengine.evaluators.guarding import each_alone, free_memory
from nasengine.execution.executor import failure
from nasengine.records import Architecture, Job, Result, canonical_json
from nasengine.space import SearchSpace
from nasengine.tasks import Task
from nasengine.training import Length, Member, TrainingReport, TrainingSettings, train_cohort
from nasengine.training.course import GRAPH_PAYS_FROM

TOGETHER = 48  # jobs in a cohort at most: a kill loses what all of them have done
SMALL_STEP_MACS = 3e11  # forward, of a step: some milliseconds of a large GPU's arithmetic; beyond, it is busy with one


@dataclass(frozen=True, slots=True, eq=False)
class Trainings:
    """What one kind of training is made of; a stand-alone trial and a retraining fill in their own.

    Args:
        settings, task, deterministic: of all trainings.
        count: how many training images there are.
        images: those, at the resolution of a job.
        resolution: (height, width).
        begin: the network of a job with its seeds and checkpoints.
        end: what a trained job measures.
        alone: the whole of one job by itself.
        small: whether its network leaves room on the GPU for others.
    """

    settings: TrainingSettings
    task: Task
    deterministic: bool
    count: int
    images: Callable[[Job], Part]
    resolution: Callable[[Job], tuple[int, int]]
    begin: Callable[[Job], Member]
    end: Callable[[Job, Member, TrainingReport], Result]
    alone: Callable[[Job], Result]
    small: Callable[[Job], bool]


def measure_all(trainings: Trainings, jobs: Sequence[Job], device: torch.device) -> Iterator[Result]:
    """The result of each job; those trained together first."""
    left = list(jobs)
    if len(jobs) > 1 and trains_together(trainings.settings, device):
        for group in _groups(trainings, jobs):
            left = [job for job in left if job not in group]
            yield from _together(trainings, group, device)
    yield from each_alone(left, trainings.alone, device)


def trains_together(settings: TrainingSettings, device: torch.device) -> bool:
    """Whether a device trains several small networks faster together: only a GPU does, by CUDA graphs."""
    return device.type == "cuda" and settings.cuda_graph


def is_small(space: SearchSpace, architecture: Architecture, batch: int, network: Mapping[str, Any]) -> bool:
    """Whether a step of an architecture's network leaves room on a GPU; what cannot be counted does not."""
    try:
        return costs(space, architecture, network=network or None).macs * batch <= SMALL_STEP_MACS
    except NasEngineError:
        return False


def _groups(trainings: Trainings, jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs that are worth training together, at most `TOGETHER` at a time."""
    alike: dict[tuple[str, tuple[int, int]], list[Job]] = {}
    for job in jobs:
        try:
            worth = _suits_graphs(trainings, job) and trainings.small(job)
            key = canonical_json(dict(job.budget)), trainings.resolution(job)
        except NasEngineError:  # which it says for itself, alone
            continue
        if worth:
            alike.setdefault(key, []).append(job)
    cut = [same[first : first + TOGETHER] for same in alike.values() for first in range(0, len(same), TOGETHER)]
    return [group for group in cut if len(group) > 1]


def _suits_graphs(trainings: Trainings, job: Job) -> bool:
    """Whether the steps of a job are enough for a CUDA graph, on batches of one shape."""
    if not trainings.count:
        raise InputError("there are no images to train on")
    settings, images = trainings.settings, trainings.count
    batch, drop_last = min(settings.batch, images), settings.drop_last
    length = Length.of(job.budget, images=images, batch=batch, drop_last=drop_last)
    one_shape = length.images_per_epoch(images=images, batch=batch, drop_last=drop_last) % batch == 0
    return one_shape and length.steps > GRAPH_PAYS_FROM


def _together(trainings: Trainings, jobs: Sequence[Job], device: torch.device) -> Iterator[Result]:
    """The results of jobs trained as one cohort, or in smaller ones if memory asks for it, or one by one."""
    started = time.perf_counter()
    members: dict[int, Member] = {}
    wanted: list[Job] = []
    for job in jobs:
        try:
            members[job.trial] = trainings.begin(job)
            wanted.append(job)
        except Exception as error:  # a trial may fail in any way; the search goes on
            yield failure(job.trial, error)
    trained, problem, too_large = _trained(trainings, wanted, [members[job.trial] for job in wanted])
    if problem:
        members.clear()
        free_memory(device)
        half = len(wanted) // 2
        if too_large and half > 1:
            yield from _together(trainings, wanted[:half], device)
            yield from _together(trainings, wanted[half:], device)
            return
        for result in each_alone(wanted, trainings.alone, device):
            yield replace(result, details={**result.details, "not_side_by_side": problem})
        return
    share = (time.perf_counter() - started) / max(1, len(wanted))
    for job, report in zip(wanted, trained, strict=True):
        ending = time.perf_counter()
        try:
            if not isinstance(report, TrainingReport):
                raise report
            result = trainings.end(job, members[job.trial], report)
            said = {"side_by_side": len(wanted), **({"notes": list(report.notes)} if report.notes else {})}
            result = replace(result, details={**result.details, **said})
        except Exception as error:  # as above
            result = failure(job.trial, error)
        members.pop(job.trial)
        yield replace(result, seconds=share + time.perf_counter() - ending)
    free_memory(device)


def _trained(
    trainings: Trainings, jobs: Sequence[Job], members: Sequence[Member]
) -> tuple[list[TrainingReport | NasEngineError], str, bool]:
    """What became of each; or why there was no cohort, and whether it was too large for the memory.

    A function of its own, so that what an exception holds on to is gone when it returns.
    """
    if not jobs:
        return [], "", False
    try:
        reports = train_cohort(
            members,
            trainings.images(jobs[0]),
            trainings.task,
            settings=trainings.settings,
            budget=jobs[0].budget,
            deterministic=trainings.deterministic,
        )
    except Exception as error:  # whatever it was: alone each job says it for itself, or does without
        first = next(iter(str(error).strip().splitlines()), "")
        return [], f"{type(error).__name__}: {first}", isinstance(error, torch.OutOfMemoryError)
    return list(reports), "", False
