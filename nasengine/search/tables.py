"""Which types a strategy may name, by kind: the tables of the packages that own them, gathered in one place."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from nasengine.algorithms import ALGORITHMS
from nasengine.evaluators import EVALUATORS, PLUGIN_TABLES, Standalone
from nasengine.search.forms import Tables
from nasengine.training import AUGMENTATIONS, OPTIMIZERS, SCHEDULES

PLAIN_TRAINER = "standalone"  # what a retrain phase trains with unless it names a trainer


def built_tables() -> Tables:
    """The types that are built, plug-ins loaded so far included; a kind that has none yet has an empty table."""
    return {
        "algorithm": ALGORITHMS,
        "augmentation": AUGMENTATIONS,
        "evaluator": EVALUATORS,
        "loss": {},
        "optimizer": OPTIMIZERS,
        "prepare trainer": {},
        "retrain trainer": {PLAIN_TRAINER: Standalone},
        "sampler": {},
        "schedule": SCHEDULES,
    }


def plugin_tables() -> MutableMapping[str, MutableMapping[str, Any]]:
    """The tables that a plug-in may add to, by the kinds that its `NASENGINE` names."""
    return PLUGIN_TABLES
