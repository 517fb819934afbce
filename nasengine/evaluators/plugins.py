"""All tables that a plug-in may add to, under the kinds that its `NASENGINE` dictionary names."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from nasengine import registry
from nasengine.algorithms import ALGORITHMS
from nasengine.data import DATASETS
from nasengine.evaluators.tables import EVALUATORS
from nasengine.networks import NETWORK_TYPES
from nasengine.tasks import TASKS
from nasengine.training import AUGMENTATIONS, OPTIMIZERS, SCHEDULES

PLUGIN_TABLES: dict[str, MutableMapping[str, Any]] = {
    "network": NETWORK_TYPES,
    "block": NETWORK_TYPES,
    "layer": NETWORK_TYPES,
    "algorithm": ALGORITHMS,
    "evaluator": EVALUATORS,
    "dataset": DATASETS,
    "task": TASKS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augmentation": AUGMENTATIONS,
}


def load_plugins(modules: Iterable[str]) -> None:
    """Import plug-in modules, allow their classes in YAML, and add what they declare to the tables.

    Raises:
        InputError: see `registry.load_plugins`.
    """
    registry.load_plugins(modules, PLUGIN_TABLES)
