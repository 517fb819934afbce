"""The section of what was prepared: what the choices of a relaxed supernet have settled on, and how."""

from __future__ import annotations

import pytest

from nasengine.report import Figure, Table
from nasengine.report.labels import short_names
from nasengine.report.records import Prepared
from nasengine.report.relaxed import relaxed_blocks
from nasengine.report.run_page import run_page
from nasengine.search.reporting import record_of, report
from tests.preparation.test_relaxed import scales
from tests.search.test_deriving import PREPARE, SEARCH, search

FIRST, SECOND = "network.scales.0", "network.scales.1"


def prepared(*rows: dict[str, list[float]]) -> Prepared:
    return Prepared(
        "prepare", epochs=[{"epoch": at, "loss": 1.0, "probabilities": row} for at, row in enumerate(rows, 1)]
    )


def test_every_choice_has_a_row_with_its_options_most_probable_first_and_a_line():
    space = scales()
    names = short_names(decision.path for decision in space.decisions)
    history = prepared(
        {FIRST: [0.3, 0.3, 0.4], SECOND: [0.5, 0.3, 0.2]}, {FIRST: [0.1, 0.7, 0.2], SECOND: [0.4, 0.35, 0.25]}
    )
    _, table, figure = relaxed_blocks(history, space, names)
    assert isinstance(table, Table)
    assert table.rows == [["scales.0", "2", 0.7, "4 0.2, 1 0.1"], ["scales.1", "1", 0.4, "2 0.35, 4 0.25"]]
    assert "In 1 of 2 choices" in table.caption
    assert isinstance(figure, Figure)
    assert [line["y"] for line in figure.data] == [[0.4, 0.7], [0.5, 0.4]]


@pytest.mark.parametrize("history", [Prepared("prepare"), Prepared("prepare", epochs=[{"epoch": 1, "loss": 1.0}])])
def test_another_preparation_has_no_such_section(history):
    assert relaxed_blocks(history, scales(), {}) == []


def test_the_page_of_a_run_shows_it(tmp_path):
    run = search(tmp_path / "run", PREPARE, SEARCH)
    section = next(s for s in run_page(record_of(run)).sections if s.title == "What was prepared")
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == ["scales.0", "scales.1"]
    files = [name for name, _ in record_of(run).files if name.startswith("prepare/")]
    left = ["weights.safetensors", "probabilities.json", "supernet.json", "history.jsonl"]
    assert files == [f"prepare/{name}" for name in left]
    assert "What the choices have settled on" in report(run).read_text(encoding="utf-8")
