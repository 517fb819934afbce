"""What only a GPU can show of cohorts: graphs side by side train each member as it trains alone.

Tolerances. With `deterministic` the same kernels run on the same numbers, so weights agree bit for bit. Without, sums
are added in an order that differs from run to run, also of `train`: weights after 60 steps then lie as far apart as
those of two trainings alone (a percent of their norm), and compiled blocks, which round elsewhere, give the same
accuracy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from nasengine.errors import TrialError
from nasengine.training import (
    OPTIMIZERS,
    CheckpointFolder,
    Member,
    TrainingReport,
    cohort_lanes,
    evaluate,
    train,
    train_cohort,
    training_settings,
)
from nasengine.training.batches import epoch_batches
from nasengine.training.cohort_lanes import Lane
from nasengine.training.cohort_step import CohortStep, reads_rate_from_device
from tests.training.networks import TASK, same, synthetic_part, weights
from tests.watching import nothing_may_wait

pytestmark = pytest.mark.gpu
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, so before anything uses cuBLAS

BASE = {
    "batch": 32,
    "augmentation": {"type": "crop_flip", "pad": 1},
    "precision": "float32",
    "optimizer": {"type": "sgd", "rate": 0.05},
    "compiled": "no",
}
RICH = {"ema": 0.9, "clip_norm": 1.0, "optimizer": {"type": "adamw", "rate": 0.01}, "label_smoothing": 0.1}
BUDGET = {"epochs": 4}  # of 16 steps


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        return x + torch.relu(self.norm(self.conv(x)))


class Small(nn.Module):
    """Blocks in a list, no layer whose gradient is added up in an order that differs."""

    def __init__(
        self, seed: int, *, dropout: float = 0.0, deciding: bool = False, writing: bool = False, width: int = 8
    ) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            self.stem = nn.Conv2d(1, width, 3, padding=1)
            self.blocks = nn.ModuleList(Block(width) for _ in range(3))
            self.drop, self.head = nn.Dropout(dropout), nn.Linear(width, 4)
        self.deciding, self.writing = deciding, writing

    def forward(self, x):
        if self.writing:
            x.clamp_(min=0)
        if self.deciding and x.mean().item() > 100:
            x = -x
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x.mean((2, 3))))


@pytest.fixture
def part():
    return synthetic_part(512).to(torch.device("cuda", 0))


def members(count: int = 4, *, order: int | None = None, **network) -> list[Member]:
    return [Member(Small(seed, **network), seed, order) for seed in range(count)]


def alone(member: Member, part, settings, *, budget=BUDGET, **more):
    return train(
        member.network, part, TASK, settings=settings, budget=budget, seed=member.seed, order=member.order,
        checkpoints=member.checkpoints, **more,
    )  # fmt: skip


@pytest.mark.parametrize("order", [None, 3], ids=["own order", "shared order"])
@pytest.mark.parametrize("more", [{}, RICH, {"precision": "bfloat16"}], ids=["sgd", "rich", "bfloat16"])
def test_with_deterministic_kernels_members_become_what_they_become_alone_bit_for_bit(part, order, more):
    settings = training_settings({**BASE, **more})
    together = members(order=order)
    reports = train_cohort(together, part, TASK, settings=settings, budget=BUDGET, deterministic=True, streams=2)
    for member, report in zip(together, reports, strict=True):
        single = members(order=order)[member.seed]
        expected = alone(single, part, settings, deterministic=True)
        assert isinstance(report, TrainingReport)
        assert report.curve == expected.curve
        assert same(weights(member.network), weights(single.network))


def apart(one: nn.Module, other: nn.Module) -> float:
    """How far the weights of two networks lie apart, as a share of their norm."""
    pairs = [(value.double(), weights(other)[name].double()) for name, value in weights(one).items()]
    return float(sum((a - b).square().sum() for a, b in pairs) / sum(a.square().sum() for a, _ in pairs)) ** 0.5


@pytest.mark.parametrize("more", [{}, RICH], ids=["sgd", "rich"])
def test_without_them_they_agree_as_far_as_two_trainings_alone_do(part, more):
    settings = training_settings({**BASE, **more})
    together, singles, again = members(order=3), members(order=3), members(order=3)
    train_cohort(together, part, TASK, settings=settings, budget=BUDGET, streams=3)
    for each in (*singles, *again):
        alone(each, part, settings)
    found = [apart(a.network, b.network) for a, b in zip(together, singles, strict=True)]
    usual = [apart(a.network, b.network) for a, b in zip(again, singles, strict=True)]
    print(f"cohort and alone: {found}, alone twice: {usual}")
    assert max(found) <= max(0.01, 3 * max(usual))


def test_layers_draw_what_they_would_draw_alone_and_leave_the_global_generator(part):
    torch.cuda.manual_seed(3)
    state = torch.cuda.get_rng_state()
    settings = training_settings(BASE)
    together = members(order=3, dropout=0.5)
    train_cohort(together, part, TASK, settings=settings, budget=BUDGET, deterministic=True, streams=2)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    for member in together:
        single = members(order=3, dropout=0.5)[member.seed]
        alone(single, part, settings, deterministic=True)
        assert same(weights(member.network), weights(single.network))


def test_each_member_is_captured_once_though_its_rate_changes_every_step(part, monkeypatch):
    captured: list[CohortStep] = []
    honest = CohortStep.capture
    monkeypatch.setattr(CohortStep, "capture", lambda self, *a: (captured.append(self), honest(self, *a))[1])
    reports = train_cohort(members(), part, TASK, settings=training_settings(BASE), budget=BUDGET)
    assert len(captured) == len(set(captured)) == 4
    rates = [point["rate"] for point in reports[0].curve]
    assert rates == sorted(set(rates), reverse=True)


@pytest.mark.parametrize("order", [None, 3], ids=["own order", "shared order"])
def test_nothing_waits_for_the_device_inside_an_epoch(part, monkeypatch, order):
    monkeypatch.setattr("nasengine.training.batches.PIECE_BYTES", 4 * 32 * 64)  # so that an epoch has many pieces
    steps = []
    honest = Lane.step

    def step(self, index):
        watched = index > 4  # the first batch of an epoch brings its order to the device
        with nothing_may_wait(watched):
            honest(self, index)
        steps.extend([index] * watched)

    monkeypatch.setattr(Lane, "step", step)
    settings = training_settings({**BASE, **RICH, "augmentation": {"type": "in_turn", "of": ["crop_flip", "cutout"]}})
    reports = train_cohort(members(order=order), part, TASK, settings=settings, budget=BUDGET, streams=2)
    assert all(isinstance(report, TrainingReport) for report in reports)
    assert len(steps) == 2 * 4 * 11


def test_augmenting_an_epoch_in_pieces_waits_for_nothing_after_its_first_batch(part, monkeypatch):
    monkeypatch.setattr("nasengine.training.batches.PIECE_BYTES", 4 * 32 * 64)
    for name in ("none", "flip", "crop", "crop_flip", "cutout", "in_turn"):
        settings = training_settings({**BASE, "augmentation": name})
        batches = epoch_batches(part, settings.augmentation, batch=32, images=512, seed=0, epoch=0)
        next(batches)
        with nothing_may_wait():
            assert len(list(batches)) == 15


def test_every_optimizer_of_the_table_goes_into_the_graph():
    for name, entry in OPTIMIZERS.items():
        assert reads_rate_from_device(entry().build(Small(0).cuda())), name


@dataclass(frozen=True)
class Other:
    """An optimizer of somebody's own, which no graph holds."""

    rate: float = 0.001

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(network.parameters(), lr=self.rate)


