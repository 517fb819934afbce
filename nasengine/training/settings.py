"""How a network is trained, as one frozen record, made once from the plain values of a strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.training.augmentation import Augmentation, CropFlip, make_augmentation
from nasengine.training.components import call_checked, make_component
from nasengine.training.optimizers import OPTIMIZERS, SGD, OptimizerSettings
from nasengine.training.schedules import SCHEDULES, Cosine, Schedule

Precision = Literal["auto", "float32", "bfloat16"]
UNITS = ("epochs", "steps", "steps_per_epoch")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything about a training but its length, its seed and its images.

    Args:
        optimizer, schedule, augmentation: made from their tables.
        batch: images per step; a training part smaller than this is one batch.
        label_smoothing: see `tasks.ImageClassification`; 0: none.
        clip_norm: the gradient's largest norm, over all parameters; None: not clipped.
        ema: decay per step of a running average of the weights, which is what is then measured and saved; None: none.
        drop_last: leave out an epoch's last, smaller batch (norms over a handful of images are noise).
        precision: auto is bfloat16 autocast on a GPU that has it, float32 elsewhere.
        cuda_graph: replay the forward and backward pass as one CUDA graph where shapes are fixed.
    """

    optimizer: OptimizerSettings = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Cosine)
    augmentation: Augmentation = field(default_factory=CropFlip)
    batch: int = 128
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    drop_last: bool = True
    precision: Precision = "auto"
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.batch < 1:
            problems.append(Problem(f"batch is {self.batch!r}", expected="expected at least 1"))
        if self.clip_norm is not None and not 0 < self.clip_norm < math.inf:
            problems.append(
                Problem(f"clip_norm is {self.clip_norm!r}", expected="expected a number above 0, or nothing")
            )
        if self.ema is not None and not 0 < self.ema < 1:
            problems.append(Problem(f"ema is {self.ema!r}", expected="expected a share between 0 and 1, or nothing"))
        if not 0 <= self.label_smoothing < 1:
            found = f"label_smoothing is {self.label_smoothing!r}"
            problems.append(Problem(found, expected="expected a share, from 0 to below 1"))
        if problems:
            raise InputError(problems)


TRAINING_KEYS = tuple(f.name for f in fields(TrainingSettings))


def training_settings(plain: Mapping[str, object]) -> TrainingSettings:
    """From plain values: `{optimizer: {type: sgd, rate: 0.1}, schedule: cosine, batch: 128}`; the rest default.

    Raises:
        InputError: every unknown key (with the nearest name) and every wrong value, all at once.
    """
    problems: list[Problem] = []
    made: dict[str, Any] = {}
    for key, value in plain.items():
        try:
            if key == "optimizer":
                made[key] = make_component(OPTIMIZERS, value, kind="optimizer")
            elif key == "schedule":
                made[key] = make_component(SCHEDULES, value, kind="schedule")
            elif key == "augmentation":
                made[key] = make_augmentation(value)
            elif key not in TRAINING_KEYS:
                expected = f"expected {one_of(TRAINING_KEYS)}{nearest(key, TRAINING_KEYS)}"
                problems.append(Problem(f"unknown training setting {key!r}", expected=expected))
            else:
                call_checked(TrainingSettings, {key: value}, where="the training", name="the settings")
                made[key] = value
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return TrainingSettings(**made)


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is.

    Args:
        steps: updates of the weights, in all.
        steps_per_epoch: after so many, an epoch ends (a point on the learning curve, a checkpoint).
    """

    steps: int
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        """How many epochs begin."""
        return -(-self.steps // self.steps_per_epoch)

    @classmethod
    def of(cls, budget: Mapping[str, float], *, images: int, batch: int, drop_last: bool) -> Length:
        """The length that a budget means for so many images.

        Args:
            budget: `{"epochs": 2}` (fractions allowed), `{"steps": 500}`, or `{"epochs": 20, "steps_per_epoch": 250}`.

        Raises:
            InputError: another unit, no amount, both epochs and steps, or an amount that is not above 0.
        """
        problems = [
            Problem(
                f"unknown unit {unit!r} in the budget of a training",
                expected=f"expected {one_of(UNITS)}{nearest(unit, UNITS)}",
            )
            for unit in budget
            if unit not in UNITS
        ]
        problems += [
            Problem(f"budget.{unit} is {amount!r}", expected="expected a number above 0")
            for unit, amount in budget.items()
            if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 < amount < math.inf
        ]
        if ("epochs" in budget) == ("steps" in budget):
            found = "both epochs and steps" if "epochs" in budget else "neither epochs nor steps"
            problems.append(Problem(f"the budget of a training gives {found}", expected="expected one of them"))
        if problems:
            raise InputError(problems)
        natural = max(1, images // batch) if drop_last else -(-images // batch)
        per_epoch = int(budget["steps_per_epoch"]) if "steps_per_epoch" in budget else natural
        steps = budget["steps"] if "steps" in budget else budget["epochs"] * per_epoch
        return cls(max(1, round(steps)), max(1, per_epoch))
