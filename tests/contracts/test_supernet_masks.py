"""What masks keep for every network: they are equal to views in outputs and gradients, and touch nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasengine.build import allow_modules
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace, load_space, shipped
from nasengine.supernet import Supernet
from nasengine.supernet.comparison import compare
from nasengine.supernet.proved import cache_folder
from tests.contracts.examples import parse
from tests.supernet.networks import COMPOSED, OWN, TRICKS, space_of, trick

SMALL = (
    "{{type: sequential, layers: [{{type: conv, width: {{choice: [8, 12]}}}}, {node}, {after}{{type: linear_head}}]}}"
)
# For each type a space in which its width and what else it offers is searched; those not named have nothing to search
# in that way and are proved in one of the shipped spaces, or are in every one of these.
NODES = {
    "conv": "{type: conv, width: {choice: [6, 9]}, kernel: {choice: [1, 3, 5]}}",
    "conv_norm_activation": "{type: conv_norm_activation, width: {choice: [4, 8]}, norm: {kind: group, groups: 2}}",
    "relu_conv_norm": "{optional: {type: relu_conv_norm, kernel: {choice: [1, 3]}}}",
    "depthwise_separable": "{type: depthwise_separable, width: {choice: [6, 8]}, stride: 2}",
    "basic_block": "{type: basic_block, width: 16}",
    "bottleneck": "{type: bottleneck, width: {choice: [4, 6]}, pool: 2}",
    "mbconv": "{type: mbconv, width: {choice: [14, 16]}, kernel: {choice: [3, 5]}, expansion: {choice: [2, 3]}, "
    "squeeze_excite: {choice: [false, true]}}",
    "squeeze_excite": "{optional: {type: squeeze_excite}}",
    "max_pool": "{type: max_pool, kernel: 2, stride: 2}",
    "average_pool": "{optional: {type: average_pool}}",
    "batch_norm": "{type: batch_norm, statistics: batch}",
    "group_norm": "{type: group_norm, groups: 4}",
    "layer_norm": "{type: layer_norm}",
    "activation": "{type: activation, kind: hardswish}",
    "subsample": "{type: subsample, stride: 2}",
    "identity": "{choice: {same: {type: identity}, pool: {type: max_pool}}}",
    "parallel": "{type: parallel, join: add, branches: [{optional: {type: conv, width: 6}}, "
    "{type: conv, width: 6, kernel: 1}]}",
    "residual": "{type: residual, body: {optional: {type: conv, kernel: {choice: [1, 3]}}}, activation: relu}",
    "cell": "{type: cell, nodes: 3, edges: {all: {choice: {a: {type: conv}, b: {type: identity}, c: {type: zero}}}}}",
    "sequential": "{type: sequential, layers: [{repeat: {choice: [1, 2, 3]}, of: {type: conv_norm_activation, "
    "width: 6}}, {optional: {type: conv, width: 6}}]}",
}
CAN_BE_MASKED = {"flatten", "reshape", "shuffle", "group_width", "group_norm", "prelu", "drawn", "window"}
SHIPPED = ["mobile_cnn_cifar", "nas_bench_201"]
THOROUGH = ["mobile_cnn", "inception_like"]
LARGE = ["vit_resnas_tiny"]  # ten seconds of a processor for each architecture: CI compares a few of them
UNMASKED = sorted(set(shipped("search_spaces")) - {*SHIPPED, *THOROUGH, *LARGE})
AT_ONCE = dict.fromkeys(LARGE, 4)  # architectures of one comparison: half a gigabyte each
LONG = {"vit_resnas_small", "vit_resnas_medium", "inception_like_224"}  # to survey and to prove: a minute each


def space_with(node: str) -> SearchSpace:
    after = "{type: global_average_pool}, "
    text = SMALL.format(node=node, after=after)
    return parse(
        "name: masked\nabout: one type behind a convolution whose width is searched\n"
        f"task: {{kind: image_classification, input: [3, 8, 8], classes: 5}}\nnetwork: {text}"
    )


def some(space: SearchSpace, count: int):
    rng = np.random.default_rng(0)
    return list(dict.fromkeys(space.sample(rng) for _ in range(count)))


def check(space: SearchSpace, count: int) -> int:
    """Compare masks and views in double precision; the number of architectures that ran by masks."""
    twin = Supernet(space)._in_double()
    masked = 0
    for plan in twin.plans(some(space, count)):
        if not plan.masked:
            continue
        rows = space.encode_many(plan.architectures)
        step = AT_ONCE.get(space.name, len(rows))
        for begin in range(0, len(rows), step):
            finding = compare(twin, twin._several.passes, plan.key, rows[begin : begin + step])
            assert finding.outputs <= 1e-12, finding
            assert finding.gradients <= 1e-12, finding
            assert finding.worst[1] <= 1e-9, finding
            assert finding.outside == 0, finding
        masked += len(plan.architectures)
    return masked


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASENGINE_CACHE", str(tmp_path))


def test_every_type_of_network_is_looked_at():
    elsewhere = {"residual_network", "nas_bench_201_network", "vit_resnas", "linear", "linear_head", "flatten"}
    elsewhere |= {"global_average_pool", "dropout", "zero"}
    assert set(NODES) <= set(NETWORK_TYPES)
    assert len(set(NETWORK_TYPES) - set(NODES) - elsewhere) < len(NETWORK_TYPES) / 2


@pytest.mark.parametrize("name", NODES)
def test_masks_are_views_for_every_type(name):
    space = space_with(NODES[name])
    assert check(space, 4) >= 2


@pytest.mark.parametrize("name", [*OWN, *COMPOSED])
def test_masks_are_views_for_networks_of_ones_own(name):
    """Concatenations all the way, fused and PyTorch's own attention, what may be absent, options of other type."""
    space = space_of({**OWN, **COMPOSED}[name], name)
    assert check(space, 12) >= 5


