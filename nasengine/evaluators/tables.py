"""The evaluators that a strategy may name."""

from __future__ import annotations

from collections.abc import Callable

from nasengine.evaluators.evaluator import EvaluatorSettings
from nasengine.evaluators.standalone import Standalone
from nasengine.evaluators.supernet import InheritedWeights
from nasengine.evaluators.table import Table

EVALUATORS: dict[str, Callable[..., EvaluatorSettings]] = {
    "standalone": Standalone,
    "supernet": InheritedWeights,
    "table": Table,
}
