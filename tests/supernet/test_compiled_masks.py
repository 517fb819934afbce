"""Compiled masked passes: one graph for a plan, whichever of its architectures and of the models run."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from nasengine.supernet import Supernet, masks
from tests.contracts.examples import parse

# PyTorch's own: its compiler makes an instance of `autograd.Function` to trace one, and warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

VIT = """
name: small_vit
about: a small multi-stage vision transformer
task: {kind: image_classification, input: [3, 16, 16], classes: 5}
network:
  type: vit_resnas
  patch: 4
  stem_width: 8
  stages:
    - width: {choice: [16, 12]}
      blocks: [&a {type: transformer_block, width: {same_as: network.stages.0.width}, heads: {choice: [3, 2, 1]},
                   head_dim: 4, mlp_width: {choice: [32, 24, 16]}}, {optional: *a}]
    - width: {choice: [32, 24]}
      blocks: [&b {type: transformer_block, width: {same_as: network.stages.1.width}, heads: {choice: [3, 2, 1]},
                   head_dim: 8, mlp_width: {choice: [64, 48]}}, {optional: *b}]
"""
CNN = """
name: small_cnn
about: widths, expansions, kernels, squeeze-and-excitation and depth
task: {kind: image_classification, input: [3, 16, 16], classes: 5}
let: {width: {choice: [8, 12]}}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: 8}
    - {type: mbconv, width: {use: width}, expansion: {choice: [2, 3]}, stride: 2}
    - repeat: {choice: [1, 2]}
      of: {type: mbconv, width: {use: width}, kernel: {choice: [3, 5]}, expansion: {choice: [2, 3]},
           squeeze_excite: {choice: [false, true]}}
    - {type: global_average_pool}
    - {type: linear_head}
"""
SMALL = """
name: small
about: two widths
task: {kind: image_classification, input: [3, 16, 16], classes: 5}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [4, 6, 8]}}
    - {type: conv_norm_activation, width: {choice: [4, 8]}}
    - {type: global_average_pool}
    - {type: linear_head}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASENGINE_CACHE", str(tmp_path))


def together(supernet: Supernet, count: int):
    """Endless groups of different architectures that share a pass."""
    rng = np.random.default_rng(0)
    drawn = list(dict.fromkeys(supernet.space.sample(rng) for _ in range(80)))
    plan = max(supernet.plans(drawn), key=lambda plan: len(plan.architectures))
    assert plan.masked, plan.note
    for start in itertools.count(0, count):
        yield [plan.architectures[(start + i) % len(plan.architectures)] for i in range(count)]


def steps(text: str, counter, monkeypatch, device: str = "cpu", memory=torch.contiguous_format) -> float:
    """Train some steps compiled; the largest difference from the same steps without."""
    compile_with = torch.compile
    monkeypatch.setattr(masks.torch, "compile", lambda run, **options: compile_with(run, backend=counter, **options))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the compiler says when it is imported
        torch._dynamo.reset()
    supernet = Supernet(parse(text), models=2, device=device)
    groups = together(supernet, 4)
    images = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(device, memory_format=memory)
    worst = 0.0
    for model in (0, 0, 0, 1, 1):
        architectures = next(groups)
        found = []
        for compiled in (True, False):
            supernet.compiled = compiled
            parameters = dict(supernet.named_parameters(model))
            scores = supernet.batch(images, architectures, model=model)
            gradients = torch.autograd.grad(scores.square().sum(), list(parameters.values()), allow_unused=True)
            found.append((scores.detach(), torch.cat([g.flatten() for g in gradients if g is not None])))
        for one, other in zip(*found, strict=True):
            assert torch.isfinite(one).all()
            worst = max(worst, float((one - other).norm() / other.norm()))
    return worst


@pytest.mark.thorough
@pytest.mark.parametrize("text", [VIT, CNN], ids=["vit", "cnn"])
def test_other_architectures_and_models_need_no_other_graph(text, monkeypatch):
    counter = CompileCounterWithBackend("aot_eager")
    assert steps(text, counter, monkeypatch) < 1e-4
    assert counter.frame_count == 1


@pytest.mark.thorough
def test_every_number_of_architectures_is_compiled(monkeypatch):
    """The compiler stops at a few graphs of one function, and goes on without."""
    counter = CompileCounterWithBackend("eager")
    compile_with = torch.compile
    monkeypatch.setattr(masks.torch, "compile", lambda run, **options: compile_with(run, backend=counter, **options))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the compiler says when it is imported
        torch._dynamo.reset()
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    supernet = Supernet(parse(SMALL), compiled=True)
    (plan,) = supernet.plans(list(supernet.space.enumerate()))
    assert plan.masked, plan.note
    for count in (2, 3, 4, 5, 2, 3):
        supernet.batch(torch.randn(2 * count, 3, 16, 16), plan.architectures[:count])
    assert counter.frame_count == 4


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")  # the compiler's advice; here it would be too coarse
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("text", [VIT, CNN], ids=["vit", "cnn"])
def test_on_a_gpu_compiled_masks_are_those_that_are_not(text, memory, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    counter = CompileCounterWithBackend("inductor")
    assert steps(text, counter, monkeypatch, "cuda", memory) < 1e-3
    assert counter.frame_count == 1


@pytest.mark.gpu
@pytest.mark.parametrize("text", [VIT, CNN], ids=["vit", "cnn"])
def test_on_a_gpu_masks_are_views(text, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    supernet = Supernet(parse(text), device="cuda")
    architectures = next(together(supernet, 4))
    images = torch.randn(12, 3, 16, 16, device="cuda")
    scores = supernet.batch(images, architectures)
    for number, architecture in enumerate(architectures):
        torch.testing.assert_close(scores[number::4], supernet(images[number::4], architecture), rtol=1e-3, atol=1e-4)


def test_in_half_precision_masks_are_as_precise_as_views():
    supernet = Supernet(parse(CNN.replace("width: 8}", "width: {choice: [8, 16]}, norm: {kind: group, groups: 4}}")))
    architectures = next(together(supernet, 4))
    images = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    exact = [supernet(images[number::4], architecture).detach() for number, architecture in enumerate(architectures)]
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        scores = supernet.batch(images, architectures).float()
        views = [supernet(images[number::4], a).float() for number, a in enumerate(architectures)]
    for number, (view, own) in enumerate(zip(views, exact, strict=True)):
        assert (scores[number::4] - own).norm() < 2 * (view - own).norm() + 1e-3 * own.norm()
