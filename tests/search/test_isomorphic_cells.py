"""Equal cells in a whole search: trained once where networks are trained, each looked up where a table has them."""

from __future__ import annotations

import json
from pathlib import Path

from nasengine.space import SearchSpace, space_from_mapping
from tests.search.small import quick_search

CELLS = {
    "name": "cells",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "nas_bench_201_network",
        "width": 2,
        "cells_per_stage": 1,
        "cell": {
            "type": "cell",
            "nodes": 3,
            "edges": {
                "0-2": {"type": "identity"},
                "all": {"choice": {"none": {"type": "zero"}, "conv": {"type": "relu_conv_norm"}}},
            },
        },
    },
}
STRATEGY = """
name: all_cells
data: {name: synthetic, validation: 0.25, batch: 32}
objectives: {accuracy: maximize}
phases:
  - search: {algorithm: exhaustive, evaluator: EVALUATOR}
"""
STANDALONE = "{type: standalone, budget: {epochs: 1}}"


def cells_space() -> SearchSpace:
    return space_from_mapping(CELLS, "cells.yaml")


def asked(run: Path) -> list[dict[str, object]]:
    records = map(json.loads, (run / "journal.jsonl").read_text().splitlines()[1:])
    return [record for record in records if record["record"] == "asked"]


def test_the_space_holds_four_architectures_and_two_networks():
    space = cells_space()
    assert space.size() == 4
    assert len({space.identity(architecture) for architecture in space.enumerate()}) == 2


def test_equal_cells_are_trained_once_and_keep_their_own_costs(tmp_path):
    run = quick_search(tmp_path / "run", text=STRATEGY.replace("EVALUATOR", STANDALONE), space=cells_space())
    assert [record["same_as"] for record in asked(tmp_path / "run")] == [None, 0, 0, None]
    nothing, second_only, first_only, both = run.trials
    accuracies = [trial.measurements["accuracy"] for trial in run.trials]
    assert accuracies[0] == accuracies[1] == accuracies[2]
    assert nothing.measurements["macs"] < second_only.measurements["macs"] == first_only.measurements["macs"]
    assert first_only.measurements["macs"] < both.measurements["macs"]


def test_a_table_has_a_row_for_each(tmp_path):
    table = tmp_path / "table.csv"
    rows = "none,none,0.1\nnone,conv,0.2\nconv,none,0.3\nconv,conv,0.4\n"
    table.write_text(f"network.cell.edges.0-1,network.cell.edges.1-2,accuracy\n{rows}")
    text = STRATEGY.replace("EVALUATOR", f"{{type: table, file: {table}}}")
    run = quick_search(tmp_path / "run", text=text, space=cells_space())
    assert [record["same_as"] for record in asked(tmp_path / "run")] == [None] * 4
    assert [trial.measurements["accuracy"] for trial in run.trials] == [0.1, 0.2, 0.3, 0.4]
