"""The schedule of a cohort on a GPU, played on this processor: streams do nothing, a graph is the step it would hold.

That shows which member takes which step on which batch at which rate. What the kernels do is for `test_cohort_gpu`.
"""

from __future__ import annotations

import contextlib
import functools

import pytest
import torch
from torch import nn

from nasengine.errors import TrialError
from nasengine.training import Member, cohort, cohort_lanes, device, step, train, train_cohort, training_settings
from nasengine.training.at_once import layers_at_once
from nasengine.training.cohort_step import CohortStep
from nasengine.training.course import Course
from nasengine.training.step import GraphedStep
from tests.training.networks import TASK, same, small_network, synthetic_part, weights

BASE = {"batch": 32, "augmentation": {"type": "crop_flip", "pad": 1}, "optimizer": {"type": "sgd", "rate": 0.05}}
RICH = {"ema": 0.9, "clip_norm": 1.0, "optimizer": {"type": "adamw", "rate": 0.01}, "label_smoothing": 0.1}
PART = synthetic_part(352)
BUDGET = {"epochs": 3.5}  # of 11 steps


class Stream:
    def wait_stream(self, other: object) -> None:
        """Nothing runs ahead here."""


class Graph:
    """A step that is taken when it is replayed."""

    def __init__(self, member: CohortStep, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        self.member, self.pixels, self.labels = member, pixels, labels

    def replay(self) -> None:
        self.member.optimizer.zero_grad(set_to_none=True)
        compiled = self.member.compiled
        layers = contextlib.nullcontext() if compiled else layers_at_once(self.member.network, torch.float32)
        with self.member.draws, layers:
            self.member.learn(self.pixels, self.labels, cache=not compiled)


@pytest.fixture
def captures(monkeypatch) -> list[CohortStep]:
    captured: list[CohortStep] = []

    def capture(member: CohortStep, pixels: torch.Tensor, labels: torch.Tensor, *unused: object) -> None:
        captured.append(member)
        member.graph = Graph(member, pixels, labels)

    def activation_bytes(device: object) -> int:
        return 10 + len(captured)

    played = {
        "current_stream": lambda device: Stream(),
        "stream": lambda stream: contextlib.nullcontext(),
        "synchronize": lambda device: None,
        "empty_cache": lambda: None,
        "mem_get_info": lambda device: (10**9, 10**9),
        "graph_pool_handle": lambda: (0, 0),
        "memory_allocated": lambda device: 0,
        "max_memory_allocated": activation_bytes,
        "reset_peak_memory_stats": lambda device: None,
    }
    for name, play in played.items():
        monkeypatch.setattr(torch.cuda, name, play)
    monkeypatch.setattr(cohort_lanes, "stream_of", lambda device, number: Stream())
    monkeypatch.setattr(CohortStep, "waits_for_device", lambda self, images: False)
    monkeypatch.setattr(CohortStep, "capture", capture)
    return captured


def together(monkeypatch, members: list[Member], settings, **more):
    with monkeypatch.context() as patch:
        patch.setattr(Course, "graph_pays", property(lambda self: True))
        return train_cohort(members, PART, TASK, settings=settings, budget=BUDGET, **more)


def members(order: int | None) -> list[Member]:
    return [Member(small_network(seed, dropout=0.2), seed, order) for seed in range(5)]


def alone(member: Member, settings):
    return train(
        member.network, PART, TASK, settings=settings, budget=BUDGET, seed=member.seed, order=member.order
    )  # fmt: skip


@pytest.mark.parametrize(("more", "order"), [({}, None), (RICH, 3)], ids=["own order", "shared order, rich"])
def test_every_member_takes_its_own_steps_in_their_order(monkeypatch, captures, more, order):
    settings, cohort_members = training_settings({**BASE, **more}), members(order)
    reports = together(monkeypatch, cohort_members, settings, streams=2)
    assert len(captures) == 5
    for member, report in zip(cohort_members, reports, strict=True):
        single = members(order)[member.seed]
        assert report.curve == alone(single, settings).curve
        assert same(weights(member.network), weights(single.network))
        assert next(member.network.parameters()).grad is None


def test_members_spread_over_lanes_by_what_they_move(monkeypatch, captures):
    lanes = []
    honest = cohort_lanes.make_lanes

    def noted(*arguments):
        lanes.extend(honest(*arguments))
        return lanes

    monkeypatch.setattr(cohort, "make_lanes", noted)
    together(monkeypatch, members(None), training_settings(BASE), streams=3)
    assert sorted(len(lane.members) for lane in lanes) == [1, 2, 2]
    lanes.clear()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (48, 10**9))  # room for two at a time
    together(monkeypatch, members(None), training_settings(BASE), streams=3)
    assert sorted(len(lane.members) for lane in lanes) == [2, 3]


