"""What only a GPU can show of views: they equal copies there, are captured and replayed, and nothing waits for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nasengine.supernet import Supernet
from nasengine.supernet.cuts import Indices, indices
from tests.supernet.networks import OWN, space_of
from tests.watching import nothing_may_wait

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ["dense_net", "transformer"])
def test_on_a_gpu_a_view_equals_a_copy(name):
    space = space_of(OWN[name])
    supernet = Supernet(space, device="cuda")
    images = IMAGES.cuda()
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = space.sample(rng)
        copy = supernet.subnet(architecture)
        torch.testing.assert_close(supernet(images, architecture), copy(images), rtol=1e-6, atol=1e-6)


def test_a_view_can_be_captured_and_follows_the_weights_when_it_is_replayed():
    space = space_of(OWN["dense_net"])
    supernet = Supernet(space, device="cuda")
    architecture = space.sample(np.random.default_rng(0))
    images = IMAGES.cuda()

    def step() -> None:
        supernet(images, architecture).square().sum().backward()

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
            for parameter in supernet.parameters():
                parameter.grad = None
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.mul_(1.5)
    graph.replay()
    torch.cuda.synchronize()
    found = [None if parameter.grad is None else parameter.grad.clone() for parameter in supernet.parameters()]
    for parameter in supernet.parameters():
        parameter.grad = None
    step()
    for parameter, gradient in zip(supernet.parameters(), found, strict=True):
        if gradient is not None:
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)


def test_a_new_view_does_not_wait_for_the_device():
    space = space_of(OWN["dense_net"])
    supernet = Supernet(space, device="cuda")
    images = IMAGES.cuda()
    rng = np.random.default_rng(0)
    supernet(images, space.sample(rng))
    torch.cuda.synchronize()
    with nothing_may_wait():
        for _ in range(5):
            supernet(images, space.sample(rng)).sum().backward()


def test_indices_are_there_for_whichever_stream_asks_next():
    stream = torch.cuda.Stream()
    axis = Indices.of(range(7, 1007, 3))
    torch.cuda._sleep(500_000_000)  # what the stream that asks first is at
    indices(axis, torch.device("cuda", 0))
    with torch.cuda.stream(stream):
        found = indices(axis, torch.device("cuda", 0)).clone()
    stream.synchronize()
    assert found.tolist() == list(axis)