@pytest.mark.parametrize("name", TRICKS)
def test_masks_of_a_trick_are_views_or_it_runs_as_views(name):
    """Flattening, windows, norms of groups; what mixes channels unseen is found by running, and runs as views."""
    space = trick(name)
    masked = check(space, 12)
    assert masked == (3 if name in CAN_BE_MASKED else 0)


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 20) for name in SHIPPED + THOROUGH),
        *((name, 3) for name in LARGE),
        *(pytest.param(name, 20, marks=pytest.mark.slow) for name in LARGE),
    ],
)
def test_masks_are_views_for_many_architectures_of_a_shipped_space(name, count):
    space = load_space(name)
    assert check(space, count) >= count // 2


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in UNMASKED]
)
def test_what_does_not_run_by_masks_says_why(name):
    plans = Supernet(load_space(name)).plans(some(load_space(name), 4))
    assert all(plan.masked or plan.note for plan in plans)


def test_masks_are_views_where_channels_do_not_begin_at_the_first():
    """Behind a concatenation whose first branch is not there."""
    branches = ", ".join(f"{name}: {{type: conv, width: {{choice: [2, 4]}}}}" for name in "abc")
    node = f"{{type: parallel, join: concat, branches: {{subset: {{size: [1, 3], of: {{{branches}}}}}}}}}"
    space = space_with(f"{node}, {{type: conv, width: 6}}")
    twin = Supernet(space)._in_double()
    architectures = [a for a in space.enumerate() if a["network.layers.1.branches"] in (("b",), ("c",), ("b", "c"))]
    plans = twin.plans(architectures[:16])
    assert [plan.masked for plan in plans] == [True]
    finding = compare(twin, twin._several.passes, plans[0].key, space.encode_many(plans[0].architectures))
    assert finding.equal, finding


