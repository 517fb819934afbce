"""What only a GPU can show: steps that are replayed train like eager ones, and the processor does not wait."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasengine.algorithms.supernet_samplers import Pass
from nasengine.networks import NETWORK_TYPES
from nasengine.preparation import train_shared_weights
from nasengine.preparation.copying import begin_as
from nasengine.preparation.graphs import StepGraphs
from nasengine.space import space_from_mapping
from nasengine.training.device import deterministic_kernels
from tests.preparation.small import WIDTHS, begun, weights, width_space
from tests.preparation.test_shared_weights import MIXTURE, Fixed
from tests.watching import nothing_may_wait

pytestmark = pytest.mark.gpu
EXACT = {"precision": "float32"}


def trained(folder, sampler="single_path", settings=None, **more):
    training = begun(folder, sampler, {**EXACT, **(settings or {})}, device="cuda", **{"budget": {"epochs": 8}, **more})
    # Kernels whose sums differ from run to run take two trainings apart within a few steps.
    with deterministic_kernels(torch.device("cuda"), True):
        train_shared_weights([training])
    return training


def two_layers_without_dropout():
    layer = {"type": "conv_norm_activation", "width": {"choice": [4, 6, 8]}, "kernel": {"choice": [3, 5]}}
    return {"type": "sequential", "layers": [layer, layer, {"type": "global_average_pool"}, {"type": "linear_head"}]}


def close(first, second, tolerance=1e-3):
    for key, value in first.items():
        assert torch.allclose(value.double(), second[key].double(), rtol=1e-2, atol=tolerance), key


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": {"type": "sgd", "rate": 0.05, "weight_decay": 0.01, "nesterov": True}, "clip_norm": 1.0},
        {"optimizer": "adamw", "ema": 0.9},
    ],
    ids=["sgd", "rich", "adamw"],
)
def test_replayed_steps_train_like_eager_ones(tmp_path, settings):
    eager = trained(tmp_path / "eager", settings={**settings, "cuda_graph": False})
    replayed = trained(tmp_path / "replayed", settings=settings)
    assert eager.graphs.replayed == eager.graphs.captured == 0
    assert replayed.graphs.captured == 3
    assert replayed.graphs.eager == 3
    assert replayed.graphs.replayed == 8 * 4 - 3 - 3
    close(weights(eager), weights(replayed))
    losses = [[line["loss"] for line in each.history] for each in (eager, replayed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # see test_compiled_masks.py
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own compiler, when it is imported
def test_masked_steps_of_any_architectures_are_one_graph_and_train_like_eager_ones(tmp_path):
    sampler = {"type": "multi_architecture", "architectures": 4}
    space = space_from_mapping({**WIDTHS, "network": two_layers_without_dropout()}, "two_layers.yaml")
    settings = {"ema": 0.9, "clip_norm": 1.0}
    eager = trained(tmp_path / "eager", sampler, {**settings, "cuda_graph": False}, space=space)
    replayed = trained(tmp_path / "replayed", sampler, settings, space=space)
    assert eager.graphs.captured == 0
    assert (replayed.graphs.eager, replayed.graphs.captured, replayed.graphs.replayed) == (1, 1, 30)
    close(weights(eager), weights(replayed))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_models_that_begin_as_copies_are_replayed_from_where_they_lie(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "ema": 0.9}
    sampler = {**MIXTURE, "together": 0.5}
    more = {"sampler": sampler, "budget": {"epochs": 16}}
    eager = trained(tmp_path / "eager", settings={**settings, "cuda_graph": False}, **more)
    replayed = trained(tmp_path / "replayed", settings=settings, **more)
    assert replayed.graphs.captured > 3, "of both models"
    close(weights(eager), weights(replayed))


def test_a_graph_of_a_model_reads_what_it_begins_as(tmp_path):
    training = begun(tmp_path, settings=EXACT, device="cuda", sampler=MIXTURE, budget={"epochs": 8})
    architecture = training.supernet.space.known["middle"].architecture
    training.sampler = Fixed(Pass((architecture,), 0), Pass((architecture,), 1))
    with deterministic_kernels(torch.device("cuda"), True):
        for _ in range(4):
            training.step()
        assert training.graphs.captured == 1
        with torch.cuda.stream(training.graphs.stream):
            begin_as({1: 0}, supernet=training.supernet, optimizers=training.optimizers, averages=[])
        for _ in range(3):
            training.step()
        training.graphs.stream.synchronize()  # weights are read on another stream
    assert training.graphs.captured == 1
    found = weights(training)
    close(
        {key: value for key, value in found.items() if key[0] == "0"},
        {f"0{k[1:]}": v for k, v in found.items() if k[0] == "1"},
    )


def test_the_first_steps_on_a_gpu_are_those_on_a_cpu(tmp_path):
    on_cpu = begun(tmp_path / "cpu", MIXTURE, EXACT, budget={"epochs": 1}, augmentation="none")
    on_gpu = begun(tmp_path / "gpu", MIXTURE, EXACT, budget={"epochs": 1}, augmentation="none", device="cuda")
    train_shared_weights([on_cpu])
    train_shared_weights([on_gpu])
    close(weights(on_cpu), weights(on_gpu))


def test_what_is_observed_is_replayed_too_and_right(tmp_path):
    training = begun(tmp_path, settings=EXACT, device="cuda", budget={"epochs": 4})
    one, other, _ = training.supernet.space.enumerate()
    training.sampler = Fixed(Pass((one,)), Pass((other,)))
    training.sampler.observes = True
    part = training.validation
    while training.step():
        if len(training.sampler.observed) == 10:
            break
        with torch.cuda.stream(training.graphs.stream), torch.no_grad():
            begin = (training.done - 1) % 4 * 64
            training.supernet.eval()
            images = training.staging.normalize(part.images[begin : begin + 64])
            labels = part.labels[begin : begin + 64]
            expected = [
                [float((training.supernet(images, each).argmax(1) == labels).double().mean())] for each in (one, other)
            ]
        training._collect()
        assert training.sampler.observed[-1][1] == [pytest.approx(row, abs=1.5 / 64) for row in expected]
    assert (training.graphs.eager, training.graphs.captured, training.graphs.replayed) == (1, 1, 9), "one for a step"


def test_trainings_in_turn_agree_with_each_alone(tmp_path):
    alone = trained(tmp_path / "alone", MIXTURE)
    together = [
        begun(tmp_path / f"{seed}", MIXTURE, EXACT, device="cuda", budget={"epochs": 8}, seed=seed) for seed in (3, 4)
    ]
    train_shared_weights(together)
    assert [line["loss"] for line in alone.history[:2]] == pytest.approx(
        [line["loss"] for line in together[0].history[:2]], rel=1e-2
    )
    assert together[0].graphs.stream != together[1].graphs.stream


def test_parts_of_tensors_and_dropout_are_replayed(tmp_path):
    training = trained(tmp_path, space=width_space(), budget={"epochs": 12})
    assert training.graphs.captured == 3
    assert training.history[-1]["loss"] < training.history[0]["loss"]


def test_what_layers_draw_in_trainings_that_take_turns_is_what_they_draw_alone(tmp_path):
    more = {"space": width_space(), "budget": {"epochs": 8}}
    alone = [trained(tmp_path / f"alone{seed}", seed=seed, **more) for seed in (3, 4)]
    together = [begun(tmp_path / f"{seed}", "single_path", EXACT, device="cuda", seed=seed, **more) for seed in (3, 4)]
    with deterministic_kernels(torch.device("cuda"), True):
        train_shared_weights(together)
    for one, other in zip(alone, together, strict=True):
        close(weights(one), weights(other))


def test_within_an_epoch_nothing_waits_for_the_device(tmp_path):
    training = begun(tmp_path, settings=EXACT, device="cuda", budget={"epochs": 2, "steps_per_epoch": 40})
    for _ in range(20):
        training.step()
    with nothing_may_wait():
        for _ in range(15):
            training.step()


class Deciding(nn.Module):
    """A layer that looks at a tensor's values, which no graph can hold."""

    def forward(self, x):
        return x if x.is_meta or x.mean().item() < 100 else -x


