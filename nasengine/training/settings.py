"""How a network is trained, as one frozen record, made once from the plain values of a strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.records import WHOLE
from nasengine.training.augmentation import Augmentation, CropFlip, make_augmentation
from nasengine.training.components import call_checked, make_component
from nasengine.training.optimizers import OPTIMIZERS, SGD, OptimizerSettings
from nasengine.training.schedules import SCHEDULES, Cosine, Schedule

Precision = Literal["auto", "float32", "bfloat16"]
Compiled = Literal["auto", "no", "yes"]
UNITS = ("epochs", "steps", "steps_per_epoch")
PARTS = (f"{WHOLE}epochs", f"{WHOLE}steps")
RESTART = "restart_"  # before a number: the schedule begins anew there


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
        compiled: the blocks of networks that are trained side by side on a GPU (`cohort`); auto does it where
            there are enough steps to pay for it.
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
    compiled: Compiled = "auto"

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


def written_settings(written: Any, *, batch: int, augmentation: object) -> TrainingSettings:
    """From a dataclass of what a strategy writes, of whose fields some are settings of a training.

    Args:
        written: its instance.
        batch, augmentation: from the strategy's `data`.

    Raises:
        InputError: see `training_settings`.
    """
    named = {f.name: getattr(written, f.name) for f in fields(written) if f.name in TRAINING_KEYS}
    shown = "none" if augmentation is None else augmentation
    return training_settings({**named, "batch": batch, "augmentation": shown})


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is, and of which longer one it is a part.

    Args:
        steps: updates of the weights, in all.
        steps_per_epoch: after so many, an epoch ends (a point on the learning curve, a checkpoint).
        whole: updates of the training that the schedule is laid out for; None: there is no more than `steps`.
        restarts: after so many updates the schedule begins anew, ascending.
    """

    steps: int
    steps_per_epoch: int
    whole: int | None = None
    restarts: tuple[int, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs begin."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def is_part(self) -> bool:
        """Whether a longer training goes on from here."""
        return self.whole is not None and self.steps < self.whole

    @property
    def whole_epochs(self) -> int:
        """How many epochs end."""
        return self.steps // self.steps_per_epoch

    def images_per_epoch(self, *, images: int, batch: int, drop_last: bool) -> int:
        """Of a whole epoch: each image once, if its last batch may be smaller and it has just the steps for that."""
        each_once = not drop_last and self.steps_per_epoch == -(-images // batch)
        return images if each_once else self.steps_per_epoch * batch

    def schedule_at(self, step: int) -> tuple[int, int]:
        """The first and the last step, exclusive, of the schedule that a step is under."""
        ends = (*self.restarts, self.steps if self.whole is None else self.whole)
        end = next((end for end in ends if step < end), ends[-1])
        return max((begin for begin in self.restarts if begin <= step), default=0), end

    @classmethod
    def of(cls, budget: Mapping[str, float], *, images: int, batch: int, drop_last: bool) -> Length:
        """The length that a budget means for so many images.

        Args:
            budget: `{"epochs": 2}` (fractions allowed), `{"steps": 500}`, or `{"epochs": 20, "steps_per_epoch": 250}`;
                the first part of a longer training says of which: `{"epochs": 3, "of_epochs": 27}`, and after what
                its schedule begins anew, if it does: `{"epochs": 3, "of_epochs": 9, "restart_1": 3}`.

        Raises:
            InputError: another unit, no amount, both epochs and steps, or an amount that is not above 0.
        """
        problems = [
            Problem(
                f"unknown unit {unit!r} in the budget of a training",
                expected=f"expected {one_of(UNITS)}{nearest(unit, UNITS)}",
            )
            for unit in budget
            if unit not in UNITS and unit not in PARTS and not unit.startswith(RESTART)
        ]
        problems += [
            Problem(f"budget.{unit} is {amount!r}", expected="expected a number above 0")
            for unit, amount in budget.items()
            if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 < amount < math.inf
        ]
        if ("epochs" in budget) == ("steps" in budget):
            found = "both epochs and steps" if "epochs" in budget else "neither epochs nor steps"
            problems.append(Problem(f"the budget of a training gives {found}", expected="expected one of them"))
        if ("epochs" in budget and "of_steps" in budget) or ("steps" in budget and "of_epochs" in budget):
            problems.append(Problem("the budget is a part of a training in another unit", expected="expected the same"))
        if problems:
            raise InputError(problems)
        natural = max(1, images // batch) if drop_last else -(-images // batch)
        per_epoch = int(budget["steps_per_epoch"]) if "steps_per_epoch" in budget else natural
        unit, each = ("steps", 1) if "steps" in budget else ("epochs", per_epoch)

        def steps(amount: float) -> int:
            return max(1, round(amount * each))

        whole = steps(budget[f"{WHOLE}{unit}"]) if f"{WHOLE}{unit}" in budget else None
        restarts = sorted(steps(amount) for key, amount in budget.items() if key.startswith(RESTART))
        return cls(steps(budget[unit]), max(1, per_epoch), whole, tuple(restarts))
