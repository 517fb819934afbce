"""What every entry of NETWORK_TYPES keeps: it is plain, documented, searchable from YAML and trainable."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import nn

from nasengine.build import build, check_space, resolve
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace
from tests.contracts.examples import MAP, ROOT, derived_example, example, space_with


def smallest(space: SearchSpace):
    return next(space.enumerate())


@pytest.fixture(params=NETWORK_TYPES)
def name(request) -> str:
    return request.param


def test_a_new_type_is_tried_without_being_written_out_here():
    class Block(nn.Module):
        def __init__(self, in_channels: int, width: int, kernel: int, *, ratio: float, mode: Literal["a", "b"], even=2):
            super().__init__()

    class Network(nn.Module):
        def __init__(self, in_channels: int, classes: int, *, depths: Sequence[int], sizes: tuple[int, ...]):
            super().__init__()

    class Odd(nn.Module):
        def __init__(self, in_channels: int, *, body: nn.Module):
            super().__init__()

    written = "{type: block, width: 12, kernel: 3, ratio: 0.5, mode: a}"
    assert derived_example("block", Block) == (MAP, written)
    assert derived_example("network", Network) == (ROOT, "{type: network, depths: [4, 8], sizes: [4, 8]}")
    with pytest.raises(LookupError, match=r"suit the argument 'body' .* of odd: write one line of YAML for it"):
        derived_example("odd", Odd)


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
