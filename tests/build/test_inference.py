"""What is inferred along composition nodes, and what an absent slot means there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nasengine.build import NodeError, build, resolve
from nasengine.build.module_call import ModuleCall
from nasengine.networks.blocks.convolution import ConvNormActivation
from nasengine.networks.blocks.simple import Subsample
from nasengine.space import SearchSpace, parse_space


def space_of(network: str, *, shape: str = "[3, 16, 16]", let: str = "") -> SearchSpace:
    text = f"name: t\nabout: t\ntask: {{kind: image_classification, input: {shape}, classes: 5}}\n"
    return SearchSpace(parse_space(f"{text}{let}\nnetwork: {network}\n", "t.yaml"))


def only(space: SearchSpace, **options: Any) -> ModuleCall:
    """The one architecture of a space, or the one with these options (dots in names are written __)."""
    return resolve(space, space.architecture({path.replace("__", "."): value for path, value in options.items()}))


def layers(call: ModuleCall) -> list[Any]:
    return list(call.arguments["layers"])


HEAD = "{type: global_average_pool}, {type: linear_head}"


def test_in_channels_in_features_and_classes_follow_from_what_precedes():
    call = only(space_of(f"{{type: sequential, layers: [{{type: conv, width: 7}}, {{type: batch_norm}}, {HEAD}]}}"))
    conv, norm, _, head = layers(call)
    assert conv.arguments["in_channels"] == 3
    assert norm.arguments["in_channels"] == 7
    assert head.arguments == {"in_features": 7, "classes": 5}


def test_explicit_arguments_come_in_the_order_of_the_constructor():
    call = only(space_of(f"{{type: sequential, layers: [{{type: mbconv, kernel: 5, width: 7}}, {HEAD}]}}"))
    assert list(layers(call)[0].arguments) == ["in_channels", "width", "kernel"]


def test_a_width_that_may_be_none_is_written_out_as_wide_as_what_goes_in():
    call = only(space_of(f"{{type: sequential, layers: [{{type: relu_conv_norm, kernel: 1}}, {HEAD}]}}"))
    assert layers(call)[0].arguments == {"in_channels": 3, "width": 3, "kernel": 1}


def test_a_concatenation_is_as_wide_as_its_branches_together():
    branches = "[{type: conv, width: 4}, {type: conv, width: 6}, {type: max_pool}]"
    call = only(space_of(f"{{type: sequential, layers: [{{type: parallel, branches: {branches}}}, {HEAD}]}}"))
    assert layers(call)[-1].arguments["in_features"] == 4 + 6 + 3


def test_resolution_as_a_choice_reaches_the_layers():
    network = "{type: sequential, layers: [{type: flatten}, {type: linear_head}]}"
    space = space_of(network, shape="[3, {choice: [8, 12]}, same]")
    features = [layers(only(space, task__resolution=side))[-1].arguments["in_features"] for side in (8, 12)]
    assert features == [3 * 8 * 8, 3 * 12 * 12]


def test_an_absent_layer_is_the_identity_and_the_others_keep_their_names():
    network = (
        f"{{type: sequential, layers: [{{optional: {{type: conv, width: 7}}}}, {{type: conv, width: 4}}, {HEAD}]}}"
    )
    space = space_of(network)
    present = space.architecture({"network.layers.0.present": True})
    absent = space.architecture({"network.layers.0.present": False})
    assert layers(resolve(space, absent))[0] is None
    names = {"1.weight", "1.bias", "3.classifier.weight", "3.classifier.bias"}
    assert set(build(space, absent).state_dict()) == names
    assert set(build(space, present).state_dict()) == names | {"0.weight", "0.bias"}
    assert layers(resolve(space, absent))[1].arguments["in_channels"] == 3
    assert layers(resolve(space, present))[1].arguments["in_channels"] == 7


def test_an_absent_branch_is_nothing():
    branches = "[{optional: {type: conv, width: 4}}, {type: conv, width: 6}]"
    space = space_of(f"{{type: sequential, layers: [{{type: parallel, branches: {branches}}}, {HEAD}]}}")
    absent = space.architecture({"network.layers.0.branches.0.present": False})
    assert layers(resolve(space, absent))[-1].arguments["in_features"] == 6
    assert "0.branches.1.weight" in build(space, absent).state_dict()


def test_no_branch_at_all_is_refused_with_advice():
    branches = "[{optional: {type: conv, width: 4}}]"
    space = space_of(f"{{type: sequential, layers: [{{type: parallel, branches: {branches}}}, {HEAD}]}}")
    with pytest.raises(NodeError, match=r"parallel in network.layers.0 has no branch left to join"):
        only(space, network__layers__0__branches__0__present=False)


def test_a_repeat_is_a_series_in_one_slot():
    repeat = "{repeat: {choice: [0, 2]}, of: {type: conv, width: 6}}"
    space = space_of(f"{{type: sequential, layers: [{repeat}, {{type: conv, width: 4}}, {HEAD}]}}")
    series, after = layers(only(space, network__layers__0__repeat=2))[:2]
    assert (series.type, series.path) == ("sequential", "network.layers.0")
    assert [layer.path for layer in layers(series)] == ["network.layers.0.0", "network.layers.0.1"]
    assert [layer.arguments["in_channels"] for layer in layers(series)] == [3, 6]
    assert after.arguments["in_channels"] == 6
    none, after = layers(only(space, network__layers__0__repeat=0))[:2]
    assert layers(none) == []
    assert after.arguments["in_channels"] == 3


def test_one_decision_used_twice_is_two_nodes():
    let = "let: {block: {choice: {small: {type: conv, width: 4}, large: {type: conv, width: 8}}}}"
    space = space_of(f"{{type: sequential, layers: [{{use: block}}, {{use: block}}, {HEAD}]}}", let=let)
    first, second = layers(only(space, let__block="large"))[:2]
    assert first.path != second.path
    assert first.path.startswith("network.layers.0")
    assert (first.arguments["in_channels"], second.arguments["in_channels"]) == (3, 8)


@pytest.mark.parametrize(
    ("body", "shortcut"),
    [
        ("{type: conv}", None),
        ("{type: max_pool, kernel: 3, stride: 2}", (Subsample, {"stride": 2})),
        (
            "{type: conv, width: 8, stride: 2}",
            (
                ConvNormActivation,
                {"in_channels": 3, "width": 8, "kernel": 1, "stride": 2, "activation": "identity"},
            ),
        ),
    ],
    ids=["same shape", "only strides", "changes the width"],
)
def test_a_shortcut_that_is_not_written_fits_the_body(body, shortcut):
    space = space_of(f"{{type: sequential, layers: [{{type: residual, body: {body}}}, {HEAD}]}}")
    residual = layers(only(space))[0]
    found = residual.arguments["shortcut"]
    assert (found and (found.target, dict(found.arguments))) == shortcut
    assert found is None or found.path == "network.layers.0.shortcut"
    assert build(space, space.architecture({}))(torch.zeros(2, 3, 16, 16)).shape == (2, 5)


def test_a_body_in_series_may_be_a_list():
    space = space_of(
        f"{{type: sequential, layers: [{{type: residual, body: [{{type: conv}}, {{type: conv}}]}}, {HEAD}]}}"
    )
    assert layers(only(space))[0].arguments["body"].path == "network.layers.0.body"


def test_a_residual_without_its_body_is_its_shortcut():
    network = f"{{type: sequential, layers: [{{type: residual, body: {{optional: {{type: conv}}}}}}, {HEAD}]}}"
    space = space_of(network)
    absent = space.architecture({"network.layers.0.body.present": False})
    residual = next(iter(build(space, absent).children()))
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(residual(x), x)


def test_a_cell_sums_in_its_nodes_and_concatenates_if_asked():
    edges = "{0-1: {type: conv}, 0-2: {type: identity}, 1-2: {type: zero}}"
    network = "{{type: sequential, layers: [{{type: cell, nodes: 3, edges: {edges}, output: {output}}}, {head}]}}"
    for output, width in (("last", 3), ("concat", 6)):
        call = only(space_of(network.format(edges=edges, output=output, head=HEAD)))
        assert layers(call)[-1].arguments["in_features"] == width
        assert list(layers(call)[0].arguments["edges"]) == ["0-1", "0-2", "1-2"]


def test_every_edge_of_a_cell_decides_for_itself():
    edges = "{all: {choice: {none: {type: zero}, skip: {type: identity}, conv: {type: relu_conv_norm, kernel: 1}}}}"
    space = space_of(f"{{type: sequential, layers: [{{type: cell, nodes: 4, edges: {edges}}}, {HEAD}]}}")
    assert sum(1 for _ in space.enumerate()) == 3**6
    call = only(
        space, **{f"network__layers__0__edges__{e}": "conv" for e in ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")}
    )
    paths = [edge.path for edge in layers(call)[0].arguments["edges"].values()]
    assert paths[0].startswith("network.layers.0.edges.0-1")
    assert len(set(paths)) == 6


def test_a_head_on_a_feature_map_is_refused_with_advice():
    space = space_of("{type: sequential, layers: [{type: conv, width: 7}, {type: linear_head}]}")
    with pytest.raises(NodeError, match="takes a vector, but gets a feature map of 7×16×16") as caught:
        only(space)
    assert "global_average_pool" in caught.value.problem.expected
    assert caught.value.problem.mark.line == 5


def test_adding_different_shapes_names_them():
    branches = "[{type: conv, width: 4}, {type: conv, width: 6}]"
    space = space_of(f"{{type: sequential, layers: [{{type: parallel, join: add, branches: {branches}}}, {HEAD}]}}")
    with pytest.raises(NodeError, match="adds branches of different shapes: 4×16×16, 6×16×16"):
        only(space)


def test_concatenating_different_resolutions_names_them():
    branches = "[{type: conv, width: 4, stride: 2}, {type: conv, width: 6}]"
    space = space_of(f"{{type: sequential, layers: [{{type: parallel, branches: {branches}}}, {HEAD}]}}")
    with pytest.raises(NodeError, match=r"concatenates .*: 4×8×8, 6×16×16"):
        only(space)


def test_an_input_that_a_layer_cannot_take_is_reported_without_a_traceback():
    space = space_of("{type: sequential, layers: [{type: flatten}, {type: max_pool}, {type: linear_head}]}")
    with pytest.raises(NodeError, match=r"max_pool in network.layers.1 cannot take its input of 768") as caught:
        only(space)
    assert "\n" not in caught.value.problem.message


def test_a_node_inside_another_networks_arguments_must_say_all_it_needs():
    """Only composition nodes are known to feed their parts; any other network decides for itself."""
    space = space_of("{type: residual_network, widths: [8], downsample_at: [], norm: {type: conv, width: 3}}")
    with pytest.raises(NodeError, match=r"conv in network.norm needs in_channels, which cannot be inferred here"):
        only(space)


def test_branches_may_have_names_and_hold_lists():
    two = "[{type: conv, width: 5}, {type: conv, width: 6}]"
    branches = f"{{one: {{type: conv, width: 4}}, two: {two}, no: {{optional: {{type: conv}}}}}}"
    space = space_of(f"{{type: sequential, layers: [{{type: parallel, branches: {branches}}}, {HEAD}]}}")
    absent = space.architecture({"network.layers.0.branches.no.present": False})
    call = resolve(space, absent)
    assert layers(call)[-1].arguments["in_features"] == 10
    assert list(layers(call)[0].arguments["branches"]) == ["one", "two", "no"]
    names = set(build(space, absent).state_dict())
    assert {"0.branches.one.weight", "0.branches.two.0.weight", "0.branches.two.1.weight"} <= names
    assert not [name for name in names if ".no." in name]


def test_arguments_of_composition_nodes_come_in_the_order_of_the_constructor_too():
    branches = "[{type: conv, width: 4}]"
    space = space_of(f"{{type: sequential, layers: [{{type: parallel, join: add, branches: {branches}}}, {HEAD}]}}")
    assert list(layers(only(space))[0].arguments) == ["branches", "join"]
