"""The stand-alone evaluator: every architecture gets a network of its own, trained from scratch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import nn

from nasengine.build import build, resolve
from nasengine.data import Part
from nasengine.errors import InputError, NasEngineError, Problem, TrialError, one_of
from nasengine.evaluators.evaluator import EvaluatorInputs, EvaluatorSettings
from nasengine.evaluators.side_by_side import TOGETHER, Trainings, is_small, measure_all
from nasengine.evaluators.starting import Inheritance, named_in
from nasengine.evaluators.trial_checkpoints import TrialCheckpoints
from nasengine.objectives import Direction
from nasengine.records import Architecture, Job, Result
from nasengine.space import SearchSpace
from nasengine.training import (
    Member,
    TrainingReport,
    TrainingSettings,
    evaluate,
    train_member,
    written_settings,
)
from nasengine.training.smoothing import smoothed

ORDERS = ("own", "shared")


@dataclass(frozen=True, slots=True)
class Standalone(EvaluatorSettings):
    """How stand-alone networks are trained, as a strategy writes it; also the plain trainer of the retrain phase.

    Args:
        optimizer: `sgd`, or `{type: sgd, rate: 0.1, …}`.
        schedule: `cosine`, or `{type: cosine, last: 0.001, …}`.
        label_smoothing: share of the target spread over all classes while training.
        clip_norm: the gradient's largest norm; None: not clipped.
        ema: decay per step of the running average of the weights that is then measured; None: none.
        drop_last: leave out an epoch's last, smaller batch.
        precision: auto, float32 or bfloat16.
        cuda_graph: replay forward and backward pass as one CUDA graph where that can be done.
        compiled: whether blocks of networks are, where they are trained side by side on a GPU: auto, no or yes.
        order: of the images and their augmentation: each training's `own`, or `shared` by all of a run, so that their
            differences are those of the architectures alone; side by side, they then share each batch.

    Raises:
        InputError: every wrong value.
    """

    starts: ClassVar[bool] = True

    optimizer: str | Mapping[str, Any] = "sgd"
    schedule: str | Mapping[str, Any] = "cosine"
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    drop_last: bool = True
    precision: str = "auto"
    cuda_graph: bool = True
    compiled: str = "auto"
    order: str = "own"

    def __post_init__(self) -> None:
        self.training(batch=1, augmentation=None)
        if self.order not in ORDERS:
            raise InputError(Problem(f"order is {self.order!r}", expected=f"expected {one_of(ORDERS)}"))

    @property
    def splits_budget(self) -> bool:
        """Yes: a training can be stopped, and gone on with from its checkpoint."""
        return True

    def training(self, *, batch: int, augmentation: object) -> TrainingSettings:
        """All training settings, batch and augmentation from the strategy's `data` included."""
        return written_settings(self, batch=batch, augmentation=augmentation)

    def evaluator(self, inputs: EvaluatorInputs) -> StandaloneEvaluator:
        """See `EvaluatorSettings.evaluator`."""
        if not inputs.validation:
            raise InputError(
                Problem(
                    "no images are held out to compare architectures on", expected="expected data.validation above 0"
                )
            )
        training = self.training(batch=inputs.batch, augmentation=inputs.augmentation)
        return StandaloneEvaluator(inputs, training, order=self.order_seed(inputs))

    def order_seed(self, inputs: EvaluatorInputs) -> int | None:
        """The seed of the order of images that all trainings share; None: each has its own."""
        return inputs.seed if self.order == "shared" else None

    def jobs_at_once(
        self, space: SearchSpace, architecture: Architecture, *, device: str, batch: int, network: Mapping[str, Any]
    ) -> int:
        """See `EvaluatorSettings.jobs_at_once`: a cohort of small networks on a GPU."""
        on_gpu = device.startswith("cuda") and self.cuda_graph
        return TOGETHER if on_gpu and is_small(space, architecture, batch, network) else 1


