"""What every sampler promises: which architectures each step of training shared weights trains, on which weights."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from nasengine.records import Architecture
from nasengine.space.domain import Domain


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward of a step.

    Args:
        architectures: K of them; image i of the batch belongs to architecture i mod K.
        model: which set of weights.
        target: what the scores are compared with: the labels, or, as `teacher`, the softmax of the detached scores
            of the step's first pass and no label.
        regularized: whether dropout and drop path are on.
    """

    architectures: tuple[Architecture, ...]
    model: int = 0
    target: Literal["labels", "teacher"] = "labels"
    regularized: bool = True


@dataclass(frozen=True, slots=True)
class Moment:
    """When a step is, in the whole training of the shared weights; steps and epochs are numbered from 0."""

    step: int
    steps: int
    epoch: int
    epochs: int
    steps_per_epoch: int


class SupernetSampler(ABC):
    """Draws what each step trains and, if it `observes`, is told how that does on held-out images.

    Life: constructed with its settings and, by name, what it asks for of `domain`, `largest` and `smallest`; then
    for each epoch `begin_epoch` and `begins_as`, for each of its steps `draw` and, if it observes, `observe`; after the
    last step of an epoch `record`, after the last epoch `table`.

    All it draws comes from the generator that it is handed, which is keyed by seed and step. With `state` and
    `restore` an interrupted training goes on exactly as one that was not.
    """

    models: int = 1  # how many sets of weights it needs
    in_one_pass: int = 1  # the most architectures that a pass of its has
    note: str = ""  # what a person should know before the training begins, in a line
    observes: ClassVar[bool] = False  # then each pass is measured on held-out images after the step

    def begin_epoch(self, moment: Moment) -> None:  # noqa: B027 (a sampler need not change with the epochs)
        """Prepare for an epoch; `moment` is that of its first step. The default does nothing."""

    def begins_as(self, moment: Moment) -> Mapping[int, int]:
        """Models that begin this epoch as copies: model -> the one that it becomes a copy of, which is itself none.

        Copied are weights and buffers, the state of the optimiser and the running average. The default: none. It
        depends on the moment alone, which is that of the epoch's first step.
        """
        return {}

    @abstractmethod
    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        """The passes of a step: their gradients accumulate, then each model concerned takes one optimiser step."""

    def observe(  # noqa: B027 (a sampler need not learn)
        self, moment: Moment, passes: Sequence[Pass], measured: Sequence[Sequence[float]]
    ) -> None:
        """Learn how a step's architectures do after it: the task's first metric for each pass and architecture.

        Called only if the sampler `observes`.
        """

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, as JSON values; floats keep every digit."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (nothing to restore where there is no state)
        """Go on from what `state` returned."""

    def record(self) -> dict[str, Any]:
        """What the history keeps of an epoch, for people and pictures."""
        return {}

    def table(self) -> dict[str, Any] | None:
        """What is known of every configuration in the end; None where nothing is.

        {"configurations": [architecture as JSON], "probabilities": [[of each model]], "scores": [[…]],
        "visits": [[…]]}: a configuration belongs to the model of its largest probability.
        """
        return None


def make_sampler(
    constructor: Callable[..., SupernetSampler],
    settings: Mapping[str, Any],
    *,
    domain: Domain,
    largest: Architecture,
    smallest: Architecture,
) -> SupernetSampler:
    """A sampler from its settings, handed what it asks for by name of the space that it draws from."""
    handed = {"domain": domain, "largest": largest, "smallest": smallest}
    asked = inspect.signature(constructor).parameters
    return constructor(**settings, **{name: value for name, value in handed.items() if name in asked})
