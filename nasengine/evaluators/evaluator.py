"""What an evaluator is: it turns jobs into results, and says what it measures.

Evaluators come in two steps. What a strategy writes (`{type: standalone, optimizer: sgd}`) makes the settings, which
can be checked without data. Joined with what every process has to load (`EvaluatorInputs`) they make the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from nasengine.data import Part
from nasengine.objectives import Direction
from nasengine.records import Architecture, Job, Result
from nasengine.space import SearchSpace
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatorInputs:
    """What an evaluator works with.

    Args:
        space: whose architectures the jobs name.
        task: its kind and settings, from the space; None where none is needed and the space has none that is known.
        training, validation: two disjoint parts of the training images, on the device; None for an evaluator that
            needs no data. The test part is not here.
        device: where networks are trained.
        network: arguments of the root network, changed for this phase only.
        batch, augmentation: from the strategy's `data`.
        deterministic: on a GPU, use only kernels that repeat bit for bit.
        data_folder: where the run's data lie (`--data-dir`), if that was said.
        checkpoints: RUN/<phase>/checkpoints, where trials under a part of their budget leave their state; None:
            nothing goes on with them.
        artifact: shared weights of the space that candidates inherit; None: they inherit none.
        seed: of the run, for what all its trials share.
    """

    space: SearchSpace
    task: Task | None
    training: Part | None
    validation: Part | None
    device: torch.device
    network: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 128
    augmentation: object = None
    deterministic: bool = False
    data_folder: str | None = None
    checkpoints: Path | None = None
    artifact: SupernetArtifact | None = None
    seed: int = 0


class Evaluator(Protocol):
    """Turns jobs into results, many at a time where that is faster."""

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """What a completed result measures -> which way is better."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """One result for each job, in any order; what a job does wrong becomes a failed result, never an exception."""


class EvaluatorSettings:
    """What an entry of `EVALUATORS` makes of the keyword arguments that a strategy writes.

    The class says what a run has to provide, before anything is made:
        needs_data: images; where no phase needs any, a run loads none and asks for none.
        needs_budget: how long each candidate is trained; without need it may still be given.
        needs_network: networks that can be built; without need, any space will do.
        needs_supernet: shared weights, which a prepare phase leaves.
        starts: trainings, which can start from shared weights (`start:`).
        merges_isomorphic: architectures that compute the same function share one measurement.
    """

    __slots__ = ()

    needs_data: ClassVar[bool] = True
    needs_budget: ClassVar[bool] = True
    needs_network: ClassVar[bool] = True
    needs_supernet: ClassVar[bool] = False
    starts: ClassVar[bool] = False
    merges_isomorphic: ClassVar[bool] = True

    @property
    def splits_budget(self) -> bool:
        """Whether a part of a longer training, `{epochs: 3, of_epochs: 27}`, means something to it."""
        return False

    def jobs_at_once(
        self, space: SearchSpace, architecture: Architecture, *, device: str, batch: int, network: Mapping[str, Any]
    ) -> int:
        """How many jobs the evaluator should be handed at once: several if it measures them faster together.

        Args:
            space, architecture: one of those that will be measured.
            device, batch, network: see `EvaluatorInputs`.
        """
        return 1

    def metrics(self, space: SearchSpace, task: Task | None) -> Mapping[str, Direction]:
        """What the evaluator will measure -> which way is better; those of the task unless a subclass says otherwise.

        Raises:
            InputError: settings that name what is not there.
        """
        return {} if task is None else task.metrics

    def pinned(self, data_folder: str | None) -> Mapping[str, Any]:
        """Settings that a run keeps instead of those given, so that they mean the same when it is resumed elsewhere.

        Args:
            data_folder: where the run's data lie, if that was said.

        Raises:
            InputError: settings that name what is not there.
        """
        return {}

    def evaluator(self, inputs: EvaluatorInputs) -> Evaluator:
        """The evaluator itself.

        Raises:
            InputError: settings that do not go with the inputs.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no evaluator")


class MakesEvaluator(Protocol):
    """The least that the settings of a plug-in's evaluator must have."""

    def evaluator(self, inputs: EvaluatorInputs) -> Evaluator: ...


def with_defaults(made: EvaluatorSettings | MakesEvaluator) -> EvaluatorSettings:
    """What an entry of `EVALUATORS` made, as `EvaluatorSettings`: a plug-in need not derive from them."""
    return made if isinstance(made, EvaluatorSettings) else _PluginSettings(made)


@dataclass(frozen=True, slots=True)
class _PluginSettings(EvaluatorSettings):
    """Settings that do not derive from `EvaluatorSettings`: they need everything, and measure the task's metrics."""

    made: MakesEvaluator

    def evaluator(self, inputs: EvaluatorInputs) -> Evaluator:
        return self.made.evaluator(inputs)
