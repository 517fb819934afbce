"""Which types a strategy may name, by kind: the tables of the packages that own them, gathered in one place."""

from __future__ import annotations

from nasengine.algorithms import ALGORITHMS
from nasengine.algorithms.schedulers import SCHEDULERS
from nasengine.algorithms.supernet_samplers import SAMPLERS
from nasengine.evaluators import EVALUATORS, Standalone
from nasengine.preparation import PREPARATIONS
from nasengine.search.language.forms import Tables
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
        "prepare trainer": PREPARATIONS,
        "retrain trainer": {PLAIN_TRAINER: Standalone},
        "sampler": SAMPLERS,
        "schedule": SCHEDULES,
        "scheduler": SCHEDULERS,
    }
