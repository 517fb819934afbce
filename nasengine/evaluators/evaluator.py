"""What an evaluator is: it turns jobs into results, and says what it measures.

Evaluators come in two steps. What a strategy writes (`{type: standalone, optimizer: sgd}`) makes the settings, which
can be checked without data. Joined with what every process has to load (`EvaluatorInputs`) they make the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from nasengine.data import Part
from nasengine.objectives import Direction
from nasengine.records import Job, Result
from nasengine.space import SearchSpace
from nasengine.tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatorInputs:
    """What an evaluator works with.

    Args:
        space: whose architectures the jobs name.
        task: its kind and settings, from the space.
        training, validation: two disjoint parts of the training images, on the device. The test part is not here.
        device: where networks are trained.
        network: arguments of the root network, changed for this phase only.
        batch, augmentation: from the strategy's `data`.
        deterministic: on a GPU, use only kernels that repeat bit for bit.
    """

    space: SearchSpace
    task: Task
    training: Part
    validation: Part
    device: torch.device
    network: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 128
    augmentation: object = None
    deterministic: bool = False


class Evaluator(Protocol):
    """Turns jobs into results, many at a time where that is faster."""

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """What a completed result measures -> which way is better."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """One result for each job, in any order; what a job does wrong becomes a failed result, never an exception."""


class EvaluatorSettings(Protocol):
    """What an entry of `EVALUATORS` makes of the keyword arguments that a strategy writes."""

    def evaluator(self, inputs: EvaluatorInputs) -> Evaluator:
        """The evaluator itself.

        Raises:
            InputError: settings that do not go with the inputs.
        """