def test_a_batch_of_architectures_is_their_views_side_by_side():
    space = space_with(NODES["mbconv"])
    supernet = Supernet(space).eval()
    architectures = some(space, 8)[:4]
    images = torch.randn(12, 3, 8, 8)
    scores = supernet.batch(images, architectures)
    for number, architecture in enumerate(architectures):
        assert torch.allclose(scores[number::4], supernet(images[number::4], architecture), rtol=1e-4, atol=1e-5)


def test_architectures_of_different_plans_come_back_in_their_places():
    space = space_with("{type: conv, width: {choice: [4, 6]}, stride: {choice: [1, 2]}}")
    supernet = Supernet(space).eval()
    architectures = some(space, 20)[:6]
    plans = supernet.plans(architectures)
    assert len(plans) > 1, "a stride is structural"
    assert {position for plan in plans for position in plan.positions} == set(range(6))
    images = torch.randn(12, 3, 8, 8)
    scores = supernet.batch(images, architectures)
    for number, architecture in enumerate(architectures):
        torch.testing.assert_close(scores[number::6], supernet(images[number::6], architecture), rtol=1e-4, atol=1e-5)


def test_chance_does_not_stand_in_the_way_of_a_proof():
    node = "{type: dropout}, {type: conv, width: {choice: [4, 6]}}, {type: own:Dropping}"
    allow_modules(["tests.contracts.scaled_convolution"])
    space = space_with(node.replace("own:", "'tests.contracts.scaled_convolution:").replace("Dropping", "Dropping'"))
    state = torch.get_rng_state()
    plans = Supernet(space).plans(some(space, 12))
    assert [plan.masked for plan in plans] == [True], plans[0].note
    assert torch.equal(torch.get_rng_state(), state)


def test_what_was_proved_is_not_proved_again(monkeypatch):
    space = space_with(NODES["conv"])
    said: list[str] = []
    supernet = Supernet(space, on_note=said.append)
    architectures = some(space, 4)
    first = supernet.plans(architectures)
    assert said == [f"proving masks of {space.name} (once; kept in {cache_folder() / 'masks'})"], "before it is done"

    def refuse(*_):
        raise AssertionError("proved before")

    monkeypatch.setattr("nasengine.supernet.several.prove", refuse)
    assert Supernet(space, on_note=said.append).plans(architectures) == first
    assert len(said) == 1, "nothing takes long"


def test_a_scale_that_follows_a_width_keeps_architectures_apart():
    """Nothing in the network says so: it shows when masks run beside views."""
    allow_modules(["tests.contracts.scaled_convolution"])
    space = space_with("{type: tests.contracts.scaled_convolution:ScaledConvolution, width: {choice: [4, 6]}}")
    plans = Supernet(space).plans([a for a in space.enumerate() if a["network.layers.0.width"] == 8])
    assert [len(plan.architectures) for plan in plans] == [1, 1]


def test_masks_see_the_running_statistics_that_views_have_changed_since():
    """Also where a norm's are not the first ones: behind a concatenation whose first branch is narrower in a plan."""
    allow_modules(["tests.contracts.scaled_convolution"])
    first = "{type: tests.contracts.scaled_convolution:ScaledConvolution, width: {choice: [4, 6]}}"
    branches = f"{{a: {first}, b: {{type: conv, width: {{choice: [2, 4]}}}}}}"
    space = space_with(f"{{type: parallel, join: concat, branches: {branches}}}, {{type: batch_norm}}")
    supernet = Supernet(space)
    plans = [plan for plan in supernet.plans(list(space.enumerate())) if plan.masked]
    assert len(plans) > 1, "a width is structural"
    images = 1 + torch.randn(8, 3, 8, 8)
    for _ in range(2):
        supernet.eval()
        for plan in plans:
            two = plan.architectures[:2]
            scores = supernet.batch(images, two)
            for number, architecture in enumerate(two):
                torch.testing.assert_close(scores[number::2], supernet(images[number::2], architecture))
        supernet.train()
        for architecture in space.enumerate():
            supernet(images, architecture)
