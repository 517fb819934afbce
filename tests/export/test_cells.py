"""A network of cells is exported like any other: readable, proved, each place with its own weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from nasengine.build import build
from nasengine.export import Trained, export
from nasengine.space import load_space, space_from_mapping


@pytest.mark.slow  # tests/export/test_exporting.py exports a single cell among the default tests
@pytest.mark.parametrize("code", ["random", "disconnected"])
def test_a_network_of_nas_bench_201_is_exported_and_proved(tmp_path: Path, code: str) -> None:
    resolved = dict(load_space("nas_bench_201").tree.resolved)
    resolved["network"] = {**resolved["network"], "width": 4, "cells_per_stage": 1}
    space = space_from_mapping({**resolved, "known": {}})
    architecture = space.sample(np.random.default_rng(1))
    if code == "disconnected":
        architecture = space.architecture(dict.fromkeys(space.choices, "none"))
    network = build(space, architecture, seed=0)
    save_file(network.state_dict(), tmp_path / "trained.safetensors")
    done = export(Trained(space, architecture, tmp_path / "trained.safetensors"), tmp_path / "best")
    assert done.proof.params == sum(parameter.numel() for parameter in network.parameters())
    assert done.proof.difference < 1e-5
    text = (tmp_path / "best" / "model.py").read_text()
    assert "import nasengine" not in text
    assert "from nasengine" not in text
    assert text.count(" Cell(\n") == 3, "one call a place, each with its own widths"
    assert ("ReluConvNorm(in_channels=16, width=16" in text) == (code == "random")
