"""One node in several places of a network: each place has its own shape, its own weights and its own path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from nasengine.build import NodeError, allow_modules, build, check_space, resolve
from nasengine.costs import costs
from nasengine.networks.composition import Sequential
from nasengine.space import SearchSpace, parse_space

CELL = "{type: cell, nodes: 2, edges: {all: {choice: {conv: {type: relu_conv_norm}, skip: {type: identity}}}}}"

TWO_TOWERS = '''
from torch import nn


class TwoTowers(nn.Module):
    """A tower that sees the image and one that sees half of it."""

    def __init__(self, in_channels, classes, *, tower: list[nn.Module], head: list[nn.Module] = (), side: int = 2):
        super().__init__()
        self.towers, self.pool = nn.ModuleList(tower), nn.AvgPool2d(side)
        self.heads = nn.ModuleList(head)
        self.classifier = nn.LazyLinear(classes)

    @staticmethod
    def places(shape, side):
        channels, height, width = shape
        small = (channels, height // side, width // side)
        return {"tower": [(shape, None), (small, None)], "head": [((7,), (7,))]}

    def forward(self, x):
        seen = self.towers[0](x).mean((2, 3)), self.towers[1](self.pool(x)).mean((2, 3))
        scores = self.classifier(seen[0] + seen[1])
        return scores
'''


def space_of(network: str, *, let: str = "", shape: str = "[3, 16, 16]") -> SearchSpace:
    text = f"name: t\nabout: t\ntask: {{kind: image_classification, input: {shape}, classes: 5}}\n"
    return SearchSpace(parse_space(f"{text}{let}\nnetwork: {network}\n", "t.yaml"))


def network_of(cell: str, *, let: str = "", rest: str = "", shape: str = "[3, 16, 16]") -> SearchSpace:
    written = f"{{type: nas_bench_201_network, width: 4, cells_per_stage: 2, {rest}\n cell: {cell}}}"
    return space_of(written, let=let, shape=shape)


def problems(space: SearchSpace) -> list[str]:
    return [f"{problem.mark.line}: {problem.message}; {problem.expected}" for problem in check_space(space)]


@pytest.fixture
def two_towers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "towers.py").write_text(TWO_TOWERS)
    monkeypatch.syspath_prepend(tmp_path)
    allow_modules(["towers"])
    yield "towers:TwoTowers"
    sys.modules.pop("towers", None)


def test_one_node_is_built_for_each_place_with_its_width_and_path():
    space = network_of("{use: cell}", let=f"let: {{cell: {CELL}}}")
    call = resolve(space, space.architecture({"let.cell.edges.0-1": "conv"}))
    cells = call.arguments["cell"]
    assert [cell.path for cell in cells] == [f"network.cell.{place}" for place in range(6)]
    edges = [cell.arguments["edges"]["0-1"] for cell in cells]
    assert [edge.path for edge in edges] == [f"network.cell.{place}.edges.0-1.conv" for place in range(6)]
    assert [edge.arguments["width"] for edge in edges] == [4, 4, 8, 8, 16, 16]


def test_places_share_the_decision_and_not_the_weights():
    space = network_of("{use: cell}", let=f"let: {{cell: {CELL}}}")
    assert space.size() == 2
    network = build(space, space.architecture({"let.cell.edges.0-1": "conv"}), seed=0)
    first, second = (network.get_parameter(f"cells.{place}.edges.0-1.conv.weight") for place in (0, 1))
    assert first.shape == second.shape
    assert not torch.equal(first, second)
    paths = [vars(module)["node_path"] for module in network.modules() if "node_path" in vars(module)]
    assert len(set(paths)) == len(paths) == 1 + 6 * 2


def test_a_list_gives_each_place_a_node_with_decisions_of_its_own():
    space = network_of(f"{{repeat: 6, of: {CELL}}}")
    assert space.size() == 2**6
    written = network_of("[" + ", ".join(["{type: identity}"] * 5 + ["{type: conv}"]) + "]")
    cells = resolve(written, written.architecture({})).arguments["cell"]
    assert [cell.type for cell in cells] == ["identity"] * 5 + ["conv"]
    assert cells[-1].arguments["in_channels"] == 16


def test_a_list_of_another_length_is_refused_where_it_is_written():
    (problem,) = problems(network_of("[{type: identity}, {type: identity}]"))
    assert problem == (
        "6: nas_bench_201_network in network has 6 places for cell, got 2 nodes; "
        "one node for all of them, or a list of 6"
    )


def test_a_node_that_changes_the_shape_where_it_must_not_is_named():
    (problem,) = problems(network_of("{type: conv, width: 6}"))
    assert problem == (
        "6: conv in network.cell.0 gives 6×16×16 for an input of 4×16×16; "
        "expected 4×16×16, which is what nas_bench_201_network goes on with there"
    )


def test_only_the_option_that_does_not_fit_is_reported_with_an_example():
    cell = "{type: cell, nodes: 2, edges: {all: {choice: {good: {type: conv}, bad: {type: max_pool, stride: 2}}}}}"
    (problem,) = problems(network_of("{use: cell}", let=f"let: {{cell: {cell}}}"))
    assert "cell in network.cell.0 gives 4×8×8 for an input of 4×16×16" in problem
    assert 'for example {"let.cell.edges.0-1":"bad"}' in problem


def test_what_is_wrong_in_a_node_of_a_place_keeps_its_mark():
    (problem,) = problems(network_of("{use: cell}", let="let:\n  cell: {type: conv,\n    groups: {choice: [1, 3]}}"))
    assert problem.startswith("5: conv in network.cell.0 cannot be built")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("3", "cell' of nas_bench_201_network in network is the number 3; expected a node with a type or a list"),
        ("[1, 2, 3, 4, 5, 6]", "holds no node at cell.0; a node is a mapping with a type"),
        ("{kind: conv}", "holds {'kind': 'conv'} at cell where nodes are expected; one node, or a list of 6"),
        ("{optional: {type: conv}}", "holds nothing at cell where nodes are expected"),
    ],
)
def test_what_is_no_node_is_refused(cell, found):
    assert found in problems(network_of(cell))[0]


def test_missing_modules_are_named():
    space = space_of("{type: nas_bench_201_network, width: 4}")
    (problem,) = problems(space)
    assert problem == (
        "5: nas_bench_201_network in network lacks the argument 'cell'; "
        "expected cell: a list, each item a node with a type"
    )


def test_places_follow_the_arguments_that_a_phase_replaces():
    space = network_of(CELL)
    architecture = space.architecture({"network.cell.edges.0-1": "conv"})
    call = resolve(space, architecture, network={"cells_per_stage": 1, "width": 10})
    assert [cell.arguments["edges"]["0-1"].arguments["width"] for cell in call.arguments["cell"]] == [10, 20, 40]


def test_a_network_of_ones_own_may_declare_places(two_towers):
    tower = "{choice: {small: {type: conv, width: 4}, large: {type: flatten}}}"
    space = space_of(f"{{type: '{two_towers}', tower: {tower}}}")
    call = resolve(space, space.architecture({"network.tower": "small"}))
    assert [part.path for part in call.arguments["tower"]] == ["network.tower.0.small", "network.tower.1.small"]
    images = torch.zeros(2, 3, 16, 16)
    assert build(space, space.architecture({"network.tower": "small"}))(images).shape == (2, 5)


def test_a_declaration_that_fails_is_an_error_of_the_network(two_towers):
    space = space_of(f"{{type: '{two_towers}', tower: {{type: conv}}, side: 0}}")
    with pytest.raises(NodeError, match=r"cannot say what it feeds its parts for an input of 3×16×16: .*zero"):
        resolve(space, space.architecture({}))


def test_inside_a_composition_the_places_see_what_precedes():
    inner = "{type: nas_bench_201_network, width: 2, cells_per_stage: 1, cell: {type: conv}}"
    space = space_of(f"{{type: sequential, layers: [{{type: conv, width: 7, stride: 2}}, {inner}]}}")
    call = resolve(space, space.architecture({}))
    assert call.target is Sequential
    network = call.arguments["layers"][1]
    assert network.arguments["in_channels"] == 7
    assert network.arguments["cell"][1].path == "network.layers.1.cell.1"
    assert costs(space, space.architecture({})).params > 0
