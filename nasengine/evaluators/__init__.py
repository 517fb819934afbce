"""Evaluators: what a candidate is worth.

To add one: settings (a frozen dataclass with an `evaluator(inputs)` method) and the evaluator in one file, and one
line in `tables.py`.
"""

from __future__ import annotations

from nasengine.evaluators.evaluator import Evaluator, EvaluatorInputs, EvaluatorSettings
from nasengine.evaluators.plan import load_materials, make_evaluator, make_task, shared_arrays
from nasengine.evaluators.plugins import PLUGIN_KINDS, load_plugins
from nasengine.evaluators.retraining import Retrained, retrain
from nasengine.evaluators.standalone import Standalone, StandaloneEvaluator
from nasengine.evaluators.table import Table, TableEvaluator
from nasengine.evaluators.tables import EVALUATORS

__all__ = [
    "EVALUATORS",
    "PLUGIN_KINDS",
    "Evaluator",
    "EvaluatorInputs",
    "EvaluatorSettings",
    "Retrained",
    "Standalone",
    "StandaloneEvaluator",
    "Table",
    "TableEvaluator",
    "load_materials",
    "load_plugins",
    "make_evaluator",
    "make_task",
    "retrain",
    "shared_arrays",
]
