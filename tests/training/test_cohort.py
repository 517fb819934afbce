"""Cohorts on a CPU: what each member becomes is what it becomes alone, bit for bit."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from nasengine.errors import TrialError
from nasengine.networks.composition import Sequential
from nasengine.training import (
    OPTIMIZERS,
    CheckpointFolder,
    Member,
    TrainingReport,
    train,
    train_cohort,
    training_settings,
)
from nasengine.training.block_compiling import blocks_of, compiling_pays, noting_kinds
from nasengine.training.cohort_step import reads_rate_from_device
from tests.training.networks import TASK, same, small_network, synthetic_part, weights

BASE = {"batch": 32, "augmentation": {"type": "crop_flip", "pad": 1}, "optimizer": {"type": "sgd", "rate": 0.05}}
RICH = {"ema": 0.9, "clip_norm": 1.0, "optimizer": {"type": "adamw", "rate": 0.01}, "schedule": "cosine"}
PART = synthetic_part(200)


def members(count: int, *, order: int | None = None, dropout: float = 0.0, **more) -> list[Member]:
    return [Member(small_network(seed, dropout=dropout), seed, order, **more) for seed in range(count)]


def alone(member: Member, settings, budget) -> TrainingReport:
    return train(
        member.network, PART, TASK, settings=settings, budget=budget, seed=member.seed, order=member.order,
        checkpoints=member.checkpoints, start=member.start, on_epoch=member.on_epoch,
    )  # fmt: skip


@pytest.mark.parametrize("order", [None, 11], ids=["own order", "shared order"])
@pytest.mark.parametrize(
    "more", [{}, RICH, {"drop_last": False, "label_smoothing": 0.1}], ids=["sgd", "rich", "ragged"]
)
def test_members_become_what_they_become_alone(order, more):
    settings, budget = training_settings({**BASE, **more}), {"epochs": 1.5}
    together = members(3, order=order, dropout=0.3)
    reports = train_cohort(together, PART, TASK, settings=settings, budget=budget)
    torch.rand(3)  # whatever else draws
    for member, report in zip(together, reports, strict=True):
        single = members(3, order=order, dropout=0.3)[member.seed]
        expected = alone(single, settings, budget)
        assert isinstance(report, TrainingReport)
        assert report.curve == expected.curve
        assert report.images == expected.images
        assert same(weights(member.network), weights(single.network))
        assert not member.network.training


def test_an_order_changes_what_is_seen_and_not_what_layers_draw():
    settings, budget = training_settings(BASE), {"epochs": 1}
    curves = [alone(members(1, order=order)[0], settings, budget).curve for order in (None, 0, 1)]
    assert curves[0] == curves[1] != curves[2]


def test_members_of_one_order_share_each_batch(monkeypatch):
    made = []
    for order, expected in ((7, 1), (None, 3)):
        monkeypatch.setattr("nasengine.training.course.epoch_batches", counted(made))
        train_cohort(members(3, order=order), PART, TASK, settings=training_settings(BASE), budget={"epochs": 1})
        assert len(made) == expected
        made.clear()


def counted(made: list[int]):
    from nasengine.training.batches import epoch_batches

    return lambda *arguments, **named: (made.append(1), epoch_batches(*arguments, **named))[1]


class Poisoned(nn.Module):
    """Gives NaN from its n-th batch on."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.inner, self.left = small_network(), good

    def forward(self, images):
        self.left -= self.training
        return self.inner(images) * (1.0 if self.left >= 0 else math.nan)


def test_a_member_that_diverges_fails_alone():
    settings, budget = training_settings(BASE), {"epochs": 3}
    together = members(3)
    together[1] = Member(Poisoned(good=8), seed=1)  # six steps an epoch: the second is its last
    reports = train_cohort(together, PART, TASK, settings=settings, budget=budget)
    assert isinstance(reports[1], TrialError)
    assert "the training loss became nan in epoch 2 of 3" in str(reports[1])
    for index in (0, 2):
        single = members(3)[index]
        alone(single, settings, budget)
        assert same(weights(together[index].network), weights(single.network))