def test_what_waits_for_the_device_stays_eager(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORK_TYPES, "deciding", Deciding)
    plain = dict(width_space().tree.resolved)
    layers = [{"type": "deciding"}, *plain["network"]["layers"]]
    space = space_from_mapping({**plain, "network": {**plain["network"], "layers": layers}}, "deciding.yaml")
    training = trained(tmp_path, space=space)
    assert training.graphs.captured == 0
    assert training.graphs.eager == 32


def test_an_interrupted_training_goes_on(tmp_path):
    def stop(epoch):
        if epoch.epoch == 4:
            raise KeyboardInterrupt

    whole = trained(tmp_path / "whole")
    pieces = begun(tmp_path / "pieces", "single_path", EXACT, device="cuda", budget={"epochs": 8})
    pieces.on_epoch = stop
    with deterministic_kernels(torch.device("cuda"), True), pytest.raises(KeyboardInterrupt):
        train_shared_weights([pieces])
    resumed = trained(tmp_path / "pieces")
    assert resumed.history[0]["epoch"] == 1
    assert len(resumed.history) == 8
    close(weights(whole), weights(resumed))


def test_few_graphs_are_kept_where_few_are_allowed():
    stream = torch.cuda.Stream()
    graphs, total = StepGraphs(stream, most=2), torch.zeros((), device="cuda")
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            for amount in (1, 2, 3):

                def work(_, amount=amount):
                    total.add_(amount)

                graphs.run(amount, work, lambda: None)
    stream.synchronize()
    assert total.item() == 18
    assert graphs.captured == 6
