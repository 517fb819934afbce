"""`check` finds everything wrong with a file, and says where."""

import json
from pathlib import Path

import pytest

from nasengine.cli.checking import kind_of
from nasengine.space import shipped

BAD_SPACE = """\
name: bad
task: {kind: image_classification, input: [1, 8, 8], classes: 2}
network:
  type: sequential
  layers:
    - {type: conv_norm_activatoin, width: 4}
    - {type: max_pool, kernal: 3}
    - {type: global_average_pool}
    - {type: linear_head}
"""
BAD_GRAMMAR = """\
name: bad
tusk: {}
network: {type: sequential, layers: [{choise: [1, 2]}]}
"""
BAD_STRATEGY = """\
name: bad
objectives: {accuracy: maximise}
phases:
  - search: {algorithm: random_serch, evaluator: {type: standalone}, budget: {trials: 2}}
"""


@pytest.mark.parametrize(
    ("text", "kind", "places"),
    [
        (BAD_SPACE, "space", [(6, "conv_norm_activation"), (7, "kernel")]),
        (BAD_GRAMMAR, "space", [(2, "task"), (3, "choice")]),
        (BAD_STRATEGY, "strategy", [(2, "maximize"), (4, "random_search")]),
        ("a: [1", "space", [(1, "")]),
    ],
)
def test_every_error_is_found_at_its_place_with_the_nearest_name(
    nasengine, tmp_path: Path, text: str, kind: str, places: list[tuple[int, str]]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    result = nasengine("check", file, "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["kind"] == kind
    problems = found["problems"]
    for line, nearest in places:
        at_line = [problem for problem in problems if problem["line"] == line]
        assert any(nearest in problem["expected"] for problem in at_line), problems
    plain = nasengine("check", file)
    assert plain.exit_code == 2
    assert all(f"{file}:{line}:" in plain.stderr for line, _ in places)


def test_constraints_and_the_task_are_checked_like_everything_else(nasengine, tmp_path: Path) -> None:
    text = BAD_SPACE.replace("activatoin", "activation").replace("kernal", "kernel")
    text = text.replace("classification,", "clasification,") + "constraints:\n  macz: {max: 10}\n"
    (tmp_path / "space.yaml").write_text(text)
    result = nasengine("check", tmp_path / "space.yaml", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)["problems"]
    assert [(problem["line"], problem["message"]) for problem in found] == [
        (2, "unknown task 'image_clasification'"),
        (11, "unknown cost 'macz' in constraints"),
    ]
    assert "did you mean 'image_classification'?" in found[0]["expected"]
    assert "did you mean 'macs'?" in found[1]["expected"]
    settings = (
        BAD_SPACE.replace("activatoin", "activation").replace("kernal", "kernel").replace("2}", "2, smoothing: 0}")
    )
    (tmp_path / "settings.yaml").write_text(settings)
    result = nasengine("check", tmp_path / "settings.yaml")
    assert f"{tmp_path / 'settings.yaml'}:2:7: unknown argument 'smoothing' of image_classification" in result.stderr


def test_known_architectures_are_checked_once_the_rest_is_right(nasengine, tmp_path: Path) -> None:
    text = BAD_SPACE.replace("activatoin", "activation").replace("kernal", "kernel")
    (tmp_path / "space.yaml").write_text(text + "known:\n  default: {architecture: {}, macs: 1}\n")
    result = nasengine("check", tmp_path / "space.yaml")
    assert f"{tmp_path / 'space.yaml'}:11:37: known.default.macs is 1" in result.stderr


def test_a_good_file_beside_a_bad_one_is_said_to_be_good(nasengine, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD_SPACE)
    result = nasengine("check", "quickstart", tmp_path / "bad.yaml", "random_search", tmp_path / "absent.yaml")
    assert result.exit_code == 2
    assert result.stdout == "quickstart: a valid space\nrandom_search: a valid strategy\n"
    assert "absent.yaml" in result.stderr


@pytest.mark.parametrize("name", sorted(shipped("strategies")))
def test_every_shipped_strategy_is_valid_and_listed(nasengine, name: str) -> None:
    assert nasengine("check", name).exit_code == 0
    assert kind_of(name) == "strategy"
    rows = [json.loads(line) for line in nasengine("strategies", "--json").stdout.splitlines()]
    assert name in {row["name"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped("search_spaces")))
def test_every_shipped_space_is_valid(nasengine, name: str) -> None:
    assert nasengine("check", name).exit_code == 0


def test_a_plug_in_is_needed_to_name_a_class_of_ones_own(
    nasengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("nasengine.registry._allowed", set())
    (tmp_path / "blocks_of_mine.py").write_text("from torch import nn\n\n\nclass Mine(nn.Identity):\n    pass\n")
    space = BAD_SPACE.replace("conv_norm_activatoin, width: 4", "'blocks_of_mine:Mine'").replace("kernal", "kernel")
    (tmp_path / "space.yaml").write_text(space)
    refused = nasengine("check", tmp_path / "space.yaml")
    assert refused.exit_code == 2
    assert "--plugin blocks_of_mine" in refused.stderr
    assert nasengine("check", tmp_path / "space.yaml", "--plugin", "blocks_of_mine").exit_code == 0


@pytest.mark.parametrize(("text", "says"), [("import nosuch", "nosuch"), ("1 / 0", "division"), ("def", "invalid")])
def test_a_plug_in_that_cannot_be_imported_is_bad_input(
    nasengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_plug_in.py").write_text(text)
    result = nasengine("check", "quickstart", "--plugin", "broken_plug_in")
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_table_is_checked_with_every_row(nasengine, tmp_path) -> None:
    assert nasengine("check", "pooling36").stdout == "pooling36: a valid table\n"
    (tmp_path / "data.csv").write_text('network.downsample_at,accuracy\n"[4, 7]",0.5\n"[7, 4]",0.6\n')
    table = tmp_path / "table.yaml"
    table.write_text("space: pooling_resnet20\ndata: data.csv\nmeasurements: {accuracy: maximize}\n")
    result = nasengine("check", table)
    assert result.exit_code == 2
    assert f"{tmp_path}/data.csv:3:1: network.downsample_at has no option '[7, 4]'" in result.stderr
    table.write_text("data: data.csv\nmesurements: {accuracy: maximize}\nmeasurements: {accuracy: up}\n")
    result = nasengine("check", table)
    assert "did you mean 'measurements'?" in result.stderr
    assert f"{table}: 2 problems" in result.stderr


def test_the_rows_of_a_table_are_no_space(nasengine, tmp_path):
    (tmp_path / "rows.csv").write_text("network.width,accuracy\n8,0.9\n")
    ended = nasengine("check", tmp_path / "rows.csv")
    assert ended.exit_code == 2
    assert "holds the rows of a table" in ended.stdout + ended.stderr
