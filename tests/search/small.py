"""A space of eight networks and a strategy for it that runs in a second, for tests of whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nasengine as nas
from nasengine.search.language.settings import Strategy
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.run_view import Run
from nasengine.space import SearchSpace, space_from_mapping

SPACE: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "sequential",
        "layers": [
            {"type": "conv_norm_activation", "width": {"choice": [4, 8]}, "kernel": {"choice": [1, 3]}},
            {"type": "max_pool", "kernel": 2, "stride": 2},
            {"type": "conv_norm_activation", "width": {"choice": [4, 8]}, "kernel": 3},
            {"type": "global_average_pool"},
            {"type": "linear_head"},
        ],
    },
    "known": {
        "narrow": {
            "architecture": {
                "network.layers.0.width": 4,
                "network.layers.0.kernel": 1,
                "network.layers.2.width": 4,
            }
        }
    },
}

STRATEGY = """
name: quick
data: {name: synthetic, validation: 0.25, batch: 32}
objectives: {accuracy: maximize}
lag: 2
phases:
  - search:
      algorithm: random_search
      evaluator: {type: standalone, optimizer: {type: sgd, rate: 0.1}, budget: {epochs: 1}}
      budget: {trials: 4}
  - retrain: {best: 2, seeds: 2, budget: {epochs: 2}, data: {validation: 0.0}}
"""


def small_space(**changes: Any) -> SearchSpace:
    """The space, with other top-level keys."""
    return space_from_mapping({**SPACE, **changes}, "small.yaml")


def quick_strategy(*overrides: str, text: str = STRATEGY) -> Strategy:
    """The strategy, with overrides."""
    return parse_strategy(text, "quick.yaml", overrides=overrides)


def quick_search(folder: Path, *overrides: str, text: str = STRATEGY, **keywords: Any) -> Run:
    """A whole run of the two on the CPU."""
    found: Run = nas.search(
        keywords.pop("space", None) or small_space(),
        quick_strategy(*overrides, text=text),
        run=folder,
        device="cpu",
        **keywords,
    )
    return found
