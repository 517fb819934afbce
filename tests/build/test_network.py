"""build, resolve, instantiate: seeds, overrides for a phase, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasengine.build import build, check_overrides, example_input, instantiate, resolve
from nasengine.errors import BuildError, InputError
from nasengine.space import SearchSpace, load_space, parse_space

QUANTIZED = """
name: quantized
about: bits are a choice
task: {kind: image_classification, input: [3, 8, 8], classes: 5}
network: {type: residual_network, widths: [8], downsample_at: [1]}
quantization:
  - {at: "**", per: network, format: {choice: [int4, int8]}}
"""

PROXY = """
name: proxy
about: a program, not a network
proxy: {type: branched, branches: [{input: weight, operations: [log]}, {input: gradient, operations: [abs]}], join: sum}
"""


@pytest.fixture(scope="module")
def resnet20() -> SearchSpace:
    return load_space("pooling_resnet20")


def default(space):
    return space.known["default"].architecture


def test_a_seed_leaves_the_global_generator_as_it_was(resnet20):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build(resnet20, default(resnet20), seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_resolving_leaves_the_global_generator_as_it_was():
    space = load_space("mobile_cnn_cifar")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    resolve(space, space.known["default"].architecture)
    assert torch.equal(torch.rand(3), expected)


def test_the_seed_alone_decides_the_weights(resnet20):
    torch.manual_seed(1)
    first = build(resnet20, default(resnet20), seed=3)
    torch.manual_seed(2)
    second = build(resnet20, default(resnet20), seed=3)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_all_placements_of_pools_have_parameters_of_the_same_names_and_shapes(resnet20):
    shapes = {
        tuple((name, tuple(tensor.shape)) for name, tensor in build(resnet20, a, seed=0).state_dict().items())
        for a in resnet20.enumerate()
    }
    assert len(shapes) == 1


def test_what_is_instantiated_is_what_was_resolved(resnet20):
    call = resolve(resnet20, default(resnet20))
    assert call.arguments["in_channels"] == 3
    assert call.arguments["classes"] == 10
    assert call.arguments["downsample_at"] == [4, 7]
    assert isinstance(instantiate(call), call.target)


def test_a_phase_may_replace_what_is_not_searched(resnet20):
    norm = {"affine": False, "statistics": "batch"}
    network = build(resnet20, default(resnet20), network={"norm": norm}, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 270_906
    assert not [name for name in network.state_dict() if "running" in name]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"downsample_at": [1, 2]}, "network.downsample_at of pooling_resnet20 is searched"),
        ({"nrom": {}}, "unknown argument 'nrom'"),
        ({"stem_width": "wide"}, "is the word 'wide'"),
    ],
    ids=["searched", "unknown", "wrong kind"],
)
def test_a_phase_may_not_replace_anything_else(resnet20, network, message):
    with pytest.raises(InputError, match=message):
        check_overrides(resnet20, network)
    with pytest.raises(InputError, match=message):
        build(resnet20, default(resnet20), network=network)


def test_all_that_is_wrong_with_an_override_is_said_at_once(resnet20):
    with pytest.raises(InputError) as caught:
        check_overrides(resnet20, {"downsample_at": [1, 2], "nrom": {}})
    assert len(caught.value.problems) == 2


def test_an_override_that_the_constructor_refuses_is_a_build_error(resnet20):
    with pytest.raises(BuildError, match="normalisation 'batch'"):
        build(resnet20, default(resnet20), network={"norm": {"groups": 3}})


def test_a_space_with_quantization_is_refused_instead_of_built_in_floating_point():
    space = SearchSpace(parse_space(QUANTIZED, "quantized.yaml"))
    with pytest.raises(InputError, match="asks for quantization"):
        build(space, next(space.enumerate()))


def test_a_proxy_is_refused():
    space = SearchSpace(parse_space(PROXY, "proxy.yaml"))
    with pytest.raises(InputError, match="describes a proxy, not a network"):
        build(space, next(space.enumerate()))


def test_the_example_input_has_the_shape_that_the_architecture_asks_for():
    space = load_space("mobile_cnn")
    architecture = space.known["smallest"].architecture
    assert example_input(space, architecture).shape == (1, 3, 160, 160)
    assert example_input(space, architecture).is_meta
    images = example_input(space, architecture, batch=2, device="cpu")
    assert torch.equal(images, example_input(space, architecture, batch=2, device="cpu"))


def test_equal_calls_at_different_paths_have_equal_configurations():
    space = load_space("inception_like")
    head = {"network.layers.1.repeat": 2}
    branch = {"branches": ["one", "pool"], "branches.one.width": 16, "branches.pool.layers.1.width": 16}
    options = {f"network.layers.1.{copy}.{key}": value for copy in (0, 1) for key, value in branch.items()}
    first, second = resolve(space, space.architecture(head | options)).arguments["layers"][1].arguments["layers"]
    assert first.path != second.path
    assert first.configuration == second.configuration  # two branches of 16 channels give the 32 of the stem


def test_a_number_and_a_truth_value_are_different_configurations():
    space = load_space("mobile_cnn_cifar")
    rng = np.random.default_rng(0)
    calls = [layer for _ in range(5) for layer in resolve(space, space.sample(rng)).arguments["layers"] if layer]
    one = next(call for call in calls if call.arguments.get("expansion") == 1)
    changed = type(one)(one.target, one.type, {**one.arguments, "expansion": True}, one.path)
    assert one.configuration != changed.configuration