def test_an_optimizer_that_cannot_be_captured_is_stepped_after_its_graph(part):
    settings = replace(training_settings(BASE), optimizer=Other())
    assert not reads_rate_from_device(Other().build(Small(0).cuda()))
    together = members(order=3)
    reports = train_cohort(together, part, TASK, settings=settings, budget=BUDGET, deterministic=True)
    for member, report in zip(together, reports, strict=True):
        single = members(order=3)[member.seed]
        assert report.curve == alone(single, part, settings, deterministic=True).curve
        assert same(weights(member.network), weights(single.network))


def test_a_member_that_diverges_fails_alone(part):
    together = members(order=3)
    with torch.no_grad():
        together[1].network.head.weight.fill_(torch.nan)
    settings = training_settings(BASE)
    reports = train_cohort(together, part, TASK, settings=settings, budget=BUDGET, deterministic=True)
    assert isinstance(reports[1], TrialError)
    assert "became nan in epoch 1 of 4" in str(reports[1])
    for index in (0, 2, 3):
        single = members(order=3)[index]
        alone(single, part, settings, deterministic=True)
        assert same(weights(together[index].network), weights(single.network))


def test_a_member_that_waits_for_the_device_goes_on_eagerly_beside_the_others(part):
    together = [*members(2), Member(Small(2, deciding=True), 2)]
    reports = train_cohort(together, part, TASK, settings=training_settings(BASE), budget=BUDGET)
    assert all(isinstance(report, TrainingReport) for report in reports)
    assert all(report.curve[-1]["loss"] < report.curve[0]["loss"] for report in reports)


