"""One member of a cohort: its steps, eager or as one CUDA graph each, as if it were trained alone.

The graph of a step holds the passes, the clipping and the update. Its learning rate is read from the memory of the
device, so it changes from step to step without another capture. That asks for an optimizer whose kernels read it
there: torch's fused SGD, Adam and AdamW, which is all of `OPTIMIZERS`. Any other is stepped after its graph, and so is
a running average of the weights, whose share changes with each step.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from nasengine.tasks import Task
from nasengine.training.at_once import layers_at_once
from nasengine.training.batches import Normalize
from nasengine.training.block_compiling import blocks_of
from nasengine.training.course import Course
from nasengine.training.own_draws import OwnDraws
from nasengine.training.step import TrainingStep

READS_RATE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # the fused kernels of these, from a tensor


class CohortStep(TrainingStep):
    """The steps of one member.

    Args:
        course: of the member.
        task: gives the loss.
        normalize: uint8 images to floats.
    """

    def __init__(self, course: Course, task: Task, normalize: Normalize) -> None:
        super().__init__(
            course.network,
            task,
            optimizer=course.optimizer,
            settings=course.settings,
            normalize=normalize,
            average=course.average,
        )
        self.course = course
        self.draws = OwnDraws(self.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.capturable = True
        self.updates_in_graph = reads_rate_from_device(course.optimizer)
        self.compiled = False
        self.activation_bytes = 0  # what an eager step takes beside the weights, known after the warm-up
        self._looked = self._writes_to_images = False

    def begin_epoch(self, epoch: int) -> None:
        """Begin the draws of an epoch, and the sum of its losses."""
        with self.draws:
            self.course.seed_layers(epoch)
        self.loss_sum.zero_()

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on (B, C, H, W) uint8 images and (B,) labels."""
        self.optimizer.zero_grad(set_to_none=True)
        # What is compiled depends on whether autocast keeps weights, and in a graph it must not.
        self.passes(images, labels, cache=not self.compiled)
        self.update()

    def learn(self, pixels: Tensor, labels: Tensor, *, cache: bool = True) -> None:
        """See `TrainingStep.learn`; notes whether the network writes to what it is given."""
        version = pixels._version
        with self._compiled_layers():
            super().learn(pixels, labels, cache=cache)
        self._writes_to_images = self._writes_to_images or pixels._version != version

    def _compiled_layers(self) -> contextlib.AbstractContextManager[None]:
        """Compiled blocks run in this, also where no step is captured: their code is made for the weights it casts."""
        if not self.compiled:
            return contextlib.nullcontext()
        return layers_at_once(self.network, self.dtype, blocks_of(self.network))

    def rehearse(self, batch: tuple[Tensor, Tensor]) -> None:
        """The passes of a step, after which weights, statistics, draws and the sum of losses are what they were."""
        copy = {name: value.clone() for name, value in self.network.state_dict().items()}
        loss_sum = self.loss_sum.clone()
        try:
            with OwnDraws(self.device):
                self.passes(*batch, cache=False)
        finally:
            self.network.load_state_dict(copy)
            self.loss_sum.copy_(loss_sum)
            self.optimizer.zero_grad(set_to_none=True)

    def eagerly(self, images: Tensor, labels: Tensor, rate: float) -> None:
        """An ordinary step on (B, C, H, W) uint8 images and (B,) labels."""
        self.course.set_rate(rate)
        with self.draws:
            self(images, labels)

    def warm_up(self, batches: Sequence[tuple[Tensor, Tensor]], rates: Sequence[float]) -> None:
        """The eager steps before a capture: libraries choose their kernels, and whether a graph will do is found."""
        for index, ((images, labels), rate) in enumerate(zip(batches, rates, strict=True)):
            if index + 1 == len(batches):  # just where `GraphedStep` looks, since looking draws from the generators
                self.look(images)
            before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self.eagerly(images, labels, rate)
            self.activation_bytes = max(1, torch.cuda.max_memory_allocated(self.device) - before)

    def look(self, images: Tensor) -> None:
        """Find out whether a graph will do; once, and before blocks are compiled: it runs without gradients."""
        if not self._looked:
            with self.draws:
                self.capturable = not self.waits_for_device(images)
            self._looked = True

    def capture(self, pixels: Tensor, labels: Tensor, rate: Tensor, pool: Any) -> None:
        """Record a step on the current stream; nothing is computed yet.

        Args:
            pixels, labels: where every batch will lie, its images normalised; also for other members.
            rate: () float32, where every learning rate will lie.
            pool: of memory, shared with graphs that are replayed one after another with this one.
        """
        self.optimizer.zero_grad(set_to_none=True)  # those made in here belong to the graph
        if self.updates_in_graph:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        graph = torch.cuda.CUDAGraph()
        layers = contextlib.nullcontext() if self.compiled else layers_at_once(self.network, self.dtype)
        with self.draws, _capturing(graph, pool):
            with layers:
                self.learn(pixels.clone() if self._writes_to_images else pixels, labels, cache=False)
            if self.updates_in_graph:
                self.change_weights()
        self.graph = graph

    def replay(self, rate: float) -> None:
        """A captured step, on what lies in its buffers."""
        assert self.graph is not None, "capture comes first"
        self.graph.replay()
        if not self.updates_in_graph:
            self.course.set_rate(rate)
            self.change_weights()
        if self.average is not None:
            self.average.follow()

    def release(self) -> None:
        """Give back the graph and the gradients, which lie in its memory."""
        self.graph = None
        self.optimizer.zero_grad(set_to_none=True)


def reads_rate_from_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step may be captured: its kernels read the rate from memory, and its state lies on the device.

    Those of which this is known say yes, and Adam's are told that they will be captured.
    """
    groups = optimizer.param_groups
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    if type(optimizer) not in READS_RATE or not on_gpu or not all(group.get("fused") for group in groups):
        return False
    for group in groups:
        if "capturable" in group:
            group["capturable"] = True
    return True


@contextlib.contextmanager
def _capturing(graph: torch.cuda.CUDAGraph, pool: Any) -> Iterator[None]:
    """Record what the current stream is given. `torch.cuda.graph` empties the allocator's cache each time: seconds."""
    torch.cuda.synchronize()
    collecting = gc.isenabled()
    gc.disable()  # what is collected may free memory on the device, which no capture survives
    try:
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            yield
        finally:
            graph.capture_end()
    finally:
        if collecting:
            gc.enable()
