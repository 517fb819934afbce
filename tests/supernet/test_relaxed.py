"""A relaxed supernet is the weighted sum that it says it is, and the plain network where one option has all weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nasengine as nas
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.relaxed import Mixture, RelaxedSupernet
from nasengine.supernet.supernet import Supernet

BATCH_NORM = {"affine": False, "statistics": "batch"}
HEAD = [{"type": "global_average_pool"}, {"type": "linear_head"}]
CONV = {"type": "conv_norm_activation", "width": 4, "kernel": 3, "norm": BATCH_NORM}


def space_of(network: dict[str, Any], **more: Any) -> SearchSpace:
    task = {"kind": "image_classification", "input": [2, 8, 8], "classes": 3}
    return space_from_mapping({"name": "small", "task": task, "network": network, **more}, "small.yaml")


def series(*layers: Any, **more: Any) -> SearchSpace:
    return space_of({"type": "sequential", "layers": [*layers, *HEAD]}, **more)


def scales(blocks: int = 2) -> SearchSpace:
    network = {"type": "scaled_residual_network", "stem_width": 4, "widths": [4, 6][:blocks], "norm": BATCH_NORM}
    return space_of({**network, "scales": [{"choice": [1, 2, 4]}] * blocks})


OPERATION = {"choice": {"conv": {**CONV, "kernel": {"choice": [1, 3]}}, "pool": {"type": "max_pool"}}}
CELL = {"type": "cell", "nodes": 3, "edges": {"all": {"choice": {"a": {**CONV}, "b": {"type": "identity"}}}}}
SPACES = {
    "scales": scales(),
    "kernels": series({**CONV, "kernel": {"choice": [1, 3, 5]}}, {**CONV, "activation": {"choice": ["relu", "silu"]}}),
    "operations, one with a choice of its own": series(CONV, OPERATION, CONV),
    "widths": series({**CONV, "width": {"choice": [2, 4]}}, CONV),
    "an optional block": series(CONV, {"optional": CONV}, CONV),
    "a shared decision in two places": series(CONV, {"use": "op"}, CONV, {"use": "op"}, let={"op": OPERATION}),
    "a cell": series(CONV, CELL),
    "two choices of one block": series(
        {**CONV, "kernel": {"choice": [1, 3]}, "activation": {"choice": ["relu", "silu"]}}
    ),
    "places of pools": space_of(
        {
            "type": "residual_network",
            "widths": [4, 4, 4],
            "stem_width": 4,
            "norm": BATCH_NORM,
            "downsample": "max_pool",
            "downsample_at": {"subset": {"of": [1, 2, 3], "size": 1}},
        }
    ),
}  # fmt: skip


def relaxed_of(space: SearchSpace) -> RelaxedSupernet:
    return RelaxedSupernet(Supernet(space, seed=1, dtype=torch.float64))


def images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def settle(relaxed: RelaxedSupernet, architecture: nas.Architecture) -> None:
    """Give one option of every choice all the weight."""
    row = relaxed.supernet.space.encode(architecture).tolist()
    with torch.no_grad():
        for logits, option in zip(relaxed.logits.values(), row, strict=True):
            logits.fill_(-torch.inf)
            logits[max(option, 0)] = 0.0


def test_a_mixture_is_the_sum_of_its_options_weighted_by_softmax():
    options = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    mixture = Mixture(options, torch.nn.Parameter(torch.log(torch.tensor([1.0, 2.0, 5.0]))))
    x = torch.randn(4, 3)
    expected = options[0](x) / 8 + options[1](x) * 2 / 8 + options[2](x) * 5 / 8
    torch.testing.assert_close(mixture(x), expected)


def test_every_block_is_mixed_over_the_scales_on_the_same_weights():
    space = scales()
    relaxed = relaxed_of(space)
    with torch.no_grad():
        relaxed.logits["network.scales.0"].copy_(torch.log(torch.tensor([0.5, 0.2, 0.3])))
        relaxed.logits["network.scales.1"].copy_(torch.log(torch.tensor([0.1, 0.6, 0.3])))
    network = relaxed.supernet.view(space.architecture({"network.scales.0": 1, "network.scales.1": 1}))
    x = network.stem(images())
    for block, weights in zip(network.blocks, ((0.5, 0.2, 0.3), (0.1, 0.6, 0.3)), strict=True):
        mixed = weights[0] * block.body(x)
        for scale, weight in zip((2, 4), weights[1:], strict=True):
            small = block.body(torch.nn.functional.max_pool2d(x, scale))
            mixed = mixed + weight * small.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        x = mixed
    expected = network.classifier(x.mean((2, 3)))
    torch.testing.assert_close(relaxed(images()), expected, rtol=1e-6, atol=1e-7)  # softmax of logs in single precision


@pytest.mark.parametrize("name", SPACES)
def test_with_all_weight_on_one_option_it_is_the_plain_network(name):
    space = SPACES[name]
    relaxed = relaxed_of(space)
    rng = np.random.default_rng(0)
    for architecture in {space.sample(rng) for _ in range(12)}:
        settle(relaxed, architecture)
        alone = relaxed.supernet.subnet(architecture)
        torch.testing.assert_close(relaxed(images()), alone(images()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["scales", "operations, one with a choice of its own", "widths"])
def test_gradients_of_logits_and_weights_are_those_of_finite_differences(name):
    relaxed = relaxed_of(SPACES[name])
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for logits in relaxed.logits.values():
            logits.copy_(torch.randn(logits.shape, generator=rng, dtype=torch.float64))
    target = torch.randn(6, 3, generator=rng, dtype=torch.float64)

    def loss() -> torch.Tensor:
        return (relaxed(images()) * target).sum()

    kernel = next(p for _, p in relaxed.supernet.named_parameters() if p.dim() == 4)
    loss().backward()
    learned = [(logits, logits.grad, range(len(logits))) for logits in relaxed.logits.values()]
    step = 1e-6
    for tensor, grad, places in (*learned, (kernel.view(-1), kernel.grad.view(-1), (0, 5))):
        for place in places:
            with torch.no_grad():
                tensor[place] += step
                above = float(loss())
                tensor[place] -= 2 * step
                below = float(loss())
                tensor[place] += step
            assert float(grad[place]) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-6)


def test_a_decision_used_in_two_places_has_one_set_of_logits_and_is_mixed_in_both():
    relaxed = relaxed_of(SPACES["a shared decision in two places"])
    mixtures = [module for module in relaxed.network.modules() if isinstance(module, Mixture)]
    assert len(relaxed.logits) == 2  # of the operation, and of the kernel within
    assert sum(mixture.logits is relaxed.logits["let.op"] for mixture in mixtures) == 2


def test_the_blocks_that_no_choice_changes_are_not_run_more_than_once():
    relaxed = relaxed_of(SPACES["scales"])
    runs = []
    stem, first = relaxed.network.stem, relaxed.network.blocks[0]
    for module in (stem, first):
        module.register_forward_hook(lambda module, inputs, output: runs.append(module))
    relaxed(images())
    assert runs == [stem, first]
    assert isinstance(first, Mixture)


def test_the_most_probable_options_are_its_architecture():
    space = SPACES["operations, one with a choice of its own"]
    relaxed = relaxed_of(space)
    for architecture in space.enumerate():
        settle(relaxed, architecture)
        assert relaxed.architecture() == architecture


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (
            series(
                {**CONV, "width": {"choice": [2, 4]}},
                {**CONV, "width": {"choice": [2, 4]}},
                relations=[{"order": ["network.layers.0.width", "network.layers.1.width"], "is": "not_decreasing"}],
            ),
            "relations between choices",
        ),
        (
            space_from_mapping(
                {
                    "name": "sizes",
                    "task": {"kind": "image_classification", "input": [2, {"choice": [8, 16]}, "same"], "classes": 3},
                    "network": {"type": "sequential", "layers": [CONV, *HEAD]},
                },
                "sizes.yaml",
            ),
            "changes no module",
        ),
    ],
)
def test_what_cannot_be_mixed_is_refused_with_the_reason(space, reason):
    with pytest.raises(SupernetError, match=reason):
        RelaxedSupernet(Supernet(space))


@pytest.mark.thorough
def test_nas_bench_201_is_mixed_at_every_edge_of_every_cell():
    space = nas.load_space("nas_bench_201")
    override = {"width": 4, "cells_per_stage": 1}
    relaxed = RelaxedSupernet(Supernet(space, network=override))
    mixtures = [module for module in relaxed.network.modules() if isinstance(module, Mixture)]
    assert len(mixtures) == 3 * 6
    relaxed(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(float(logits.grad.abs().sum()) > 0 for logits in relaxed.logits.values())
