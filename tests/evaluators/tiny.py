"""A tiny space and its plans, for tests of evaluators."""

from __future__ import annotations

from typing import Any

from nasengine.space import SearchSpace, space_from_mapping

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "sequential",
        "layers": [
            {"type": "conv_norm_activation", "width": {"choice": [4, 8]}, "kernel": {"choice": [1, 3]}},
            {"type": "max_pool", "kernel": 2, "stride": 2},
            {"type": "conv_norm_activation", "width": 8, "kernel": 3},
            {"type": "flatten"},
            {"type": "linear_head"},
        ],
    },
}
SETTINGS = {"type": "standalone", "optimizer": {"type": "sgd", "rate": 0.1}, "schedule": "cosine"}


def tiny_space(**changes: Any) -> SearchSpace:
    """The space, with other top-level keys."""
    return space_from_mapping({**TINY, **changes})


def tiny_plan(space: SearchSpace | None = None, **changes: Any) -> dict[str, Any]:
    """A plan on made-up images; `data` and `evaluator` are changed key by key, all else is replaced."""
    data = {"name": "synthetic", "validation": 0.25, "batch": 32, "augmentation": None, **changes.pop("data", {})}
    evaluator = {**SETTINGS, **changes.pop("evaluator", {})}
    resolved = dict((space or tiny_space()).tree.resolved)
    return {"space": resolved, "evaluator": evaluator, "data": data, "device": "cpu", **changes}
