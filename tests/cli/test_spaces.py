"""Commands that look at search spaces."""

import json
from pathlib import Path

import pytest

from nasengine.cli.console import count, duration, option
from nasengine.cli.spaces import parse_windows
from nasengine.errors import InputError
from nasengine.space import load_space, shipped


def test_spaces_lists_every_shipped_space_with_its_exact_size(nasengine) -> None:
    rows = [json.loads(line) for line in nasengine("spaces", "--json").stdout.splitlines()]
    assert {row["name"] for row in rows} == set(shipped("search_spaces"))
    assert {row["name"]: row["architectures"] for row in rows}["pooling_resnet20"] == 36
    assert "pooling_resnet20" in nasengine("spaces").stdout


def test_describe_says_the_same_to_people_and_to_scripts(nasengine) -> None:
    facts = json.loads(nasengine("describe", "quickstart", "--json").stdout)
    space = load_space("quickstart")
    assert facts["architectures"] == space.size()
    assert [choice["path"] for choice in facts["choices"]] == list(space.choices)
    page = nasengine("describe", "quickstart").stdout
    for text in ("let.width_1", "macs <= 4,000,000", "not_decreasing", "default", "1, 28"):
        assert text in page


def test_describe_shows_a_network_type_with_its_arguments(nasengine) -> None:
    page = nasengine("describe", "mbconv").stdout
    assert page.startswith("mbconv(in_channels: int, width: int, ")
    assert "expansion: there are E = C x expansion channels" in page
    facts = json.loads(nasengine("describe", "mbconv", "--json").stdout)
    assert facts["type"] == "mbconv"
    assert facts["arguments"][:2] == ["in_channels", "width"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("regularized_evolution", "regularized_evolution(*, population: int = 100, tournament: int = 25"),
        ("adamw", "adamw(rate: float = 0.001"),
        ("described_blocks:Doubled", "described_blocks:Doubled(width: int = 4)"),
        ("Doubled", "Doubled(width: int = 4)"),
    ],
)
def test_describe_shows_types_of_strategies_and_of_plug_ins(
    nasengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    (tmp_path / "described_blocks.py").write_text(
        "from torch import nn\n\n\nclass Doubled(nn.Identity):\n"
        "    def __init__(self, width: int = 4) -> None:\n        super().__init__()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    page = nasengine("describe", name, "--plugin", "described_blocks")
    assert page.exit_code == 0, page.stderr
    assert page.stdout.startswith(says)


def test_describe_refuses_the_class_of_a_module_that_no_option_allows(nasengine) -> None:
    refused = nasengine("describe", "some_module:Block")
    assert refused.exit_code == 2
    assert "add --plugin some_module" in refused.stderr


def test_the_schema_of_spaces_offers_the_types_there_are(nasengine) -> None:
    schema = json.loads(nasengine("schema").stdout)
    assert {"mbconv", "cell"} < set(schema["$defs"]["call"]["properties"]["type"]["examples"])


def test_describe_counts_what_keeps_the_relations(nasengine) -> None:
    facts = json.loads(nasengine("describe", "mobile_cnn", "--json").stdout)
    assert facts["feasible"] == load_space("mobile_cnn").size(feasible=True) < facts["architectures"]


def test_describe_counts_the_different_networks_among_few_cells(nasengine, tmp_path: Path) -> None:
    cells = tmp_path / "cells.yaml"
    edges = "{all: {choice: {none: {type: zero}, skip: {type: identity}, conv: {type: conv}}}}"
    layers = f"[{{type: cell, nodes: 3, edges: {edges}}}, {{type: global_average_pool}}, {{type: linear_head}}]"
    task = "{kind: image_classification, input: [3, 8, 8], classes: 2}"
    cells.write_text(f"name: cells\ntask: {task}\nnetwork: {{type: sequential, layers: {layers}}}\n")
    facts = json.loads(nasengine("describe", cells, "--json").stdout)
    # nothing, x, a(x), 2x, x + a(x), a(x) + b(x), b(a(x)), x + b(a(x)), c(x) + b(a(x))
    assert (facts["architectures"], facts["networks"]) == (27, 9)
    assert "different networks among them: 9" in nasengine("describe", cells).stdout
    assert json.loads(nasengine("describe", "quickstart", "--json").stdout)["networks"] is None


def test_describe_tells_when_a_choice_is_asked(nasengine) -> None:
    facts = json.loads(nasengine("describe", "inception_like", "--json").stdout)
    conditional = [choice for choice in facts["choices"] if choice["when"] is not None]
    assert conditional
    paths = {choice["path"] for choice in facts["choices"]}
    assert all(site["choice"] in paths for choice in conditional for site in choice["when"])


def test_the_same_seed_draws_the_same_architectures_and_each_is_of_the_space(nasengine) -> None:
    lines = nasengine("sample", "mobile_cnn", "-n", 5, "--seed", 3, "--json").stdout.splitlines()
    assert lines == nasengine("sample", "mobile_cnn", "-n", 5, "--seed", 3, "--json").stdout.splitlines()
    assert lines != nasengine("sample", "mobile_cnn", "-n", 5, "--seed", 4, "--json").stdout.splitlines()
    space = load_space("mobile_cnn")
    for line in lines:
        assert space.satisfies(space.architecture(json.loads(line)))
    assert len(nasengine("sample", "mobile_cnn", "-n", 5).stdout.splitlines()) == 5


def test_samples_within_a_bound_keep_it(nasengine) -> None:
    lines = nasengine("sample", "pooling_resnet20", "-n", 4, "--within", "macs=5e7..6e7", "--json").stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        priced = json.loads(nasengine("cost", "pooling_resnet20", "-", "--json", stdin=line).stdout)
        assert 5e7 <= priced["macs"] <= 6e7


def test_a_bound_that_nothing_keeps_is_bad_input(nasengine) -> None:
    result = nasengine("sample", "pooling_resnet20", "--within", "macs=5")
    assert result.exit_code == 2
    assert "macs" in result.stderr
    result = nasengine("sample", "pooling_resnet20", "--within", "mac=5e7")
    assert result.exit_code == 2
    assert "'macs'" in result.stderr


def test_cost_takes_a_known_name_a_file_and_standard_input(nasengine, tmp_path: Path) -> None:
    known = json.loads(nasengine("cost", "pooling_resnet20", "default", "--json").stdout)
    assert (known["macs"], known["params"]) == (40813184, 272474)
    text = json.dumps(load_space("pooling_resnet20").known["default"].architecture.to_json())
    (tmp_path / "a.json").write_text(text)
    assert json.loads(nasengine("cost", "pooling_resnet20", tmp_path / "a.json", "--json").stdout) == known
    assert json.loads(nasengine("cost", "pooling_resnet20", "-", "--json", stdin=text).stdout) == known
    assert "40,813,184" in nasengine("cost", "pooling_resnet20", "known.default").stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"network.downsample_at": [4, 77]}', "network.downsample_at"),
        ('{"network.downsample": [4, 7]}', "network.downsample_at"),
        ("{}", "network.downsample_at"),
        ("[1]", "no JSON object"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_wrong_architecture_is_bad_input(nasengine, text: str, says: str) -> None:
    result = nasengine("cost", "pooling_resnet20", "-", stdin=text)
    assert result.exit_code == 2
    assert says in result.stderr


def test_an_architecture_that_is_not_there_is_bad_input_and_known_ones_are_offered(nasengine) -> None:
    result = nasengine("cost", "pooling_resnet20", "defualt")
    assert result.exit_code == 2
    assert "best_of_36" in result.stderr


def test_the_schemas_of_both_languages_are_json(nasengine) -> None:
    space, strategy = (json.loads(nasengine("schema", kind).stdout) for kind in ("space", "strategy"))
    assert "extends" in space["properties"]
    assert "phases" in strategy["properties"]
    assert json.loads(nasengine("schema").stdout) == space


def test_bounds_are_read_as_written() -> None:
    assert parse_windows(["macs=2e8"]) == {"macs": (None, 2e8)}
    assert parse_windows(["macs=1e8..2e8", "params=5.."]) == {"macs": (1e8, 2e8), "params": (5.0, None)}
    with pytest.raises(InputError, match=r"--within macs is no bound[\s\S]*--within params=x"):
        parse_windows(["macs", "params=x"])


def test_numbers_are_written_for_people() -> None:
    assert [count(7_077_888), count(191_800 * 10**24)] == ["7,077,888", "1.918e+29"]
    assert [duration(4.21), duration(185), duration(7800)] == ["4.2 s", "3 min 05 s", "2 h 10 min"]
    assert option((True, None, "a", (1, 2))) == "[true, none, a, [1, 2]]"


def test_describe_names_the_nearest_type_too(nasengine):
    ended = nasengine("describe", "regularized_evolutin")
    assert ended.exit_code == 2
    assert "did you mean 'regularized_evolution'?" in ended.stderr
