"""A strategy of shared weights for the small space that runs in seconds, for tests of whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasengine.search.run_view import Run
from tests.search.small import quick_search

STRATEGY = """
name: shared
data: {name: synthetic, validation: 0.25, batch: 32}
objectives: {accuracy: maximize}
lag: 2
phases:
  - prepare:
      trainer: shared_weights
      sampler: single_path
      optimizer: {type: sgd, rate: 0.1}
      budget: {epochs: 3}
  - search:
      algorithm: exhaustive
      evaluator: {type: supernet, images: 64}
  - retrain: {best: 1, budget: {epochs: 1}, start: prepare, optimizer: {type: sgd, rate: 0.02}, data: {validation: 0.0}}
"""

# Fine-tuning every candidate from its part of the shared weights, under a scheduler that stops most of them early.
STARTED = """
name: started
data: {name: synthetic, validation: 0.25, batch: 32}
objectives: {accuracy: maximize}
lag: 2
phases:
  - prepare: {trainer: shared_weights, sampler: single_path, optimizer: {type: sgd, rate: 0.1}, budget: {epochs: 2}}
  - search:
      algorithm: random_search
      evaluator: {type: standalone, start: prepare, optimizer: {type: sgd, rate: 0.01}, budget: {epochs: 1}}
      budget: {trials: 3}
"""


def shared_search(folder: Path, *overrides: str, text: str = STRATEGY, **keywords: Any) -> Run:
    """A whole run of the strategy on the CPU."""
    return quick_search(folder, *overrides, text=text, **keywords)
