"""Shared weights: what is refused by name, which channels are shared, how values move, what a view leaves alone."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from nasengine.build import build
from nasengine.errors import InputError
from nasengine.space import load_space
from nasengine.supernet import Supernet, SupernetError
from nasengine.supernet.cuts import Bundle, Cut, Part, dense_strides
from nasengine.supernet.private import Builder
from tests.supernet import networks
from tests.supernet.networks import COMPOSED, OWN, SPACE, space_of, trick

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


# --- what cannot be shared is refused, with the layer and what to do -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer", "hint"),
    [
        (
            "lstm",
            r"network\.extra \(LSTM\) has .* a weight_ih_l0 of \d+x\d+ and of",
            "the channels that go into it too",
        ),
        ("lstm", r"network\.extra \(LSTM\) has other sizes", "{choice: {a: {type: …}, b: {type: …}}}"),
        ("softmax", r"network\.head \(Linear\) takes \d+ channels .* but 0 ", "keep this width fixed"),
        ("l2_norm", r"network\.head \(Linear\) takes \d+ channels", "named nodes of a choice"),
        ("product", r"network\.head \(Linear\) .* product with a parameter", "keep this width fixed"),
        ("hidden_weight", r"network\.extra \(Conv2d\) is never called", "call the layer itself"),
        ("group_number", r"network\.extra \(Conv2d\) has groups of 2 to 2 channels", "vary the number of groups"),
    ],
)
def test_a_layer_that_cannot_be_shared_is_named_with_what_to_do(name, layer, hint):
    with pytest.raises(SupernetError, match=layer) as caught:
        Supernet(trick(name))
    assert hint in caught.value.problem.expected


def test_a_fused_layer_that_does_not_say_what_it_is_made_of_is_refused():
    with pytest.raises(SupernetError, match=r"blocks\.0\.project \(Linear\)") as caught:
        Supernet(space_of(OWN["transformer"].replace("own:Transformer", "own:UndeclaredTransformer")))
    assert "axes = {" in caught.value.problem.expected


def test_kernels_without_a_common_centre_are_refused():
    space = space_of(
        "{type: sequential, layers: [{type: 'torch.nn:Conv2d', in_channels: 3, out_channels: 4, "
        "kernel_size: {choice: [2, 3]}}, {type: global_average_pool}, {type: linear_head}]}",
        modules=["torch.nn"],
    )
    with pytest.raises(SupernetError, match=r"network\.layers\.0 has kernels of 2 and of 3") as caught:
        Supernet(space).view(space.architecture({"network.layers.0.kernel_size": 2}))
    assert "odd kernels only" in caught.value.problem.expected


def test_a_declaration_that_is_not_its_width_is_refused(monkeypatch):
    from tests.supernet import networks

    monkeypatch.setattr(networks.Block, "axes", {"qkv": (2, "heads", "head_dim")})
    with pytest.raises(SupernetError, match=r"blocks\.0\.qkv has \d+ output channels, but its module declares"):
        Supernet(space_of(OWN["transformer"], name="declared_wrong"))


def test_a_space_without_a_plain_network_and_no_model_at_all_are_refused():
    with pytest.raises(InputError, match="at least one set of weights, got 0"):
        Supernet(trick("scale"), models=0)
    supernet = Supernet(trick("scale"))
    with pytest.raises(InputError, match="there is no model 1"):
        supernet.parameters(1)


# --- which channels are shared -------------------------------------------------------------------------------------


def channels(space, options, layer) -> list[int]:
    active = Supernet(space).active(space.architecture(options))
    return active[layer].inputs.nonzero().flatten().tolist()


def test_behind_a_concatenation_each_branch_keeps_its_own_channels():
    """Branches a (at most 8 channels), b (4) and the pooled input (8) lie at 0, 8 and 12 of the shared layer."""
    space = space_of(COMPOSED["concatenation"])
    branches = "network.layers.1.branches"
    both = {"network.layers.0.width": 4, branches: ("a", "c"), f"{branches}.a.width": 6}
    assert channels(space, both, "network.layers.2.conv") == [0, 1, 2, 3, 4, 5, 12, 13, 14, 15]
    alone = {"network.layers.0.width": 8, branches: ("b",), f"{branches}.b.width": 2}
    assert channels(space, alone, "network.layers.2.conv") == [8, 9]


def test_what_is_newest_first_is_found_last_first():
    space = space_of(OWN["dense_net"])
    options = {"network.growth.0": 4, "network.growth.1": 8, "network.growth.2": 12}
    newest, middle, oldest, stem = range(12), range(12, 20), range(24, 28), range(36, 44)
    assert channels(space, options, "network.head") == [*newest, *middle, *oldest, *stem]


def test_flattening_takes_every_pixel_of_the_channels_that_are_there():
    assert channels(trick("flatten"), {"network.width": 8}, "network.head") == list(range(128))
    pixels_first = [pixel * 16 + channel for pixel in range(4) for channel in range(8)]
    assert channels(trick("reshape"), {"network.width": 8}, "network.head") == pixels_first


def test_shuffled_channels_come_from_where_they_were():
    """Four groups of 4 become 4 groups with one of each: channel j is channel 4 (j mod 4) + j div 4 of the layer."""
    assert channels(trick("channel_shuffle"), {"network.width": 8}, "network.head") == [0, 1, 4, 5, 8, 9, 12, 13]


def test_a_fused_layer_shares_the_first_heads_of_queries_keys_and_values():
    space = space_of(OWN["transformer"])
    options = {"network.heads": 2, "network.inner": 2, "network.depth": 1, "network.ratio": 1.0}
    outputs = Supernet(space).active(space.architecture(options))["network.blocks.0.qkv"].outputs
    assert outputs.reshape(3, 4, 16)[:, :2].all()
    assert not outputs.reshape(3, 4, 16)[:, 2:].any()


def test_kernels_are_shared_around_their_centre():
    space = space_of(COMPOSED["typed"])
    supernet = Supernet(space)
    options = {"network.layers.0.width": 16, "network.layers.1": "conv", "network.layers.2.repeat": 0}
    kernels = [
        supernet.subnet(space.architecture({**options, "network.layers.1.conv.kernel": side})).get_parameter("1.weight")
        for side in (1, 3, 5)
    ]
    assert torch.equal(kernels[0], kernels[2][..., 2:3, 2:3])
    assert torch.equal(kernels[1], kernels[2][..., 1:4, 1:4])


def test_options_of_different_type_have_weights_of_their_own():
    supernet = Supernet(space_of(COMPOSED["typed"]))
    keys = [key for key, _ in supernet.named_parameters()]
    assert "network.layers.1.conv.weight" in keys
    assert "network.layers.1.depthwise.pointwise.conv.weight" in keys


def test_an_absent_layer_leaves_the_names_of_the_others():
    space = space_of(COMPOSED["optional"])
    supernet = Supernet(space)
    without = space.architecture(
        {"network.layers.1.present": False, "network.layers.2.present": False, "network.layers.5.hidden": 0}
    )
    with_it = supernet.largest
    norm = [next(p for n, p in supernet.subnet(a).named_parameters() if n == "3.weight") for a in (without, with_it)]
    assert torch.equal(norm[0], norm[1][: len(norm[0])])


# --- values -----------------------------------------------------------------------------------------------------


def test_models_differ_and_the_same_seed_gives_the_same_weights():
    space = trick("scale")
    state = Supernet(space, models=2, seed=3).state()
    again = Supernet(space, models=2, seed=3).state()
    assert list(state) == list(again)
    assert all(torch.equal(state[key], again[key]) for key in state)
    assert not torch.equal(state["0/network.conv.weight"], state["1/network.conv.weight"])
    assert not torch.equal(state["0/network.conv.weight"], Supernet(space, seed=4).state()["0/network.conv.weight"])


def test_making_a_supernet_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    supernet = Supernet(trick("drawn"))
    supernet.view(supernet.largest)
    supernet.subnet(supernet.smallest)
    assert torch.equal(before, torch.get_rng_state())


def test_state_goes_out_and_in():
    space = load_space("quickstart")
    first, second = (Supernet(space, models=2, seed=seed) for seed in (0, 1))
    second.load_state({key: value.clone() for key, value in first.state().items()})
    architecture = space.sample(np.random.default_rng(0))
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(first(images, architecture, model=1), second(images, architecture, model=1))


def test_a_state_that_does_not_fit_is_refused_with_every_tensor_named():
    supernet = Supernet(trick("scale"))
    state = supernet.state()
    state["0/network.head.bias"] = torch.zeros(3)
    state["0/other"] = state.pop("0/network.conv.bias")
    with pytest.raises(InputError) as caught:
        supernet.load_state(state)
    assert [problem.message.split(" ")[0] for problem in caught.value.problems] == ["the", "the", "0/network.head.bias"]


def test_a_subnet_is_what_build_makes_and_shares_no_memory():
    supernet = Supernet(trick("group_norm"))
    subnet = supernet.subnet(supernet.smallest)
    assert subnet.state_dict().keys() == build(supernet.space, supernet.smallest).state_dict().keys()
    before = supernet(IMAGES, supernet.smallest).detach()
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.add_(1)
    assert torch.equal(before, supernet(IMAGES, supernet.smallest).detach())


def test_a_step_on_a_view_moves_the_shared_weights_and_only_its_part():
    supernet = Supernet(trick("scale"))
    before = supernet.state()["0/network.conv.weight"].clone()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    supernet(IMAGES, supernet.smallest).square().sum().backward()
    optimizer.step()
    after = supernet.state()["0/network.conv.weight"]
    assert (before[:8] != after[:8]).all()
    assert torch.equal(before[8:], after[8:])
    assert torch.equal(supernet.subnet(supernet.smallest)(IMAGES), supernet(IMAGES, supernet.smallest))


def test_views_of_one_step_add_their_gradients_up():
    supernet = Supernet(trick("scale"))
    first, second = supernet.smallest, supernet.largest
    parts = []
    for architectures in ([first], [second], [first, second]):
        for parameter in supernet.parameters():
            parameter.grad = None
        for architecture in architectures:
            supernet(IMAGES, architecture).square().sum().backward()
        parts.append([parameter.grad.clone() for parameter in supernet.parameters()])
    for one, other, both in zip(*parts, strict=True):
        torch.testing.assert_close(one + other, both)


def test_where_all_shapes_agree_a_view_holds_the_shared_parameters_themselves():
    supernet = Supernet(load_space("pooling_resnet20"))
    view = supernet.view(supernet.space.sample(np.random.default_rng(0)))
    assert {id(p) for p in view.parameters()} == {id(p) for p in supernet.parameters()}


def test_running_statistics_are_shared_even_where_they_are_gathered():
    """The norms of a dense network see channels from several places of the shared statistics."""
    space = space_of(OWN["dense_net"])
    supernet = Supernet(space)
    options = {"network.growth.0": 4, "network.growth.1": 8, "network.growth.2": 12}
    key = "0/network.layers.2.0.running_mean"
    before = supernet.state()[key].clone()
    supernet(IMAGES, space.architecture(options))
    changed = (supernet.state()[key] != before).nonzero().flatten().tolist()
    assert changed == [*range(8), *range(12, 16), *range(24, 32)]


@pytest.mark.parametrize("training", [True, False])
def test_statistics_that_are_gathered_may_be_used_again_before_the_backward(training):
    supernet = Supernet(space_of(OWN["dense_net"])).train(training)
    drawn = [supernet.largest, supernet.smallest, supernet.smallest]
    sum(supernet(IMAGES, architecture).sum() for architecture in drawn).backward()
    assert any(parameter.grad is not None for parameter in supernet.parameters())


def test_a_view_is_kept_and_a_view_that_only_waits_holds_no_copies():
    supernet = Supernet(trick("scale"))
    view = supernet.view(supernet.smallest)
    assert supernet.view(supernet.smallest) is view
    supernet(IMAGES, supernet.smallest).sum().backward()
    shared = {tensor.untyped_storage().data_ptr() for tensor in supernet.state().values()}
    assert {p.untyped_storage().data_ptr() for p in view.parameters()} <= shared


def test_the_mode_of_the_supernet_is_that_of_views_asked_for():
    supernet = Supernet(trick("group_norm"))
    assert supernet.view(supernet.smallest).training
    assert not supernet.eval().view(supernet.smallest).training
    assert not supernet.subnet(supernet.smallest).training


def test_views_work_in_inference_mode_and_train_afterwards():
    supernet = Supernet(trick("flatten"))
    with torch.inference_mode():
        first = supernet(IMAGES, supernet.smallest)
    second = supernet(IMAGES, supernet.smallest)
    assert torch.equal(first, second)
    second.sum().backward()
    assert all(parameter.grad is not None for parameter in supernet.parameters())


def test_changing_weights_between_forward_and_backward_is_an_error_and_not_a_wrong_gradient():
    supernet = Supernet(trick("prelu"))
    loss = supernet(IMAGES, supernet.largest).square().sum()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_supernet_is_freed_with_its_weights():
    supernet = Supernet(trick("scale"))
    supernet(IMAGES, supernet.smallest).sum().backward()
    weight = weakref.ref(supernet.parameters()[0])
    del supernet
    gc.collect()
    assert weight() is None


def test_largest_and_smallest_keep_the_relations():
    space = space_of(
        "{type: sequential, layers: [{type: conv, width: {choice: [4, 8]}}, {type: conv, width: {choice: [4, 6]}}, "
        "{type: global_average_pool}, {type: linear_head}]}",
        more="relations: [{sum: [network.layers.0.width, network.layers.1.width], max: 12}]",
    )
    supernet = Supernet(space)
    assert space.satisfies(supernet.largest)
    assert supernet.largest["network.layers.0.width"] == 8
    assert not space.satisfies(supernet.whole)
    assert list(supernet.smallest.values()) == [4, 4]


def test_a_resolution_that_is_searched_is_no_matter_of_weights():
    text = SPACE.replace("[3, 8, 8]", "[3, {{choice: [8, 12]}}, same]")
    network = "{type: sequential, layers: [{type: conv, width: 4}, {type: global_average_pool}, {type: linear_head}]}"
    space = space_of(network, text=text)
    supernet = Supernet(space)
    small, large = (space.architecture({"task.resolution": side}) for side in (8, 12))
    assert torch.equal(supernet(IMAGES, small), supernet(IMAGES, large))


@pytest.mark.parametrize("kind", ["Looking", "Setting"])
def test_a_network_that_looks_into_its_parts_or_changes_them_is_always_constructed(kind):
    """The first is made for parts of any width; the second gives them what no clone of a part has."""
    width, rate = ("{choice: [4, 8]}", "") if kind == "Looking" else ("8", ", rate: {choice: [1.0, 2.0]}")
    body = f"{{type: conv, in_channels: 3, width: {width}, kernel: {{choice: [1, 3, 5]}}}}"
    space = space_of(f"{{type: 'own:{kind}', body: {body}{rate}}}")
    supernet = Supernet(space)
    for architecture in list(space.enumerate()) * 2:
        supernet._views.clear()
        assert torch.equal(supernet(IMAGES, architecture), supernet.subnet(architecture)(IMAGES))


@pytest.mark.parametrize("mind", ["false", "true"])
def test_what_is_absent_is_left_out_of_a_skeleton_unless_the_network_minds(mind):
    blocks = ", ".join("{optional: {type: conv, in_channels: 3, width: 3}}" for _ in range(6))
    space = space_of(f"{{type: 'own:Counting', blocks: [{blocks}], mind: {mind}}}")
    supernet = Supernet(space)
    for architecture in space.enumerate():
        assert torch.equal(supernet(IMAGES, architecture), supernet.subnet(architecture)(IMAGES))
    if mind == "false":
        builder = Builder(space, {}, torch.device("cpu"), torch.float32)
        before = networks.Counting.constructed
        for architecture in space.enumerate():
            builder.network(architecture)
        assert networks.Counting.constructed - before <= 20, "for 64 architectures"


def test_a_network_made_of_parts_is_constructed_a_few_times_only(monkeypatch):
    from nasengine.networks import nas_bench_201_network as module

    made = []
    construct = module.ReductionBlock
    monkeypatch.setattr(module, "ReductionBlock", lambda *arguments: made.append(1) or construct(*arguments))
    space = load_space("nas_bench_201")
    builder = Builder(space, {}, torch.device("cpu"), torch.float32)
    rng = np.random.default_rng(0)
    for _ in range(12):
        builder.network(space.sample(rng))
    assert len(made) <= 10, "two in each network"


# --- cuts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(slice(0, 2), (0, 3, 4)), ((1, 3), (0, 2, 4)), ((0, 2), slice(1, 4))])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_gathered_part_gets_and_gives_gradients_as_plain_indexing_does(axes, channels_last):
    whole = torch.randn(4, 5, 3, 3, dtype=torch.double)
    if channels_last:
        whole = whole.to(memory_format=torch.channels_last)
    whole = nn.Parameter(whole)
    rows, columns = (
        torch.arange(n)[axis if isinstance(axis, slice) else list(axis)] for n, axis in zip((4, 5), axes, strict=True)
    )
    expected = whole[rows][:, columns]
    cut = Cut((*axes, slice(0, 3), slice(0, 3)), tuple(expected.shape))
    (part,) = Bundle([Part.of(cut, whole)]).take()
    assert torch.equal(part, expected)
    assert part.stride() == dense_strides(tuple(part.shape), whole.stride())
    weights = torch.randn_like(expected)
    (found,) = torch.autograd.grad((part * weights).sum(), whole)
    assert torch.equal(found, torch.autograd.grad((expected * weights).sum(), whole)[0])
