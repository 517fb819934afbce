"""A vision transformer is exported like any other network: readable, proved, its empty slots still in their places."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from safetensors.torch import save_file

from nasengine.build import build
from nasengine.export import Trained, export
from nasengine.space import load_space, space_from_mapping

BLOCK = {"type": "transformer_block", "width": 16, "heads": 2, "head_dim": 4, "mlp_width": 24}
SMALL = [
    {"width": 16, "blocks": [BLOCK, {"optional": BLOCK}]},
    {"width": 24, "blocks": [{**BLOCK, "width": 24, "heads": {"choice": [2, 1]}}]},
]


@pytest.mark.thorough
def test_a_vision_transformer_is_exported_and_proved(tmp_path: Path) -> None:
    resolved = dict(load_space("vit_resnas_tiny").tree.resolved)
    resolved["task"] = {**resolved["task"], "input": [3, 32, 32], "classes": 5}
    resolved["network"] = {"type": "vit_resnas", "patch": 4, "stages": SMALL}
    space = space_from_mapping({**resolved, "known": {}, "relations": [], "constraints": {}})
    architecture = space.architecture(
        {"network.stages.0.blocks.1.present": False, "network.stages.1.blocks.0.heads": 1}
    )
    network = build(space, architecture, seed=0)
    save_file(network.state_dict(), tmp_path / "trained.safetensors")
    done = export(Trained(space, architecture, tmp_path / "trained.safetensors"), tmp_path / "best")
    assert done.proof.params == sum(parameter.numel() for parameter in network.parameters())
    assert done.proof.macs == done.costs.macs
    assert done.proof.difference < 1e-5
    assert done.proof.onnx_difference is not None
    text = (tmp_path / "best" / "model.py").read_text()
    assert "nasengine" not in text
    assert len(re.findall(r"TransformerBlock\(\s*width=", text)) == 2
