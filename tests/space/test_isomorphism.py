"""Which cells are one network: what makes no difference is left out of the key, and nothing else."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nasengine.build import build
from nasengine.errors import InputError, Mark
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace, load_space, parse_space
from nasengine.space.cells import cell_graph, used_edges
from nasengine.space.filling import Call
from nasengine.space.isomorphism import WITHOUT_WEIGHTS, network_key

OPTIONS = (
    "{none: {type: zero}, skip: {type: identity}, a: {type: conv}, b: {type: conv, kernel: 1}, "
    "pool: {type: average_pool}}"
)
HEAD = "{type: global_average_pool}, {type: linear_head}"


def space_of(node: str, *, before: str = "", shape: str = "[3, 8, 8]") -> SearchSpace:
    layers = f"[{before}{node}, {HEAD}]"
    text = f"name: t\nabout: t\ntask: {{kind: image_classification, input: {shape}, classes: 5}}\n"
    return SearchSpace(parse_space(f"{text}network: {{type: sequential, layers: {layers}}}\n", "t.yaml"))


def cell_of(nodes: int, *, output: str = "last", **edges: str) -> str:
    """A cell whose other edges are zero; `e01="a"` is an edge from 0 to 1."""
    types = {"skip": "{type: identity}", "a": "{type: conv}", "b": "{type: conv, kernel: 1}",
             "pool": "{type: average_pool}", "none": "{type: zero}"}  # fmt: skip
    written = "".join(f", {name[1]}-{name[2]}: {types.get(what, what)}" for name, what in edges.items())
    return f"{{type: cell, nodes: {nodes}, output: {output}, edges: {{all: {{type: zero}}{written}}}}}"


def key(node: str, **settings: str) -> str:
    space = space_of(node, **settings)
    return network_key(space.fill(next(space.enumerate())))


def test_zero_and_absent_edges_make_no_difference():
    cell = cell_of(3, e01="a", e12="b")
    assert key(cell) == key(cell_of(3, e01="a", e12="b", e02="none"))
    space = space_of(cell_of(3, e01="a", e12="b", e02="{optional: {type: conv}}"))
    absent, present = (network_key(space.fill(architecture)) for architecture in space.enumerate())
    assert {absent, present} > {key(cell)}


def test_identities_hand_on_what_they_get():
    assert key(cell_of(4, e01="a", e12="skip", e23="skip")) == key(cell_of(4, e03="a"))
    assert key(cell_of(2, e01="skip")) == key("{type: identity}")
    assert key(cell_of(3, e01="{repeat: {choice: [0]}, of: {type: conv}}", e12="a")) == key(cell_of(2, e01="a"))


def test_parts_that_the_input_does_not_reach_or_the_output_does_not_need_are_left_out():
    one = key(cell_of(4, e03="a"))
    assert key(cell_of(4, e03="a", e01="b")) == one
    assert key(cell_of(4, e03="a", e12="b", e23="b")) == one
    assert key(cell_of(4, e01="a")) == key(cell_of(4, e12="b", e23="a")) == key("{type: zero}")


def test_a_sum_of_sums_is_one_sum_in_any_order():
    assert key(cell_of(4, e01="a", e02="b", e13="skip", e23="skip")) == key(cell_of(3, e01="b", e12="skip", e02="a"))
    nested = key(cell_of(4, e01="a", e02="pool", e12="skip", e23="skip", e03="b"))
    assert nested == key(cell_of(4, e01="b", e13="skip", e02="a", e23="skip", e03="pool"))


def test_the_numbers_of_the_nodes_make_no_difference():
    first = cell_of(5, e01="a", e13="b", e02="b", e23="a", e34="pool")
    assert key(first) == key(cell_of(5, e02="a", e23="b", e01="b", e13="a", e34="pool"))
    assert key(first) != key(cell_of(5, e01="a", e13="b", e02="b", e23="b", e34="pool"))


def test_how_often_something_is_in_a_sum_makes_a_difference():
    assert key(cell_of(3, e01="skip", e12="skip", e02="skip")) != key(cell_of(3, e02="skip"))
    assert key(cell_of(3, e02="skip")) == key(cell_of(3, e01="skip", e12="skip"))


def test_one_convolution_used_twice_is_not_two_convolutions():
    twice = cell_of(4, e01="a", e13="skip", e12="skip", e23="skip")
    two = cell_of(4, e01="a", e13="skip", e02="a", e23="skip")
    assert key(twice) != key(two)


def test_pooling_the_same_twice_is_pooling_it_once_and_using_it_twice():
    twice = cell_of(4, e01="pool", e13="skip", e12="skip", e23="skip")
    two = cell_of(4, e01="pool", e13="skip", e02="pool", e23="skip")
    assert key(twice) == key(two)
    assert key(two) != key(cell_of(4, e01="pool", e13="skip"))


@pytest.mark.parametrize("inner", [(1, 2, 3), (1, 3, 5), (1, 2, 4)])
def test_equal_chains_that_nothing_tells_apart_have_one_key_however_they_are_numbered(inner):
    """Colour refinement leaves the three inner and the three outer operations alike."""
    outer = [node for node in range(1, 7) if node not in inner]

    def chains(pairs: list[tuple[int, int]]) -> str:
        first = {f"e0{start}": "a" for start, _ in pairs}
        return cell_of(
            8, **first, **{f"e{start}{end}": "b" for start, end in pairs}, **{f"e{end}7": "skip" for end in outer}
        )

    straight = [(start, start + 3) for start in (1, 2, 3)]
    assert key(chains(list(zip(inner, outer, strict=True)))) == key(
        cell_of(
            8, e01="a", e02="a", e03="a", **{f"e{i}{o}": "b" for i, o in straight}, e47="skip", e57="skip", e67="skip"
        )
    )


def test_a_concatenation_keeps_its_order():
    first = cell_of(3, e01="a", e02="b", output="concat")
    assert key(first) != key(cell_of(3, e01="b", e02="a", output="concat"))
    assert key(first) == key(cell_of(3, e01="a", e02="b", e12="none", output="concat"))


def test_cells_in_cells_are_seen_through():
    inner, same = cell_of(3, e01="a", e12="skip"), cell_of(3, e02="a")
    assert key(cell_of(3, e01=inner, e12="b")) == key(cell_of(3, e01=same, e12="b"))
    assert key(cell_of(3, e01=cell_of(2, e01="skip"), e02="a", e12="b")) == key(
        cell_of(3, e01="skip", e02="a", e12="b")
    )
    nothing = cell_of(3, e01="a")
    assert key(cell_of(4, e01=nothing, e12="b", e23="a", e03="a")) == key(cell_of(2, e01="a"))
    assert key(cell_of(4, e01="b", e12=nothing, e23="a", e03="a")) == key(cell_of(2, e01="a"))
    assert key(f"{{type: residual, body: {inner}}}") == key(f"{{type: residual, body: {same}}}")


def test_whatever_else_the_network_is_makes_a_difference():
    cell = cell_of(3, e01="a", e12="skip")
    keys = [key(cell), key(cell, shape="[3, 16, 16]"), key(cell, before="{type: conv, width: 3}, ")]
    keys += [key(cell, before="{type: conv, width: 4}, "), key(cell_of(2, e01="{type: conv, bias: false}"))]
    keys += [key(cell_of(2, e01="{type: conv, stride: 1}"))]
    assert len(set(keys)) == len(keys)
    assert key(cell_of(2, e01="{type: conv, kernel: 1, stride: 2}")) == key(
        cell_of(2, e01="{type: conv, stride: 2, kernel: 1}")
    )


def instances(space: SearchSpace, architecture: Any) -> Any:
    """The sum that a cell gives, every convolution marked by the edge it stands on: the definition, spelt out."""
    cell = space.fill(architecture).root.arguments["layers"][0]
    values: list[Any] = [(("x", 1),)]
    for target in range(1, cell.arguments["nodes"]):
        total: Counter[Any] = Counter()
        for source in range(target):
            operation = cell.arguments["edges"][f"{source}-{target}"]
            if operation.type == "zero" or not values[source]:
                continue
            if operation.type == "identity":
                total.update(dict(values[source]))
            elif operation.type == "average_pool":
                total["pool", "", values[source]] += 1
            else:
                total[str(operation.arguments), f"{source}-{target}", values[source]] += 1
        values.append(tuple(sorted(total.items(), key=repr)))
    return values[-1]


def marks(sum_: Any) -> set[str]:
    found: set[str] = set()
    for term, _ in sum_:
        if term != "x":
            found |= {term[1]} - {""} | marks(term[2])
    return found


def renamed(sum_: Any, names: dict[str, str]) -> Any:
    terms = (
        (term if term == "x" else (term[0], names.get(term[1], ""), renamed(term[2], names)), times)
        for term, times in sum_
    )
    return tuple(sorted(terms, key=repr))


def by_trying_all(sum_: Any) -> str:
    """The least text under all ways to name the convolutions."""
    edges = sorted(marks(sum_))
    return min(
        repr(renamed(sum_, dict(zip(edges, map(str, order), strict=True))))
        for order in itertools.permutations(range(len(edges)))
    )


@pytest.mark.parametrize("seed", range(3))
def test_keys_are_equal_exactly_where_trying_all_namings_finds_them_equal(seed):
    space = space_of(f"{{type: cell, nodes: 5, edges: {{all: {{choice: {OPTIONS}}}}}}}")
    rng = np.random.default_rng(seed)
    few = {"none": 3, "skip": 3, "a": 3, "b": 1, "pool": 1}
    names, weights = list(few), np.array(list(few.values())) / sum(few.values())
    keys: dict[str, set[str]] = {}
    for _ in range(250):
        architecture = space.architecture({path: str(rng.choice(names, p=weights)) for path in space.choices})
        meant = instances(space, architecture)
        if len(marks(meant)) <= 5:
            keys.setdefault(network_key(space.fill(architecture)), set()).add(by_trying_all(meant))
    found = list(keys.values())
    assert all(len(texts) == 1 for texts in found), "equal keys for different functions"
    assert len(set().union(*found)) == len(found), "different keys for one function"
    assert len(found) > 50


def test_architectures_of_one_identity_compute_the_same_with_the_same_weights():
    space = space_of(f"{{type: cell, nodes: 4, edges: {{all: {{choice: {OPTIONS}}}}}}}")

    def identity_and_output(**edges: str) -> tuple[Any, torch.Tensor]:
        written = {f"network.layers.0.edges.{name[1]}-{name[2]}": what for name, what in edges.items()}
        architecture = space.architecture(dict.fromkeys(space.choices, "none") | written)
        network = build(space, architecture, seed=0).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):  # one convolution of each kernel is used: their weights are matched by it
                values = torch.randn(module.weight.shape, generator=torch.Generator().manual_seed(1))
                module.weight.data, module.bias.data = values, torch.ones(3)
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        return space.identity(architecture), network.get_submodule("0")(images)

    one, features = identity_and_output(e01="a", e12="b", e23="skip", e03="skip")
    same, also = identity_and_output(e01="skip", e12="a", e23="b", e03="skip")
    other, different = identity_and_output(e01="b", e12="a", e23="skip", e03="skip")
    assert one == same != other
    torch.testing.assert_close(features, also)
    assert not torch.allclose(features, different)


@pytest.mark.parametrize("name", sorted(WITHOUT_WEIGHTS))
def test_types_said_to_have_no_weights_have_none_and_draw_nothing(name):
    module = NETWORK_TYPES[name](2) if name == "subsample" else NETWORK_TYPES[name]()
    assert not list(module.state_dict())
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module.train()(images), module(images))
    assert torch.equal(module.eval()(images), module(images))


def test_a_space_without_cells_has_its_architectures_for_identities():
    space = load_space("pooling_resnet20")
    assert all(space.identity(architecture) is architecture for architecture in space.enumerate())


def test_formats_of_a_quantized_space_are_part_of_the_identity():
    text = (
        "name: t\nabout: t\ntask: {kind: image_classification, input: [3, 8, 8], classes: 5}\n"
        f"network: {cell_of(2, e01='a')}\n"
        "quantization: [{at: '**', per: network, format: {choice: [int4, int8]}}]\n"
    )
    space = SearchSpace(parse_space(text, "t.yaml"))
    assert len({space.identity(architecture) for architecture in space.enumerate()}) == 2


def test_the_graph_of_a_cell_says_what_stands_where_and_what_is_used():
    space = space_of(cell_of(4, e01="a", e13="skip", e02="b"))
    graph = cell_graph(space.fill(next(space.enumerate())).root.arguments["layers"][0])
    assert graph.graph["outputs"] == (3,)
    assert {edge: graph.edges[edge]["operation"].type for edge in graph.edges} == {
        (0, 1): "conv",
        (1, 3): "identity",
        (0, 2): "conv",
    }
    assert used_edges(graph) == [(0, 1), (1, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 3, "edges": {"2-1": None}}, r"has an edge '2-1'; expected FROM-TO with 0 <= FROM < TO <= 2"),
        ({"nodes": 3, "edges": {"0-3": None}}, "has an edge '0-3'"),
        ({"nodes": 3, "edges": {"a": None}}, "has an edge 'a'"),
        ({"nodes": True, "edges": {}}, "is no cell"),
    ],
)
def test_what_is_no_acyclic_graph_is_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        cell_graph(Call("cell", arguments, "network.cell", Mark("t.yaml", 1, 1)))
    (problem,) = caught.value.problems
    assert re.search(message, f"{problem.message}; {problem.expected}")
