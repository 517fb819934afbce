"""How the training part is divided: what weights are fitted on, and what architectures are compared on.

The division is stratified (every class gives the same share) and depends on labels and seed alone. The test
part has no role in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nasengine.data.dataset import Dataset, Part
from nasengine.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How much of the training part is held out for validation.

    Args:
        validation: share of every class, from 0 to below 1.
        held_out_per_class: so many images of every class instead; None: by share.
        limit: use at most so many training images (of all classes alike) before splitting; None: all.
        seed: of the division.
    """

    validation: float = 0.2
    held_out_per_class: int | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            found = f"data.validation is {self.validation!r}"
            raise InputError(Problem(found, expected="expected a share of the training images, from 0 to below 1"))
        for name, value in (("held_out_per_class", self.held_out_per_class), ("limit", self.limit)):
            if value is not None and value < 1:
                raise InputError(Problem(f"data.{name} is {value!r}", expected="expected at least 1, or nothing"))


def stratified_split(labels: np.ndarray, settings: SplitSettings) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train on (ascending) and positions held out (shuffled, so that each batch mixes the classes).

    Args:
        labels: (N,) integers.

    Returns: two disjoint integer arrays; every class with at least two images is in the first.
    """
    rng = np.random.default_rng([settings.seed, 0])
    kept = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    if settings.limit is not None:
        share = min(1.0, settings.limit / len(labels))
        kept = [positions[: max(1, round(share * len(positions)))] for positions in kept]
    training, held_out = [], []
    for positions in kept:
        wanted = settings.held_out_per_class
        count = round(settings.validation * len(positions)) if wanted is None else wanted
        count = min(count, len(positions) - 1)
        held_out.append(positions[:count])
        training.append(positions[count:])
    return np.sort(np.concatenate(training)), rng.permutation(np.concatenate(held_out))


def split(dataset: Dataset, settings: SplitSettings) -> tuple[Part, Part]:
    """The training part as (what to train on, what to validate on); the second may be empty."""
    training, held_out = stratified_split(dataset.train_labels.numpy(), settings)
    return dataset.train.select(training), dataset.train.select(held_out)