def test_members_go_on_from_their_own_checkpoints_and_are_told_of_epochs(tmp_path):
    settings, budget = training_settings({**BASE, **RICH}), {"epochs": 3}
    told: dict[int, list[int]] = {0: [], 1: []}

    def some(until: int | None = None) -> list[Member]:
        def on_epoch(seed):
            def tell(record):
                told[seed].append(record.epoch)
                if record.epoch == until:
                    raise KeyboardInterrupt

            return tell

        return [
            Member(small_network(seed), seed, 5, CheckpointFolder(tmp_path / str(seed), "key"), None, on_epoch(seed))
            for seed in range(2)
        ]

    with pytest.raises(KeyboardInterrupt):
        train_cohort(some(until=2), PART, TASK, settings=settings, budget=budget)
    assert told == {0: [1, 2], 1: [1]}  # so they have different epochs left
    again = some()
    reports = train_cohort(again, PART, TASK, settings=settings, budget=budget)
    assert told == {0: [1, 2, 3], 1: [1, 2, 3]}
    for member, report in zip(again, reports, strict=True):
        single = Member(small_network(member.seed), member.seed, 5)
        assert report.curve == alone(single, settings, budget).curve
        assert same(weights(member.network), weights(single.network))


def test_seconds_of_members_add_up_to_those_of_the_cohort():
    reports = train_cohort(members(4), PART, TASK, settings=training_settings(BASE), budget={"epochs": 1})
    assert len({report.seconds for report in reports}) == 1
    assert all(report.images == 192 for report in reports)


def test_no_optimizer_is_captured_without_a_gpu():
    for entry in OPTIMIZERS.values():
        assert not reads_rate_from_device(entry().build(small_network()))


def test_blocks_are_modules_of_several_layers_in_lists_and_those_that_hold_none_of_them():
    def block() -> nn.Module:
        made = nn.Module()
        made.conv, made.inner = nn.Conv2d(1, 1, 1), nn.Sequential(nn.ReLU(), nn.Conv2d(1, 1, 1))
        return made

    blocks = [block() for _ in range(3)]
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ModuleList(blocks[:2]), nn.Sequential(blocks[2], nn.ReLU()))
    assert blocks_of(network) == blocks
    whole = nn.Module()
    whole.stem, whole.body, whole.head = block(), network, nn.Linear(1, 1)
    assert blocks_of(whole) == [whole.stem, *blocks]
    composed = Sequential([block(), None, Wrapped(nn.ReLU())])
    assert blocks_of(composed) == list(composed.children())
    assert blocks_of(small_network()) == []


def test_kinds_of_blocks_are_counted_by_structure_and_by_what_goes_in():
    def net(*widths: int) -> nn.Module:
        layers = [nn.Sequential(nn.Conv2d(first, last, 1), nn.ReLU()) for first, last in itertools.pairwise(widths)]
        return nn.Sequential(*[Wrapped(layer) for layer in layers])

    kinds: set[object] = set()
    networks = [net(1, 4, 4, 4), net(1, 4, 8)]
    with noting_kinds(networks, kinds):
        for network in networks:
            network(torch.zeros(2, 1, 8, 8))
    assert len(kinds) == 3
    with noting_kinds(networks[:1], kinds):
        networks[0](torch.zeros(2, 1, 4, 4))
    assert len(kinds) == 5
    networks[1](torch.zeros(2, 1, 2, 2))
    assert len(kinds) == 5


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_compiling_pays_where_it_saves_more_than_it_costs():
    assert not compiling_pays(kinds=24, seconds_left=400)  # 36 ResNet-20 for 39 epochs of 40,000 images: 50 s for 64
    assert not compiling_pays(kinds=24, seconds_left=500)  # 62 s for 53, not by the margin
    assert compiling_pays(kinds=24, seconds_left=2050)  # for 199 epochs
    assert not compiling_pays(kinds=0, seconds_left=1e6)
