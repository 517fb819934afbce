"""How the members of a cohort share one GPU: a few streams, on each of which some members take turns.

A lane is a stream with a buffer for the batch at hand and the members that are trained on it, one graph after another.
Lanes never wait for each other inside an epoch: each makes its own batches (an augmentation a lane, not a member, where
members agree on the order of images) and runs as far ahead as the GPU lets it. The graphs of a lane share one pool of
memory, since no two of them run at a time: a cohort takes the activations of as many members as there are lanes,
however many members it has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nasengine.training.cohort_step import CohortStep
from nasengine.training.device import stream_of
from nasengine.training.spreading import spread
from nasengine.training.step import WARM_UP_STEPS

# Of one GPU: 36 ResNet-20 on an H200 make 140,339 images/s on 6 and 139,062 on 12
# (benchmarks/results/cohort_streams.json); a prototype made 90,000 on 1.
STREAMS = 6
USABLE = 0.8  # of the memory that is free, for activations

Batch = tuple[Tensor, Tensor]


def by_order(members: Sequence[CohortStep]) -> list[list[CohortStep]]:
    """The members in groups that see the same batches."""
    groups: dict[int, list[CohortStep]] = {}
    for member in members:
        groups.setdefault(member.course.order, []).append(member)
    return list(groups.values())


def warm_up(members: Sequence[CohortStep], epoch: int) -> int:
    """Take the first steps of an epoch eagerly, on a side stream as a capture asks for; returns how many.

    One member after another: what each takes of memory is found on the way.
    """
    device = members[0].device
    count = min(WARM_UP_STEPS, members[0].course.steps(epoch))
    stream = stream_of(device, 0)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for group in by_order(members):
            batches = list(itertools.islice(group[0].course.batches(epoch), count))
            for member in group:
                member.begin_epoch(epoch)
                member.warm_up(batches, member.course.rates(epoch)[:count])
    torch.cuda.current_stream(device).wait_stream(stream)
    return count


class Lane:
    """Members that take their steps one after another on one stream.

    Args:
        members: in the order of their steps.
        number: of the lane, from 1.
    """

    def __init__(self, members: Sequence[CohortStep], number: int) -> None:
        self.members, self.number = list(members), number
        self.device = self.members[0].device
        self.stream = stream_of(self.device, number)
        self.rate = torch.zeros((), device=self.device)
        self._pool = torch.cuda.graph_pool_handle()
        self._normalize = self.members[0].normalize
        self._buffers: tuple[Tensor, Tensor, Tensor] | None = None  # of the batch at hand: images, labels, and pixels
        self._rates: list[float] = []
        self._device_rates = self.rate
        self._feeds: list[tuple[Iterator[Batch], list[CohortStep]]] = []

    def capture(self, example: Batch) -> None:
        """Record a step of each member; `example` has the shape and the memory order of every batch."""
        images, labels = example[0].clone(), example[1].clone()
        pixels = self._normalize(images)  # once for all members
        self._buffers = images, labels, pixels
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            for member in self.members:
                if member.capturable:
                    member.capture(pixels, labels, self.rate, self._pool)

    def begin(self, epoch: int, first: int) -> None:
        """Get ready for the steps of an epoch from `first` on; those before it were taken."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            self._feeds = []
            for group in by_order(self.members):
                batches = group[0].course.batches(epoch)
                for _ in range(first):
                    next(batches)
                self._feeds.append((batches, group))
            self._rates = self.members[0].course.rates(epoch)
            self._device_rates = torch.tensor(self._rates, dtype=torch.float32, device=self.device)
            if not first:
                for member in self.members:
                    member.begin_epoch(epoch)

    def step(self, index: int) -> None:
        """Put a step of every member on the stream, without waiting for any."""
        assert self._buffers is not None, "capture comes first"
        images, labels, pixels = self._buffers
        with torch.cuda.stream(self.stream):
            self.rate.copy_(self._device_rates[index])
            for batches, group in self._feeds:
                for buffer, batch in zip((images, labels), next(batches), strict=True):
                    buffer.copy_(batch)
                pixels.copy_(self._normalize(images))
                for member in group:
                    if member.graph is None:
                        member.eagerly(images, labels, self._rates[index])
                    else:
                        member.replay(self._rates[index])

    def end(self) -> None:
        """Have the current stream wait for what the lane was given."""
        self._feeds = []
        torch.cuda.current_stream(self.device).wait_stream(self.stream)


def make_lanes(members: Sequence[CohortStep], streams: int, epoch: int) -> list[Lane]:
    """Members spread over streams by what a step of each moves in memory, and captured.

    Args:
        members: warmed up.
        streams: at most so many lanes; fewer where memory has no room for the activations of so many members.
        epoch: any, for an example of a batch.
    """
    device = members[0].device
    torch.cuda.empty_cache()  # what the warm-up took on its stream is of no use to others
    largest = max(1, *(member.activation_bytes for member in members))
    room = int(USABLE * torch.cuda.mem_get_info(device)[0] // largest)
    count = max(1, min(streams, len(members), room))
    shares = spread([member.activation_bytes for member in members], count)
    example = next(members[0].course.batches(epoch))
    lanes = [Lane([members[place] for place in share], number) for number, share in enumerate(shares, start=1)]
    for lane in lanes:
        lane.capture(example)
    return lanes