class StandaloneEvaluator:
    """Builds, trains and measures networks: one after another, or side by side where that is faster.

    Args:
        inputs: space, images, device.
        settings: how to train.
        order: seed of the order of images that all trainings share; None: each has its job's.
    """

    def __init__(self, inputs: EvaluatorInputs, settings: TrainingSettings, *, order: int | None = None) -> None:
        assert inputs.task, "an evaluator that needs data has a task"
        assert inputs.training, "an evaluator that needs data has images"
        assert inputs.validation, "asked for in Standalone.evaluator"
        self.inputs, self.settings, self.order = inputs, settings, order
        self.training, self.validation = inputs.training, inputs.validation
        self.task = smoothed(inputs.task, settings.label_smoothing)
        self._resized: tuple[tuple[int, int], Part, Part] | None = None
        self._checkpoints: TrialCheckpoints | None = None
        if inputs.checkpoints is not None:
            run = inputs.checkpoints.parent.parent
            start = named_in(run, inputs.artifact.folder) if inputs.artifact else None
            kept = TrialCheckpoints(inputs.checkpoints, repr((settings, sorted(inputs.network.items()), start, order)))
            self._checkpoints = kept if kept.usable else None
        self._inheritance = Inheritance(inputs.artifact, inputs.space) if inputs.artifact else None
        import_late_parts(inputs.space)
        settings.optimizer.build(nn.Linear(1, 1))  # the first optimizer of a process has torch import its compiler

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """Those of the task, measured on the validation images."""
        return self.task.metrics

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Train and measure each architecture for its job's budget, from the job's seed."""
        inputs, batch = self.inputs, self.settings.batch
        trainings = Trainings(
            settings=self.settings,
            task=self.task,
            deterministic=inputs.deterministic,
            count=len(self.training),
            images=lambda job: self._parts(job.architecture)[0],
            resolution=lambda job: resolution(inputs.space, job.architecture),
            begin=self._member,
            end=self._result,
            alone=self._measure,
            small=lambda job: is_small(inputs.space, job.architecture, batch, inputs.network),
        )
        return measure_all(trainings, jobs, inputs.device)

    def _measure(self, job: Job) -> Result:
        member = self._member(job)
        report = train_member(
            member,
            self._parts(job.architecture)[0],
            self.task,
            settings=self.settings,
            budget=job.budget,
            deterministic=self.inputs.deterministic,
        )
        return self._result(job, member, report)

    def _member(self, job: Job) -> Member:
        kept = self._checkpoints
        own, before = (None, None) if kept is None else (kept.own(job), kept.before(job))
        return Member(self.initial_network(job), job.seed, self.order, own, before)

    def _result(self, job: Job, member: Member, report: TrainingReport) -> Result:
        settings, (_, validation) = self.settings, self._parts(job.architecture)
        measured = evaluate(member.network, validation, self.task, batch=settings.batch, precision=settings.precision)
        check_finite(measured, "validation")
        details = {"curve": [dict(point) for point in report.curve], "images_per_second": report.images_per_second}
        return Result(job.trial, "completed", measured, details=details)

    def initial_network(self, job: Job) -> nn.Module:
        """The network of a job before its training: fresh from the job's seed, or with the weights it inherits."""
        network = build(self.inputs.space, job.architecture, network=self.inputs.network, seed=job.seed)
        if self._inheritance is not None:
            self._inheritance.load(network, job.architecture)
        return network

    def _parts(self, architecture: Architecture) -> tuple[Part, Part]:
        """Training and validation images at the architecture's resolution; the latest resolution is kept."""
        size = resolution(self.inputs.space, architecture)
        if self._resized is None or self._resized[0] != size:
            self._resized = None
            self._resized = (size, self.training.resized(*size), self.validation.resized(*size))
        return self._resized[1], self._resized[2]


def resolution(space: SearchSpace, architecture: Architecture) -> tuple[int, int]:
    """(height, width) of the images that an architecture takes."""
    shape = space.fill(architecture).input_shape
    if shape is None:
        raise InputError(Problem(f"the space {space.name!r} has no task, so nothing can be trained"))
    return shape[1], shape[2]


def import_late_parts(space: SearchSpace) -> None:
    """Have torch import what it imports when a first network is looked at, which takes seconds.

    Without it the first trial of every worker process would pay, and with a short time limit every trial fail.
    """
    with contextlib.suppress(NasEngineError):  # what cannot be built is for the trials to say
        resolve(space, space.sample(np.random.default_rng(0)))


def check_finite(measured: Mapping[str, float], part: str) -> None:
    """See that every metric is a finite number.

    Raises:
        TrialError: one is not.
    """
    for name, value in measured.items():
        if not math.isfinite(value):
            raise TrialError(f"the {part} {name} is {value}")
