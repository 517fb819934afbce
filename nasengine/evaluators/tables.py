"""The evaluators that a strategy may name."""

from __future__ import annotations

from collections.abc import Callable

from nasengine.evaluators.evaluator import EvaluatorSettings
from nasengine.evaluators.standalone import Standalone

EVALUATORS: dict[str, Callable[..., EvaluatorSettings]] = {"standalone": Standalone}
