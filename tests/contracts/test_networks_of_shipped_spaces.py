"""What every shipped search space keeps: it checks clean, its networks train, its known costs are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from nasengine.build import check_space, example_input, instantiate, resolve
from nasengine.space import load_space, shipped
from tests.contracts.shipped_spaces import CASES

SPACES = shipped("search_spaces")
EXPECTED = {
    "quickstart",
    "pooling_resnet20",
    "pooling_resnet20_scales",
    "pooling_resnet18",
    "pooling_resnet50",
    "pooling_resnet50_cifar",
    "mobile_cnn",
    "mobile_cnn_cifar",
    "inception_like",
    "inception_like_224",
    "nas_bench_201",
    "vit_resnas_tiny",
    "vit_resnas_small",
    "vit_resnas_medium",
}
LARGEST_RUN = 6e7  # MACs that a test may compute on a CPU; larger networks run without memory


@pytest.fixture(params=CASES)
def space(request):
    return load_space(request.param)


def test_the_spaces_of_the_catalogue_are_shipped():
    assert set(SPACES) >= EXPECTED


def test_its_name_is_its_file_and_it_says_what_it_is_about(space):
    assert SPACES[space.name].stem == space.name
    assert space.about, "a shipped space says what it is about: write `about:`"
    assert space.source, "a shipped space says where it is from: write `source:`, a paper or a person"
    assert "default" in space.known, (
        "a shipped space has the baseline `known: {default: {architecture: {…}, macs: …, params: …}}`; "
        "`nasengine cost SPACE ARCHITECTURE` counts them"
    )


def test_plain_yaml_reads_it_alike(space):
    """A YAML 1.1 reader must not see other values (yes, on, 1_000, dates) than ours."""
    text = SPACES[space.name].read_text()
    if "extends:" not in text:
        assert yaml.safe_load(text) == space.tree.resolved


def test_it_checks_clean(space):
    assert check_space(space) == []


def macs(space, architecture) -> int:
    """By PyTorch's own counter, which counts two for each multiply-accumulate."""
    with torch.device("meta"):
        network = instantiate(resolve(space, architecture)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(example_input(space, architecture))
    return counter.get_total_flops() // 2


def test_its_known_costs_are_exact(space):
    for known in space.known.values():
        missing = {"macs", "params"} - set(known.costs)
        assert not missing, (
            f"known.{known.name} says no {' and no '.join(sorted(missing))}; `nasengine cost` counts them"
        )
        assert macs(space, known.architecture) == known.costs["macs"]
        with torch.device("meta"):
            parameters = instantiate(resolve(space, known.architecture)).parameters()
        assert sum(parameter.numel() for parameter in parameters) == known.costs["params"]


def test_random_architectures_build_and_run_forward_and_backward(space):
    rng = np.random.default_rng(0)
    for _ in range(2):
        architecture = space.sample(rng)
        small = macs(space, architecture) < LARGEST_RUN
        device = "cpu" if small else "meta"
        with torch.device(device):
            network = instantiate(resolve(space, architecture)).train()
        scores = network(example_input(space, architecture, batch=2, device=device))
        assert scores.shape == (2, space.task.settings["classes"])
        torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1], device=device)).backward()
        untrained = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert all(".edges." in name for name in untrained), "only what a cell leaves unused may have no gradient"
        if small:
            assert torch.isfinite(scores).all()


def test_each_known_architecture_satisfies_the_relations(space):
    assert all(space.satisfies(known.architecture) for known in space.known.values())


@pytest.mark.parametrize(
    ("name", "size"),
    [("pooling_resnet20", 36), ("pooling_resnet18", 56), ("pooling_resnet50", 455), ("pooling_resnet50_cifar", 455)],
)
def test_the_pooling_spaces_hold_as_many_architectures_as_published(name, size):
    assert sum(1 for _ in load_space(name).enumerate()) == size


def test_quickstart_is_a_question_of_a_few_thousand_architectures_within_a_budget():
    space = load_space("quickstart")
    assert 1_000 < sum(1 for _ in space.enumerate()) < 10_000
    assert [bound.cost for bound in space.constraints] == ["macs"]
    default = space.known["default"]
    assert default.costs["macs"] <= space.constraints[0].high
