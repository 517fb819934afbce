"""Shared weights of the tiny space as a prepare phase leaves them, without training any: random ones will do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasengine.space import SearchSpace
from nasengine.supernet import Supernet
from nasengine.supernet.artifact import ABOUT, FORMAT, TABLE, WEIGHTS
from nasengine.training import save_tensors
from tests.evaluators.tiny import tiny_space


def write_supernet(
    folder: Path,
    space: SearchSpace | None = None,
    *,
    models: int = 1,
    network: Mapping[str, Any] | None = None,
    seed: int = 0,
    table: Mapping[str, Any] | None = None,
) -> Path:
    """A folder as RUN/prepare of a run."""
    space = space or tiny_space()
    folder.mkdir(parents=True, exist_ok=True)
    supernet = Supernet(space, models=models, network=network, seed=seed)
    save_tensors(supernet.state(), folder / WEIGHTS)
    about = {
        "format": FORMAT,
        "space": space.name,
        "space_hash": space.hash,
        "network": dict(network or {}),
        "models": models,
        "metric": "accuracy",
        "sampler": {"type": "single_path"},
        "epochs": 1,
        "seconds": 1.0,
        "images": 384,
        "versions": {},
    }
    if table is not None:
        (folder / TABLE).write_text(json.dumps(table))
    (folder / ABOUT).write_text(json.dumps(about))
    return folder
