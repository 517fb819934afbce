import re

import numpy as np
import pytest
import torch

import nasengine as nas
from nasengine.costs import costs
from nasengine.errors import InputError
from nasengine.report.drawing import draw
from nasengine.report.layers import place
from nasengine.report.network_graph import network_graph
from nasengine.space import space_from_mapping


def space_of(*layers, **more):
    return space_from_mapping(
        {
            "name": "drawn",
            "task": {"kind": "image_classification", "input": [3, 16, 16], "classes": 4},
            "network": {"type": "sequential", "layers": list(layers)},
            **more,
        },
        "drawn.yaml",
    )


CONV = {"type": "conv_norm_activation", "width": 8, "kernel": 3}
ENDS = ({"type": "global_average_pool"}, {"type": "linear_head"})


def graph_of(*layers):
    return network_graph(space_of(*layers, *ENDS), nas.Architecture({}))[0]


def sources(graph, number):
    return [graph.nodes[a].title for a, b in graph.edges if b == number]


def titled(graph, title):
    return next(number for number, node in enumerate(graph.nodes) if node.title == title)


@pytest.mark.parametrize("name", sorted(nas.shipped("search_spaces")))
def test_the_costs_of_the_blocks_add_up_to_those_of_the_network(name):
    space = nas.load_space(name)
    architecture = space.sample(np.random.default_rng(1))
    graph, cells = network_graph(space, architecture)
    whole = costs(space, architecture)
    assert graph.costs.params == whole.params
    assert graph.costs.macs == whole.macs
    assert graph.costs.size_bytes == whole.size_bytes
    assert all(graph.nodes[a].shape for a, _ in graph.edges)
    assert {b for _, b in graph.edges} == set(range(1, len(graph.nodes)))  # everything is reached
    assert all(cell.edges for cell in cells.values())


def test_a_shortcut_is_drawn_around_what_it_skips():
    graph = graph_of(CONV, {"type": "residual", "body": CONV | {"activation": "identity"}, "activation": "relu"})
    join = titled(graph, "+")
    assert sources(graph, join) == ["conv_norm_activation", "conv_norm_activation"]
    assert graph.nodes[join].settings == "ReLU"
    assert graph.nodes[join].shape == (8, 16, 16)


def test_branches_are_drawn_beside_one_another():
    branches = [CONV, {"type": "max_pool", "kernel": 3, "stride": 1}]
    graph = graph_of(CONV, {"type": "parallel", "branches": branches})
    join = titled(graph, "concat")
    assert sorted(sources(graph, join)) == ["conv_norm_activation", "max_pool"]
    assert graph.nodes[join].shape == (16, 16, 16)


def test_a_sum_of_several_is_one_node():
    graph = graph_of(CONV, {"type": "parallel", "branches": [CONV, CONV, CONV], "join": "add"})
    assert sum(node.title == "+" for node in graph.nodes) == 1
    assert len(sources(graph, titled(graph, "+"))) == 3


def test_equal_blocks_in_a_row_are_one_node_with_their_number():
    graph = graph_of(CONV, {"repeat": 4, "of": CONV})
    run = next(node for node in graph.nodes if node.times > 1)
    assert run.times == 4
    assert run.costs.params == 4 * (8 * 8 * 9 + 16)


def test_cells_are_drawn_apart_with_their_edges():
    space = nas.load_space("nas_bench_201")
    graph, cells = network_graph(space, space.sample(np.random.default_rng(3)))
    assert [node.times for node in graph.nodes if node.title == "cell"] == [5, 5, 5]
    assert list(cells) == ["cell 1"]
    assert cells["cell 1"].nodes[0].title == "input"


def test_a_module_that_reads_values_is_drawn_too():
    class Reads(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Scale by a value, which tensors without memory do not have."""
            return x * (1.0 if x.sum().item() >= 0 else 2.0)

    from nasengine.networks import NETWORK_TYPES

    NETWORK_TYPES["reads"] = Reads
    try:
        graph = graph_of(CONV, {"type": "reads"})
    finally:
        del NETWORK_TYPES["reads"]
    assert "reads" in [node.title for node in graph.nodes]


def test_tracing_leaves_the_generator_and_the_modes_as_they_were():
    state = torch.get_rng_state()
    graph_of(CONV)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_space_without_networks_is_refused_with_its_reason():
    space = space_of({**CONV, "width": {"choice": [4, 8]}}, *ENDS)
    quantized = space_from_mapping(
        {**space.tree.resolved, "quantization": [{"at": "**", "per": "network", "format": "int8"}]}, "q.yaml"
    )
    with pytest.raises(InputError):
        network_graph(quantized, quantized.sample(np.random.default_rng(0)))


def test_every_edge_points_down_and_no_two_nodes_overlap():
    rng = np.random.default_rng(0)
    for _ in range(20):
        count = int(rng.integers(2, 16))
        edges = [(a, b) for b in range(1, count) for a in range(b) if rng.random() < 0.3 or a == b - 1]
        sizes = [(float(rng.integers(30, 200)), float(rng.integers(20, 60))) for _ in range(count)]
        placed = place(sizes, edges)
        for route in placed.routes.values():
            heights = [y for _, y in route]
            assert heights == sorted(heights)
        for first in range(count):
            (x, y), (width, height) = placed.centres[first], sizes[first]
            assert x - width / 2 >= -1e-6
            assert x + width / 2 <= placed.width + 1e-6
            for second in range(first):
                (other_x, other_y), (other_width, other_height) = placed.centres[second], sizes[second]
                apart_x = abs(x - other_x) >= (width + other_width) / 2 - 1e-6
                apart_y = abs(y - other_y) >= (height + other_height) / 2 - 1e-6
                assert apart_x or apart_y


def test_a_chain_is_drawn_straight():
    graph = graph_of(CONV, {"type": "max_pool", "kernel": 2, "stride": 2}, {**CONV, "width": 16})
    placed = place([(100, 40)] * len(graph.nodes), graph.edges)
    assert len({x for x, _ in placed.centres.values()}) == 1


def test_names_in_a_drawing_are_escaped():
    graph = graph_of(CONV)
    hostile = graph.nodes[1].__class__("block", "<script>", "a & <b>", (1,))
    svg = draw(graph.__class__((graph.nodes[0], hostile), ((0, 1),)))
    assert "<script>" not in svg
    assert "<b>" not in svg
    assert re.search(r"&lt;script&gt;", svg)
