"""Everything that a plug-in may add, under the kinds that its `NASENGINE` dictionary names."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from nasengine import registry
from nasengine.algorithms import ALGORITHMS
from nasengine.algorithms.schedulers import SCHEDULERS
from nasengine.algorithms.supernet_samplers import SAMPLERS, SupernetSampler
from nasengine.data import DATASETS
from nasengine.evaluators.tables import EVALUATORS
from nasengine.execution import EXECUTORS
from nasengine.networks import NETWORK_TYPES
from nasengine.registry import PluginKind
from nasengine.tasks import TASKS
from nasengine.training import AUGMENTATIONS, OPTIMIZERS, SCHEDULES

MODULE = PluginKind(NETWORK_TYPES, "a class derived from torch.nn.Module", base=nn.Module)

# network, block and layer are three words for what one table holds.
PLUGIN_KINDS: dict[str, PluginKind] = {
    "network": MODULE,
    "block": MODULE,
    "layer": MODULE,
    "algorithm": PluginKind(ALGORITHMS, "a class with the methods ask and tell", ("ask", "tell")),
    "scheduler": PluginKind(
        SCHEDULERS, "a class with the methods ask, tell and resumable", ("ask", "tell", "resumable")
    ),
    "sampler": PluginKind(SAMPLERS, "a class derived from SupernetSampler", base=SupernetSampler),
    "evaluator": PluginKind(EVALUATORS, "settings with the method evaluator", ("evaluator",)),
    "executor": PluginKind(
        EXECUTORS,
        "a class with submit, results, has_workers and is_cluster",
        ("submit", "results", "has_workers", "is_cluster"),
    ),
    "dataset": PluginKind(DATASETS, "a function DataRequest -> Dataset"),
    "task": PluginKind(TASKS, "a class with the methods loss and measure", ("loss", "measure")),
    "optimizer": PluginKind(OPTIMIZERS, "settings with the method build", ("build",)),
    "schedule": PluginKind(SCHEDULES, "a class with the method rate", ("rate",)),
    "augmentation": PluginKind(AUGMENTATIONS, "a class with the method __call__", ("__call__",)),
}


def load_plugins(modules: Iterable[str]) -> None:
    """Import plug-in modules, allow their classes in YAML, and add what they declare to the tables.

    Raises:
        InputError: see `registry.load_plugins`.
    """
    registry.load_plugins(modules, PLUGIN_KINDS)
