"""The training loop: it learns, repeats bit for bit, resumes bit for bit, and says when it diverges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from nasengine.data import load_data
from nasengine.errors import InputError, RunError, TrialError
from nasengine.training import CheckpointFolder, EpochRecord, evaluate, train, training_settings
from nasengine.training.augmentation import CropFlip, Unchanged
from nasengine.training.batches import Normalize, epoch_batches, epoch_order
from nasengine.training.device import deterministic_kernels, fastest_convolutions
from nasengine.training.weight_average import WeightAverage
from tests.training.networks import TASK, same, small_network, synthetic_part, weights

FAST = training_settings({"batch": 64, "augmentation": "none", "optimizer": {"type": "sgd", "rate": 0.2}})
RICH = training_settings(
    {
        "batch": 64,
        "augmentation": {"type": "crop_flip", "pad": 1},
        "optimizer": {"type": "sgd", "rate": 0.1, "weight_decay": 0.001, "nesterov": True},
        "ema": 0.9,
        "clip_norm": 1.0,
        "drop_last": False,
    }
)
ADAM = training_settings({"batch": 64, "augmentation": "flip", "optimizer": "adamw"})


def trained(settings=FAST, *, epochs=2, seed=0, images=200, **more):
    network = small_network(dropout=0.1)
    report = train(
        network, synthetic_part(images), TASK, settings=settings, budget={"epochs": epochs}, seed=seed, **more
    )
    return network, report


def test_a_small_network_learns_the_made_up_patterns():
    network, report = trained(epochs=8, images=512)
    before = evaluate(small_network(), load_data("synthetic").test, TASK)
    after = evaluate(network, load_data("synthetic").test, TASK)
    assert after["accuracy"] > 0.9 > before["accuracy"]
    assert after["loss"] < before["loss"]
    assert [point["epoch"] for point in report.curve] == list(range(1, 9))
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]
    assert report.images == 8 * 512
    assert not network.training


@pytest.mark.parametrize("settings", [FAST, RICH, ADAM], ids=["fast", "rich", "adamw"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(settings):
    first, again, other = (trained(settings, seed=seed)[0] for seed in (1, 1, 2))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_a_training_does_not_depend_on_what_was_drawn_before_and_leaves_the_global_generators_alone():
    torch.manual_seed(5)
    np.random.seed(5)
    state, array_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = trained()[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == array_state
    torch.manual_seed(6)
    assert same(weights(first), weights(trained()[0]))


@pytest.mark.parametrize("settings", [FAST, RICH, ADAM], ids=["fast", "rich", "adamw"])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_training_that_was_interrupted_goes_on_bit_for_bit(tmp_path, settings, stop_after):
    uninterrupted, whole = trained(settings, epochs=4)

    def interrupt(record: EpochRecord) -> None:
        if record.epoch == stop_after:
            raise KeyboardInterrupt

    checkpoints = CheckpointFolder(tmp_path, "key")
    with pytest.raises(KeyboardInterrupt):
        trained(settings, epochs=4, checkpoints=checkpoints, on_epoch=interrupt)
    epochs: list[int] = []
    resumed, report = trained(settings, epochs=4, checkpoints=checkpoints, on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == list(range(stop_after + 1, 5))
    assert same(weights(uninterrupted), weights(resumed))
    assert report.curve == whole.curve


def test_the_last_two_checkpoints_are_kept(tmp_path):
    trained(epochs=5, checkpoints=CheckpointFolder(tmp_path, "key"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint_000003.safetensors",
        "checkpoint_000004.safetensors",
    ]
    beside = tmp_path / "beside"
    beside.touch()
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {beside.stat().st_mode}, "not the umask's mode"


def test_checkpoints_come_every_so_many_epochs(tmp_path):
    trained(epochs=6, checkpoints=CheckpointFolder(tmp_path, "key", every=2))
    assert sorted(path.name[11:17] for path in tmp_path.iterdir()) == ["000002", "000004"]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    uninterrupted = trained(epochs=4)[0]
    checkpoints = CheckpointFolder(tmp_path, "key")
    trained(epochs=4, checkpoints=checkpoints)
    latest = tmp_path / "checkpoint_000003.safetensors"
    latest.write_bytes(latest.read_bytes()[:100])
    epochs: list[int] = []
    resumed = trained(epochs=4, checkpoints=checkpoints, on_epoch=lambda record: epochs.append(record.epoch))[0]
    assert epochs == [3, 4]
    assert same(weights(uninterrupted), weights(resumed))


def test_checkpoints_of_another_training_are_refused(tmp_path):
    trained(checkpoints=CheckpointFolder(tmp_path, "key"))
    with pytest.raises(RunError, match="other settings"):
        trained(checkpoints=CheckpointFolder(tmp_path, "other"))


def test_finished_checkpoints_are_cleared_away(tmp_path):
    checkpoints = CheckpointFolder(tmp_path / "checkpoints", "key")
    trained(checkpoints=checkpoints)
    (tmp_path / "checkpoints" / ".checkpoint_000009.safetensors.tmp").write_bytes(b"what a kill while writing leaves")
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []
    checkpoints.clear()


def test_a_loss_that_is_no_number_ends_the_training_with_its_reason():
    hot = training_settings({"batch": 64, "optimizer": {"type": "sgd", "rate": 1e30}, "schedule": "constant"})
    with pytest.raises(TrialError, match=r"the training loss became (nan|inf) in epoch \d of 3"):
        trained(hot, epochs=3)


def test_the_rate_follows_the_schedule_step_by_step():
    rates = []

    class Recording(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_network()

        def forward(self, images):
            return self.inner(images)

    settings = training_settings({"batch": 64, "augmentation": "none", "schedule": {"type": "cosine", "last": 0.01}})
    report = train(Recording(), synthetic_part(256), TASK, settings=settings, budget={"epochs": 3}, seed=0,
                   on_epoch=lambda record: rates.append(record.rate))  # fmt: skip
    expected = [0.01 + 0.09 * (1 + math.cos(math.pi * step / 12)) / 2 for step in (3, 7, 11)]
    assert rates == pytest.approx(expected)
    assert [point["rate"] for point in report.curve] == rates


def test_a_budget_in_steps_ends_within_an_epoch():
    network = small_network()
    report = train(network, synthetic_part(256), TASK, settings=FAST, budget={"steps": 6}, seed=0)
    assert report.images == 6 * 64
    assert len(report.curve) == 2


def test_an_epoch_may_be_longer_than_the_data():
    budget = {"epochs": 1, "steps_per_epoch": 10}
    assert train(small_network(), synthetic_part(256), TASK, settings=FAST, budget=budget, seed=0).images == 640


def test_a_part_smaller_than_a_batch_is_one_batch():
    assert train(small_network(), synthetic_part(40), TASK, settings=FAST, budget={"epochs": 2}, seed=0).images == 80


def test_no_images_are_refused():
    with pytest.raises(InputError, match="no images"):
        train(small_network(), synthetic_part(0), TASK, settings=FAST, budget={"epochs": 1}, seed=0)


def test_the_average_of_the_weights_is_handed_over():
    plain = training_settings({"batch": 64, "augmentation": "none", "optimizer": {"type": "sgd", "rate": 0.2}})
    averaged = training_settings(
        {"batch": 64, "augmentation": "none", "optimizer": {"type": "sgd", "rate": 0.2}, "ema": 0.9999}
    )
    start, last, mean = weights(small_network(dropout=0.1)), weights(trained(plain)[0]), weights(trained(averaged)[0])
    assert not same(last, mean)
    name = "0.weight"
    assert (mean[name] - start[name]).norm() < (last[name] - start[name]).norm()
    assert mean["1.num_batches_tracked"] == last["1.num_batches_tracked"]


def test_clipping_bounds_the_step():
    clipped = training_settings(
        {
            "batch": 64,
            "optimizer": {"type": "sgd", "rate": 1.0, "momentum": 0.0},
            "clip_norm": 1e-3,
            "schedule": "constant",
        }
    )
    network = small_network()
    before = torch.cat([p.detach().flatten() for p in network.parameters()])
    train(network, synthetic_part(64), TASK, settings=clipped, budget={"steps": 1}, seed=0)
    after = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_evaluation_is_the_mean_over_images_whatever_the_batch():
    network, part = trained()[0], synthetic_part(100)
    outputs = network.eval()(Normalize(part.mean, part.std)(part.images))
    expected = nn.functional.cross_entropy(outputs, part.labels).item()
    for batch in (7, 100):
        measured = evaluate(network, part, TASK, batch=batch)
        assert measured["loss"] == pytest.approx(expected, rel=1e-5)
        assert measured["accuracy"] == pytest.approx((outputs.argmax(1) == part.labels).float().mean().item())


def test_normalised_pixels_have_zero_mean_and_unit_variance():
    part = load_data("synthetic").train
    pixels = Normalize(part.mean, part.std)(part.images)
    assert pixels.mean().item() == pytest.approx(0, abs=1e-4)
    assert pixels.std().item() == pytest.approx(1, abs=1e-3)
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_an_epoch_shows_every_image_once_and_each_epoch_in_another_order():
    first, second = (epoch_order(100, 100, seed=0, epoch=epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first.tolist() != second.tolist()


def test_batches_do_not_depend_on_how_an_epoch_is_cut_into_pieces_where_nothing_is_drawn(monkeypatch):
    part = synthetic_part(200)
    whole = list(epoch_batches(part, Unchanged(), batch=30, images=200, seed=1, epoch=2))
    monkeypatch.setattr("nasengine.training.batches.PIECE_BYTES", 60 * 64)
    pieces = list(epoch_batches(part, Unchanged(), batch=30, images=200, seed=1, epoch=2))
    assert [len(labels) for _, labels in whole] == [len(labels) for _, labels in pieces] == [30] * 6 + [20]
    for (images, labels), (other_images, other_labels) in zip(whole, pieces, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


def test_augmentation_differs_between_epochs_of_a_seed():
    one = synthetic_part(1)
    part = one.select(np.zeros(64, int))  # the same image over and over: the order of the images cannot matter
    first, second, again = (
        next(iter(epoch_batches(part, CropFlip(), batch=64, images=64, seed=1, epoch=epoch)))[0] for epoch in (0, 1, 0)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_layers_that_draw_draw_anew_in_each_epoch_and_alike_in_each_training():
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.drawn = small_network(), []

        def forward(self, images):
            self.drawn.append(torch.rand(()).item())
            return self.inner(images)

    networks = Drawing(), Drawing()
    for network in networks:
        train(network, synthetic_part(64), TASK, settings=FAST, budget={"epochs": 3}, seed=0)
    assert networks[0].drawn == networks[1].drawn
    assert len(set(networks[0].drawn)) == 3


def test_the_average_follows_by_its_formula():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average, expected = WeightAverage(network, 0.3), 0.0
    for step in range(1, 5):
        nn.init.constant_(network.weight, float(step))
        average.follow()
        kept = min(0.3, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * step
        assert average.values["weight"].item() == pytest.approx(expected, rel=1e-6)
    average.hand_over(network)
    assert network.weight.item() == pytest.approx(expected, rel=1e-6)


def test_cudnn_times_its_kernels_while_many_steps_are_trained_and_never_those_of_grouped_convolutions():
    tries = torch.backends.cudnn.benchmark
    dense, grouped = nn.Sequential(nn.Conv2d(4, 4, 3)), nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    device = torch.device("cuda")
    for networks, wanted, expected in (
        ([dense], True, True),
        ([dense], False, tries),
        ([dense, grouped], True, tries),
        ([dense, nn.Linear(4, 4)], True, True),
    ):
        with fastest_convolutions(networks, device, wanted):
            assert torch.backends.cudnn.benchmark == expected
        assert torch.backends.cudnn.benchmark == tries
    with fastest_convolutions([dense], torch.device("cpu"), True):
        assert torch.backends.cudnn.benchmark == tries
    with fastest_convolutions([dense], device, True), deterministic_kernels(device, True):
        assert not torch.backends.cudnn.benchmark


def test_what_was_said_of_deterministic_kernels_before_a_training_holds_after_it():
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with deterministic_kernels(torch.device("cuda"), True):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
