"""What a view of shared weights keeps, for every network: it computes what a stand-alone copy computes, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasengine.build import example_input
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace, load_space, shipped
from nasengine.supernet import Supernet
from nasengine.supernet.keys import tensors
from tests.contracts.examples import space_with
from tests.supernet.networks import COMPOSED, OWN, TRICKS, space_of, trick

FEW, MANY = 4, 20  # architectures of a space; the large ones wait for the thorough run
# Ten seconds of a processor and more for each architecture: CI compares a few of the first of them.
LARGE = {
    "space vit_resnas_tiny": 3,
    "space pooling_resnet50_cifar": 2,
    "space pooling_resnet50": 2,
    "space vit_resnas_small": 0,
    "space vit_resnas_medium": 0,
}
SIDES = {"mobile_cnn": 32, "mobile_cnn_cifar": 32, "pooling_resnet50": 64}  # of images, where networks take any

CASES = {
    **{f"type {name}": lambda name=name: space_with(name) for name in NETWORK_TYPES},
    **{f"space {name}": lambda name=name: load_space(name) for name in shipped("search_spaces")},
    **{f"composed {name}": lambda text=text: space_of(text) for name, text in COMPOSED.items()},
    **{f"own {name}": lambda text=text: space_of(text) for name, text in OWN.items()},
    **{f"trick {name}": lambda name=name: trick(name) for name in TRICKS},
}
# Shipped spaces take seconds to survey: one is in the default run, the small spaces show everything that they have.
SHOWN = [name for name in CASES if not name.startswith("space ") or name == "space pooling_resnet20"]


def images_for(space: SearchSpace, architecture) -> torch.Tensor:
    images = example_input(space, architecture, batch=3, device="cpu")
    side = SIDES.get(space.name)
    return images[..., :side, :side]


def agree(space: SearchSpace, count: int) -> None:
    """Views equal copies: outputs, running statistics and gradients, in training and in evaluation."""
    supernet = Supernet(space, models=2, seed=1)
    rng = np.random.default_rng(0)
    with torch.no_grad():  # so that nothing is hidden by a zero or a one
        for parameter in supernet.parameters(1):
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    for number in range(count):
        architecture = supernet.largest if number == 0 else space.sample(rng)
        images = images_for(space, architecture)
        for training in (True, False):
            supernet.train(training)
            run_both(supernet, architecture, images)
        with torch.no_grad():
            assert torch.equal(supernet(images, architecture, model=1), supernet.subnet(architecture, model=1)(images))


def run_both(supernet: Supernet, architecture, images: torch.Tensor) -> None:
    """The copy to its gradients, then the view: what one keeps for them is let go before the other begins."""
    copy = supernet.subnet(architecture, model=1)
    state = torch.get_rng_state()
    expected = copy(images)
    expected.square().sum().backward()
    torch.set_rng_state(state)  # dropout
    for parameter in supernet.parameters(1):
        parameter.grad = None
    found = supernet(images, architecture, model=1)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    compare(supernet, architecture, copy)


def compare(supernet: Supernet, architecture, copy: torch.nn.Module) -> None:
    """The copy's gradients are the parts of the shared ones, which are zero elsewhere; statistics are the parts."""
    held = list(tensors(copy))
    cuts = supernet.parts.cuts(held, supernet._inputs(architecture, held))
    store = supernet.store(1)
    used = set()
    for each, cut in zip(held, cuts, strict=True):
        shared = store[each.key]
        used.add(each.key)
        if not isinstance(shared, torch.nn.Parameter):
            assert torch.equal(cut.of(shared), each.tensor), each.key
        elif each.tensor.grad is None:
            assert shared.grad is None, each.key
        else:
            assert torch.equal(cut.of(shared.grad), each.tensor.grad), each.key
            assert torch.count_nonzero(shared.grad) == torch.count_nonzero(each.tensor.grad), each.key
    assert all(store[key].grad is None for key in store.keys() - used), "what an architecture has not gets no gradient"


@pytest.mark.parametrize("case", SHOWN)
def test_a_view_equals_a_stand_alone_copy_bit_for_bit(case):
    agree(CASES[case](), FEW)


@pytest.mark.thorough
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("case", "count"),
    [
        *((case, LARGE.get(case, MANY)) for case in CASES if LARGE.get(case, MANY)),
        *(pytest.param(case, MANY, marks=pytest.mark.slow) for case in LARGE),
    ],
)
def test_many_views_equal_stand_alone_copies_bit_for_bit(case, count):
    agree(CASES[case](), count)
