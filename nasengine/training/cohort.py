"""Cohorts: many networks trained side by side on one GPU, each as if it were trained alone.

A small network does not keep a GPU busy: one alone waits for the launching of its kernels, then for kernels that fill
a part of the chip. In a cohort every member has its step as one CUDA graph (`cohort_step`), graphs run side by side on
a few streams (`cohort_lanes`), and members that see the same images in the same order share their batches.

What a member becomes does not depend on who is beside it. Where no graph can be used (on a CPU, or for a few steps) the
members take a step each in turn, bit for bit what `train` gives each alone. On a GPU the kernels are those of `train`,
so with `deterministic` the weights agree too; without, as far as two runs of `train` agree. Compiled blocks round
otherwise, and so are never used with `deterministic`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Hashable, Mapping, Sequence

import torch

from nasengine.data import Part
from nasengine.errors import TrialError
from nasengine.tasks import Task
from nasengine.training.batches import Normalize
from nasengine.training.block_compiling import CompiledBlocks, compiling_pays, noting_kinds
from nasengine.training.cohort_lanes import STREAMS, Lane, by_order, make_lanes, warm_up
from nasengine.training.cohort_step import CohortStep
from nasengine.training.course import Course, Member, TrainingReport
from nasengine.training.device import deterministic_kernels, fastest_convolutions, own_random_state
from nasengine.training.settings import TrainingSettings


def train_cohort(
    members: Sequence[Member],
    part: Part,
    task: Task,
    *,
    settings: TrainingSettings,
    budget: Mapping[str, float],
    deterministic: bool = False,
    streams: int = STREAMS,
) -> list[TrainingReport | TrialError]:
    """Train networks in place, side by side; each ends as `train` leaves it.

    Args:
        members: the networks, with their seeds and checkpoints.
        part, task, settings, budget, deterministic: as of `train`, for all of them.
        streams: of a GPU, on which graphs run side by side.

    Returns: what became of each, in their order: a report, or why it failed. A member that fails does so alone.

    Raises:
        InputError: a budget that is none, or no images.
        RunError: checkpoints of another training.
        RuntimeError: what CUDA could not do, want of memory (`torch.OutOfMemoryError`) among it.
    """
    courses = [Course(member, part, settings=settings, budget=budget) for member in members]
    device = part.images.device
    outcomes: dict[int, TrainingReport | TrialError] = {}
    together: dict[int, list[int]] = {}
    for index, course in enumerate(courses):  # those that go on from a later checkpoint have fewer epochs left
        together.setdefault(course.done, []).append(index)
    with own_random_state(device), deterministic_kernels(device, deterministic):
        for indices in together.values():
            wave = [courses[index] for index in indices]
            graphed = all(course.graph_pays for course in wave)
            cohort = (
                _GraphedCohort(wave, task, compiled="no" if deterministic else settings.compiled, streams=streams)
                if graphed
                else _Cohort(wave, task)
            )
            networks = [course.network for course in wave]
            with fastest_convolutions(networks, device, graphed and not deterministic):
                outcomes |= dict(zip(indices, cohort.train(), strict=True))
    return [outcomes[index] for index in range(len(courses))]


class _Cohort:
    """Members with the same epochs before them, a step each in turn."""

    def __init__(self, courses: Sequence[Course], task: Task) -> None:
        first = courses[0]
        self.device, self.epochs = first.device, first.epochs
        normalize = Normalize(first.part.mean, first.part.std).to(self.device)
        self.members = [CohortStep(course, task, normalize) for course in courses]
        self.going = list(self.members)
        self.errors: dict[CohortStep, TrialError] = {}
        self.notes: tuple[str, ...] = ()

    def train(self) -> list[TrainingReport | TrialError]:
        """All epochs; what became of each member."""
        started = time.perf_counter()
        try:
            for epoch in self.epochs:
                if not self.going:
                    break
                epoch_started = time.perf_counter()
                self.run(epoch)
                losses = torch.stack([member.loss_sum for member in self.going]).tolist()  # the only wait in an epoch
                seconds = time.perf_counter() - epoch_started
                for member, loss in zip(tuple(self.going), losses, strict=True):
                    self.end_epoch(member, epoch, loss, seconds)
        finally:
            self.close()
        for member in self.going:
            member.course.finish()
        share = (time.perf_counter() - started) / len(self.members)
        return [self.errors.get(member) or member.course.report(share, self.notes) for member in self.members]

    def run(self, epoch: int) -> None:
        """The steps of an epoch."""
        for member in self.going:
            member.begin_epoch(epoch)
        feeds = [(group[0].course.batches(epoch), group) for group in by_order(self.going)]
        for rate in self.going[0].course.rates(epoch):
            for batches, group in feeds:
                images, labels = next(batches)
                for member in group:
                    member.eagerly(images, labels, rate)

    def end_epoch(self, member: CohortStep, epoch: int, loss: float, seconds: float) -> None:
        """Note an epoch of a member; one whose loss is no number goes no further."""
        try:
            member.course.end_epoch(epoch, loss, seconds)
        except TrialError as error:
            self.errors[member] = error
            self.going.remove(member)
            self.leave(member)

    def leave(self, member: CohortStep) -> None:
        """A member goes no further."""

    def close(self) -> None:
        """Give back what was held for the steps."""


class _GraphedCohort(_Cohort):
    """The same on a GPU, on lanes of graphs.

    Args:
        courses, task: as before.
        compiled: whether their blocks are: auto decides after the first epoch, by how long it took.
        streams: at most so many lanes.
    """

    def __init__(self, courses: Sequence[Course], task: Task, *, compiled: str, streams: int) -> None:
        super().__init__(courses, task)
        self.compiled, self.streams = compiled, streams
        self.lanes: list[Lane] = []
        self.blocks: CompiledBlocks | None = None
        self.kinds: set[Hashable] = set()

    def run(self, epoch: int) -> None:
        """The steps of an epoch; the first of them eagerly, where nothing is captured yet."""
        first = 0
        if not self.lanes:
            first = self.prepare(epoch)
        steps = self.going[0].course.steps(epoch)
        torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        for lane in self.lanes:
            lane.begin(epoch, first)
        for index in range(first, steps):
            for lane in self.lanes:
                lane.step(index)
        for lane in self.lanes:
            lane.end()
        torch.cuda.synchronize(self.device)
        step_s = (time.perf_counter() - started) / max(1, steps - first)
        if self.compiled == "auto" and steps > first:
            left = self.going[0].course.length.steps - sum(self.going[0].course.steps(e) for e in range(epoch + 1))
            self.compiled = "yes" if compiling_pays(len(self.kinds), step_s * left) else "no"
            if self.compiled == "yes":
                self.release()  # the next epoch begins with compiling and captures anew

    def prepare(self, epoch: int) -> int:
        """Compile if that is wanted, warm up and capture; returns the steps taken."""
        networks = [member.network for member in self.going]
        if self.compiled == "yes" and self.blocks is None:
            self.compile()
        noting = contextlib.nullcontext() if self.kinds else noting_kinds(networks, self.kinds)
        with noting, contextlib.nullcontext() if self.blocks is None else self.blocks.compiling():
            taken = warm_up(self.going, epoch)
        self.lanes = make_lanes(self.going, self.streams, epoch)
        return taken

    def compile(self) -> None:
        """Have the blocks compiled by a step of each member that leaves no trace; or note why they are not."""
        networks = [member.network for member in self.going]
        example = next(self.going[0].course.batches(self.epochs.start))
        with noting_kinds(networks, self.kinds):
            for member in self.going:
                member.look(example[0])
        self.blocks = CompiledBlocks(networks, len(self.kinds))
        try:
            with self.blocks.compiling():
                for member in self.going:
                    member.compiled = True
                    member.rehearse(example)
        except Exception as error:  # whatever a compiler, or the lack of one, may raise: it only makes things faster
            self.blocks.undo()
            self.blocks = None
            self.compiled = "no"
            for member in self.going:
                member.compiled = False
            reason = next(iter(str(error).strip().splitlines()), "")
            self.notes = (f"blocks could not be compiled: {type(error).__name__}: {reason}",)

    def leave(self, member: CohortStep) -> None:
        """Drop the graph of a member that goes no further."""
        member.release()
        for lane in self.lanes:
            if member in lane.members:
                lane.members.remove(member)
        self.lanes = [lane for lane in self.lanes if lane.members]

    def release(self) -> None:
        """Drop all graphs."""
        for member in self.members:
            member.release()
        self.lanes = []

    def close(self) -> None:
        """Drop all graphs, and give blocks their own forward back.

        After an error lanes may have steps before them, which write to what would be given to others.
        """
        if self.lanes:
            with contextlib.suppress(RuntimeError):  # the error that led here says more
                torch.cuda.synchronize(self.device)
        self.release()
        if self.blocks is not None:
            self.blocks.undo()
