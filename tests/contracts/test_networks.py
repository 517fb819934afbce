"""What every entry of NETWORK_TYPES keeps: it is plain, documented, searchable from YAML and trainable."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Literal

import pytest
import torch
from torch import nn

from nasengine.build import build, check_space, resolve
from nasengine.build.inference import INFERRED
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace, parse_space

# How YAML may use a type on a feature map of 12×8×8 (or, for those that take one, a vector of 12). A new type needs no
# line here: it is tried with its defaults, and where an argument has none with one of its kind. Only a type that takes
# other modules, or that such an argument does not suit, is written out; so are those with arguments worth trying.
MAP, VECTOR, ROOT = "map", "vector", "root"
EXAMPLES: dict[str, tuple[str, str]] = {
    "sequential": (MAP, "{type: sequential, layers: [{type: conv, width: 6}, {optional: {type: identity}}]}"),
    "parallel": (MAP, "{type: parallel, join: concat, branches: [{type: conv, width: 6}, {type: max_pool}]}"),
    "residual": (MAP, "{type: residual, body: {type: conv, width: 6, stride: 2}, activation: relu}"),
    "cell": (MAP, "{type: cell, nodes: 3, edges: {all: {choice: {a: {type: conv}, b: {type: identity}}}}}"),
    "conv": (MAP, "{type: conv, width: 6, kernel: 5, stride: 2, groups: 3}"),
    "conv_norm_activation": (MAP, "{type: conv_norm_activation, width: 6, norm: {kind: group, groups: 2}}"),
    "depthwise_separable": (MAP, "{type: depthwise_separable, width: 6, stride: 2}"),
    "basic_block": (MAP, "{type: basic_block, width: 6, stride: 2}"),
    "bottleneck": (MAP, "{type: bottleneck, width: 6, pool: 2}"),
    "mbconv": (MAP, "{type: mbconv, width: 12, expansion: 3, squeeze_excite: true}"),
    "max_pool": (MAP, "{type: max_pool, kernel: 2, stride: 2}"),
    "subsample": (MAP, "{type: subsample, stride: 2}"),
    "group_norm": (MAP, "{type: group_norm, groups: 4}"),
    "activation": (MAP, "{type: activation, kind: hardswish}"),
    "dropout": (MAP, "{type: dropout, probability: 0.1}"),
    "zero": (MAP, "{type: parallel, join: add, branches: [{type: zero}, {type: identity}]}"),
    "linear_head": (VECTOR, "{type: linear_head, hidden: 6, dropout: 0.1}"),
    "residual_network": (ROOT, "{type: residual_network, stem_width: 8, widths: [8, 12], downsample_at: [2]}"),
}  # fmt: skip

SPACE = """
name: example
about: one entry of the table between a convolution and a head
task: {{kind: image_classification, input: [3, 8, 8], classes: 5}}
network: {root}
"""

SERIES = "{{type: sequential, layers: [{{type: conv, width: 12}}, {before}{node}, {after}{{type: linear_head}}]}}"


# What stands for a required argument of a kind.
ARGUMENTS: dict[object, str] = {int: "3", float: "0.5", bool: "true", str: "relu", list[int]: "[4, 8]"}


def example(name: str) -> tuple[str, str]:
    """Where a type can stand, and how it is written."""
    if name in EXAMPLES:
        return EXAMPLES[name]
    return derived_example(name, NETWORK_TYPES[name])


def derived_example(name: str, target: type[nn.Module]) -> tuple[str, str]:
    """The same for a type that nobody has written out, from its signature."""
    parameters = inspect.signature(target).parameters
    kinds = typing.get_type_hints(target.__init__)
    required = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
    written = ""
    for key in required:
        if key in INFERRED:
            continue
        kind = kinds.get(key)
        value = "12" if key == "width" else ARGUMENTS.get(kind)
        if typing.get_origin(kind) is Literal:
            value = str(typing.get_args(kind)[0])
        assert value is not None, f"add a line to EXAMPLES: nothing is known to suit {key} of {name}"
        written += f", {key}: {value}"
    place = VECTOR if "in_features" in required else ROOT if "classes" in parameters else MAP
    return place, f"{{type: {name}{written}}}"


def space_with(name: str) -> SearchSpace:
    place, node = example(name)
    if place == ROOT:
        return parse(SPACE.format(root=node))
    before = "{type: global_average_pool}, " if place == VECTOR else ""
    after = "" if place == VECTOR or name in ("global_average_pool", "flatten") else "{type: global_average_pool}, "
    return parse(SPACE.format(root=SERIES.format(before=before, node=node, after=after)))


def parse(text: str) -> SearchSpace:
    return SearchSpace(parse_space(text, "example.yaml"))


def smallest(space: SearchSpace):
    return next(space.enumerate())


@pytest.fixture(params=NETWORK_TYPES)
def name(request) -> str:
    return request.param


def test_a_new_type_is_tried_without_being_written_out_here():
    class Block(nn.Module):
        def __init__(self, in_channels: int, width: int, kernel: int, *, ratio: float, mode: Literal["a", "b"], even=2):
            super().__init__()

    written = "{type: block, width: 12, kernel: 3, ratio: 0.5, mode: a}"
    assert derived_example("block", Block) == (MAP, written)


def test_a_space_that_names_it_checks_clean(name):
    assert check_space(space_with(name)) == []


def test_it_trains(name):
    space = space_with(name)
    network = build(space, smallest(space), seed=0).train()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    scores = network(images)
    assert scores.shape == (4, 5)
    scores.square().sum().backward()
    assert images.grad is not None
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{parameter_name} gets no gradient"
        assert torch.isfinite(parameter.grad).all()


def test_the_shape_inferred_without_memory_is_the_shape_with_memory(name):
    """The head behind it was given its in_features by inference, and its scores come out right in both modes."""
    space = space_with(name)
    network = build(space, smallest(space), seed=0)
    images = torch.zeros(2, 3, 8, 8)
    assert network.eval()(images).shape == network.train()(images).shape == (2, 5)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name):
    space = space_with(name)
    first, again, other = (build(space, smallest(space), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_each_module_of_a_node_says_which_node(name):
    space = space_with(name)
    network = build(space, smallest(space), seed=0)
    paths = [vars(module)["node_path"] for module in network.modules() if "node_path" in vars(module)]
    assert paths[0] == "network"
    assert len(set(paths)) == len(paths)
    if example(name)[0] != ROOT:
        last = resolve(space, smallest(space)).arguments["layers"][-1]
        assert last.path in paths


def test_every_argument_is_documented(name):
    target = NETWORK_TYPES[name]
    documented = inspect.getdoc(target) or ""
    for parameter in inspect.signature(target).parameters:
        assert re.search(rf"^ {{4}}([\w, ]+, )?{parameter}(, [\w, ]+)?:", documented, re.MULTILINE), parameter
    assert target.forward.__doc__ or target.__mro__[1].__module__.startswith("torch.nn")


def test_its_constructor_takes_two_arguments_by_position_at_most(name):
    parameters = inspect.signature(NETWORK_TYPES[name]).parameters.values()
    assert sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters) <= 2
    assert not any(parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) for parameter in parameters)


def test_its_source_has_no_word_of_search(name):
    source = inspect.getsource(inspect.getmodule(NETWORK_TYPES[name]))
    for word in ("active", "mask", "choice", "candidate", "supernet", "nasengine.space", "nasengine.build"):
        assert not re.search(rf"\b{re.escape(word)}\b", source, re.IGNORECASE), word
