"""What a preparation is: something trained or measured before a search, which leaves its artifacts in a folder.

Like evaluators, preparations come in two steps. What a strategy writes (`{trainer: shared_weights, sampler: …}`) makes
the settings, which can be checked without data. Joined with what has to be loaded (`PreparationInputs`) they run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch

from nasengine.data import Part
from nasengine.records import canonical_json
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class PreparationInputs:
    """What a preparation works with.

    Args:
        domain: what is prepared for: a space, and what of it may be searched.
        task: made from the space's.
        training, validation: two disjoint parts of the training images, on the device; the test part is not here.
        device: where it trains.
        folder: RUN/<phase>, where it leaves its artifacts, and its checkpoints while it runs.
        budget: unit -> amount; `per_model`: of each model of a mixture.
        network: arguments of the root network, changed for this phase only.
        batch, augmentation: from the strategy's `data`.
        seed: of everything that is drawn.
        deterministic: on a GPU, use only kernels that repeat bit for bit.
        versions: of the packages, for the artifacts.
        checkpoint_every_s: seconds between checkpoints, which stand at the end of epochs.
        on_note: told in a line what a person should know; None: nobody listens.
    """

    domain: Domain
    task: Task
    training: Part
    validation: Part
    device: torch.device
    folder: Path
    budget: Mapping[str, float]
    per_model: bool = False
    network: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 128
    augmentation: object = None
    seed: int = 0
    deterministic: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    checkpoint_every_s: float = 15.0
    on_note: Callable[[str], None] | None = None

    @property
    def space(self) -> SearchSpace:
        """All of it."""
        return self.domain.space

    def key(self, settings: Any, trainer: str) -> str:
        """What the outcome of a trainer with some settings depends on, as a short text."""
        said = {
            "trainer": {"type": trainer, **{f.name: getattr(settings, f.name) for f in fields(settings)}},
            "space": self.space.hash,
            "network": dict(self.network),
            "data": [len(self.training), len(self.validation), self.batch, repr(self.augmentation)],
            "budget": [dict(self.budget), self.per_model],
            "seed": self.seed,
        }
        return hashlib.sha256(canonical_json(said).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PreparationEpoch:
    """An epoch of a preparation ended.

    Args:
        epoch: from 1; `epochs` is how many there will be.
        measurements: of this epoch, such as its mean training loss.
        seconds: that it took.
    """

    epoch: int
    epochs: int
    measurements: Mapping[str, float]
    seconds: float


OnEpoch: TypeAlias = Callable[[PreparationEpoch], None]


class PreparationSettings(Protocol):
    """What an entry of `PREPARATIONS` makes of the keyword arguments that a strategy writes."""

    def check(self, domain: Domain, *, network: Mapping[str, Any], budget: Mapping[str, float], batch: int) -> None:
        """Refuse before anything runs what could not end well.

        Args:
            domain: the space, and what of it may be searched.
            network: arguments of the root network, changed for this phase.
            budget: unit -> amount.
            batch: images in a batch.

        Raises:
            InputError: settings, a budget or a batch that do not go with the space.
            SupernetError: a layer of its networks cannot share weights.
        """

    def prepare(self, inputs: PreparationInputs, on_epoch: OnEpoch | None = None) -> str:
        """Run to the end, or go on from the checkpoints in the folder; says in one line what came of it.

        Raises:
            InputError: settings that do not go with the inputs.
            TrialError: a loss that is no finite number.
            RunError: the folder holds another preparation.
        """