def test_a_member_that_diverges_leaves_its_lane(monkeypatch, captures):
    settings, cohort_members = training_settings(BASE), members(3)
    with torch.no_grad():
        cohort_members[2].network[-1].weight.fill_(torch.nan)
    reports = together(monkeypatch, cohort_members, settings, streams=5)
    assert isinstance(reports[2], TrialError)
    single = members(3)[4]
    alone(single, settings)
    assert same(weights(cohort_members[4].network), weights(single.network))


def test_what_lanes_still_have_to_do_is_waited_for_before_their_memory_is_given_back(monkeypatch, captures):
    done: list[str] = []

    def fail(lane: cohort_lanes.Lane, index: int) -> None:
        done.append("step")
        if index == 5:
            raise torch.OutOfMemoryError("no memory for a piece of the next epoch")

    monkeypatch.setattr(cohort_lanes.Lane, "step", fail)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append("wait"))
    monkeypatch.setattr(CohortStep, "release", lambda member: done.append("release"))
    with pytest.raises(torch.OutOfMemoryError):
        together(monkeypatch, members(None), training_settings(BASE), streams=2)
    assert done[-7:] == ["step", "wait"] + ["release"] * 5


def test_blocks_are_compiled_after_the_first_epoch_if_that_pays(monkeypatch, captures):
    told: list[tuple[int, float]] = []
    compiled: list[int] = []
    monkeypatch.setattr(cohort, "compiling_pays", lambda kinds, seconds: (told.append((kinds, seconds)), True)[1])
    monkeypatch.setattr(cohort._GraphedCohort, "compile", lambda self: compiled.append(len(self.going)))
    together(monkeypatch, members(3), training_settings(BASE), streams=2)
    assert len(told) == 1
    assert told[0][1] > 0
    assert compiled == [5]
    assert len(captures) == 10  # once more, after the compiling
    compiled.clear()
    together(monkeypatch, members(3), training_settings({**BASE, "compiled": "no"}), streams=2)
    together(monkeypatch, members(3), training_settings({**BASE, "compiled": "yes"}), streams=2, deterministic=True)
    assert compiled == []


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()


class Blocks(nn.Module):
    """A stem, two blocks in a list, a layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.blocks, self.head = Block(1), nn.ModuleList([Block(4), Block(4)]), nn.Linear(4, 4)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of torch, importing its compiler
def test_compiled_blocks_train_like_others_by_weights_that_are_cast_at_once(monkeypatch, captures):
    made = torch._dynamo.utils.counters["stats"]
    settings = training_settings({**BASE, "precision": "bfloat16", "compiled": "yes"})
    before = made["unique_graphs"]
    cohort_members = [Member(Blocks(seed), seed, 3) for seed in range(3)]
    reports = together(monkeypatch, cohort_members, settings, streams=2)
    assert {report.notes for report in reports} == {()}
    assert made["unique_graphs"] - before == 2, "one for the stem, one for the others: no step asks for another"
    for member, report in zip(cohort_members, reports, strict=True):
        single = alone(Member(Blocks(member.seed), member.seed, 3), settings)
        assert [epoch["loss"] for epoch in report.curve] == pytest.approx(
            [epoch["loss"] for epoch in single.curve], rel=0.02
        )
        assert "forward" not in vars(member.network.stem)


def test_trainings_one_after_another_warm_up_on_one_stream(monkeypatch, captures):
    made: list[Stream] = []
    monkeypatch.setattr(device, "new_stream", lambda device: (made.append(Stream()), made[-1])[1])
    monkeypatch.setattr(device, "stream_of", functools.cache(device.stream_of.__wrapped__))
    monkeypatch.setattr(step, "stream_of", device.stream_of)
    monkeypatch.setattr(GraphedStep, "waits_for_device", lambda self, images: True)
    monkeypatch.setattr(Course, "graph_pays", property(lambda self: True))
    for member in members(None)[:2]:
        alone(member, training_settings(BASE))
    assert len(made) == 1
