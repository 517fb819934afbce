"""The stand-alone evaluator: every architecture gets a network of its own, trained from scratch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from torch import nn

from nasengine.build import build, resolve
from nasengine.data import Part
from nasengine.errors import InputError, NasEngineError, Problem, TrialError
from nasengine.evaluators.evaluator import EvaluatorInputs, EvaluatorSettings
from nasengine.evaluators.guarding import each_alone
from nasengine.evaluators.starting import Inheritance
from nasengine.evaluators.trial_checkpoints import TrialCheckpoints
from nasengine.objectives import Direction
from nasengine.records import Architecture, Job, Result
from nasengine.space import SearchSpace
from nasengine.training import TrainingSettings, evaluate, train, training_settings
from nasengine.training.smoothing import smoothed


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

    def __post_init__(self) -> None:
        self.training(batch=1, augmentation=None)

    @property
    def splits_budget(self) -> bool:
        """Yes: a training can be stopped, and gone on with from its checkpoint."""
        return True

    def training(self, *, batch: int, augmentation: object) -> TrainingSettings:
        """All training settings, batch and augmentation from the strategy's `data` included."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        shown = "none" if augmentation is None else augmentation
        return training_settings({**mine, "batch": batch, "augmentation": shown})

    def evaluator(self, inputs: EvaluatorInputs) -> StandaloneEvaluator:
        """See `EvaluatorSettings.evaluator`."""
        if not inputs.validation:
            raise InputError(
                Problem(
                    "no images are held out to compare architectures on", expected="expected data.validation above 0"
                )
            )
        return StandaloneEvaluator(inputs, self.training(batch=inputs.batch, augmentation=inputs.augmentation))


class StandaloneEvaluator:
    """Builds, trains and measures one network after another.

    Args:
        inputs: space, images, device.
        settings: how to train.
    """

    def __init__(self, inputs: EvaluatorInputs, settings: TrainingSettings) -> None:
        assert inputs.task, "an evaluator that needs data has a task"
        assert inputs.training, "an evaluator that needs data has images"
        assert inputs.validation, "asked for in Standalone.evaluator"
        self.inputs, self.settings = inputs, settings
        self.training, self.validation = inputs.training, inputs.validation
        self.task = smoothed(inputs.task, settings.label_smoothing)
        self._resized: tuple[tuple[int, int], Part, Part] | None = None
        self._checkpoints: TrialCheckpoints | None = None
        if inputs.checkpoints is not None:
            start = str(inputs.artifact.folder) if inputs.artifact else None
            kept = TrialCheckpoints(inputs.checkpoints, repr((settings, sorted(inputs.network.items()), start)))
            self._checkpoints = kept if kept.usable else None
        self._inheritance = Inheritance(inputs.artifact, inputs.space) if inputs.artifact else None
        import_late_parts(inputs.space)

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """Those of the task, measured on the validation images."""
        return self.task.metrics

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Train and measure each architecture for its job's budget, from the job's seed."""
        return each_alone(jobs, self._measure, self.inputs.device)

    def _measure(self, job: Job) -> Result:
        inputs, settings = self.inputs, self.settings
        network = self.initial_network(job)
        training, validation = self._parts(job.architecture)
        kept = self._checkpoints
        report = train(
            network,
            training,
            self.task,
            settings=settings,
            budget=job.budget,
            seed=job.seed,
            checkpoints=None if kept is None else kept.own(job),
            start=None if kept is None else kept.before(job),
            deterministic=inputs.deterministic,
        )
        measured = evaluate(network, validation, self.task, batch=settings.batch, precision=settings.precision)
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
