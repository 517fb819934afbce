"""Preparations: what runs before a search and leaves artifacts for it.

To add one: settings with `check` and `prepare` (`preparation.py`) in one file, and one line in `PREPARATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from nasengine.preparation.preparation import (
    OnEpoch,
    PreparationEpoch,
    PreparationInputs,
    PreparationSettings,
)
from nasengine.preparation.relaxed import Relaxed
from nasengine.preparation.relaxed_training import RelaxedTraining
from nasengine.preparation.settings import SharedWeights
from nasengine.preparation.shared_weights import SharedWeightsTraining, train_shared_weights

PREPARATIONS: dict[str, Callable[..., PreparationSettings]] = {"shared_weights": SharedWeights, "relaxed": Relaxed}

__all__ = [
    "PREPARATIONS",
    "OnEpoch",
    "PreparationEpoch",
    "PreparationInputs",
    "PreparationSettings",
    "Relaxed",
    "RelaxedTraining",
    "SharedWeights",
    "SharedWeightsTraining",
    "train_shared_weights",
]