def test_a_member_that_writes_to_its_images_leaves_those_of_the_others(part):
    def made() -> list[Member]:
        return [Member(Small(seed, writing=seed == 0), seed, 3) for seed in range(3)]

    settings = training_settings(BASE)
    together, singles = made(), made()
    train_cohort(together, part, TASK, settings=settings, budget=BUDGET, deterministic=True, streams=1)
    for member, single in zip(together, singles, strict=True):
        alone(single, part, settings, deterministic=True)
        assert same(weights(member.network), weights(single.network))


def test_a_cohort_goes_on_from_checkpoints_that_a_training_alone_left(part, tmp_path):
    settings = training_settings({**BASE, **RICH})

    def kept(seed: int) -> Member:
        return Member(Small(seed), seed, 3, CheckpointFolder(tmp_path / str(seed), "key"))

    class StopError(Exception):
        pass

    def stop(record):
        if record.epoch == 2:
            raise StopError

    for seed in range(2):
        with pytest.raises(StopError):
            alone(kept(seed), part, settings, deterministic=True, on_epoch=stop)
    together = [kept(seed) for seed in range(2)]
    train_cohort(together, part, TASK, settings=settings, budget={"epochs": 4}, deterministic=True)
    # Two epochs of 16 steps are left: enough for a graph.
    for member in together:
        single = Member(Small(member.seed), member.seed, 3)
        alone(single, part, settings, deterministic=True)
        assert same(weights(member.network), weights(single.network))


def test_fewer_lanes_where_memory_has_no_room_for_more(part, monkeypatch):
    made: list[int] = []
    honest = cohort_lanes.Lane.__init__
    monkeypatch.setattr(cohort_lanes.Lane, "__init__", lambda self, m, n: (made.append(len(m)), honest(self, m, n))[1])
    train_cohort(members(), part, TASK, settings=training_settings(BASE), budget=BUDGET, streams=3)
    assert sorted(made) == [1, 1, 2]
    made.clear()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 2))
    train_cohort(members(), part, TASK, settings=training_settings(BASE), budget=BUDGET, streams=3)
    assert made == [4]


def test_a_cohort_leaves_no_memory_behind(part):
    settings = training_settings(BASE)
    for _ in range(2):
        train_cohort(members(), part, TASK, settings=settings, budget=BUDGET)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    train_cohort(members(), part, TASK, settings=settings, budget=BUDGET)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - before < 2**20


def test_what_cannot_be_compiled_is_trained_uncompiled_with_a_note(part, monkeypatch):
    def refuse(*arguments, **named):
        def fail(*inputs):
            raise RuntimeError("no compiler here\nat all")

        return fail

    monkeypatch.setattr(torch, "compile", refuse)
    together = members(order=3)
    settings = training_settings({**BASE, "compiled": "yes"})
    reports = train_cohort(together, part, TASK, settings=settings, budget=BUDGET)
    assert {report.notes for report in reports} == {("blocks could not be compiled: RuntimeError: no compiler here",)}
    assert "forward" not in vars(together[0].network.blocks[0])
    measured = [evaluate(member.network, part, TASK)["accuracy"] for member in together]
    single = members(order=3)[0]
    alone(single, part, settings)
    assert measured[0] == pytest.approx(evaluate(single.network, part, TASK)["accuracy"], abs=0.02)


@pytest.mark.thorough
@pytest.mark.parametrize("when", ["yes", "auto"])
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of torch, importing its compiler
def test_compiled_blocks_train_to_the_same_accuracy(part, monkeypatch, when):
    monkeypatch.setattr("nasengine.training.cohort.compiling_pays", lambda kinds, seconds: kinds == 1)
    settings = training_settings({**BASE, "compiled": when})
    together = members(order=3)
    reports = train_cohort(together, part, TASK, settings=settings, budget={"epochs": 8})
    assert {report.notes for report in reports} == {()}
    for member in together:
        single = members(order=3)[member.seed]
        alone(single, part, settings, budget={"epochs": 8})
        expected = evaluate(single.network, part, TASK)["accuracy"]
        assert evaluate(member.network, part, TASK)["accuracy"] == pytest.approx(expected, abs=0.05)


def test_no_block_is_compiled_with_deterministic_kernels(part, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    settings = training_settings({**BASE, "compiled": "yes"})
    train_cohort(members(2), part, TASK, settings=settings, budget=BUDGET, deterministic=True)
