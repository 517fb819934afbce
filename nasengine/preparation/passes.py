"""The passes of a step on shared weights: forward, loss, backward, and how well an architecture does on other images.

Shapes:  B images of a batch   K architectures of a pass, image i belonging to architecture i mod K   C classes
Source:  soft targets from another pass of the same step: Yu et al., "BigNAS", ECCV 2020, arXiv:2003.11142, sec. 3.1
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasengine.algorithms.supernet_samplers import Pass
from nasengine.errors import InputError, Problem
from nasengine.networks.blocks.drop_path import DropPath
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.plans import Plan
from nasengine.supernet.standing import StandingPass
from nasengine.supernet.supernet import Supernet
from nasengine.tasks import Task
from nasengine.training.at_once import layers_at_once
from nasengine.training.device import autocast

# Layers that only regularise: a pass that is not regularised has them off, and all others in training mode.
REGULARIZERS: tuple[type[nn.Module], ...] = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.MultiheadAttention,
    DropPath,
)


class Passes:
    """Runs passes on a supernet; nothing in here waits for the device.

    Args:
        supernet: the weights.
        task: loss and metrics; the first metric is what is observed.
        dtype: of matrix products and convolutions; scores and losses are float32.
        masked: train the architectures of a pass together, by masks, where that can be done; else one after another.
    """

    def __init__(self, supernet: Supernet, task: Task, *, dtype: torch.dtype, masked: bool = False) -> None:
        self.supernet, self.task, self.dtype, self.masked = supernet, task, dtype, masked
        self.device = supernet.device
        self.metric = next(iter(task.metrics))
        self.loss_sum = torch.zeros((), device=self.device)
        self._one = torch.ones((), device=self.device)
        self._standing: dict[Hashable, StandingPass] = {}
        self._planned: tuple[tuple[Architecture, ...], list[Plan]] | None = None
        self._resolutions = _Resolutions(supernet.space)

    def gradients(
        self,
        passes: Sequence[Pass],
        pixels: Tensor,
        labels: Tensor,
        *,
        standing: Sequence[StandingPass | None] = (),
        cache: bool = True,
    ) -> None:
        """Forward and backward of every pass; leaves gradients, adds the mean loss on the labels to `loss_sum`.

        Args:
            passes: of one step; gradients accumulate over them.
            pixels, labels: (B, C, H, W) normalised images, (B,).
            standing: what `standing` found for them.
            cache: whether autocast may keep cast weights; off while a CUDA graph is captured. Then what is small is
                done at once for all layers.

        Raises:
            InputError: a pass has more architectures than images.
        """
        self.supernet.train()
        teacher: Tensor | None = None
        losses: list[Tensor] = []
        for each, stands in zip(passes, standing or [None] * len(passes), strict=True):
            count = len(each.architectures)
            if count > len(pixels):
                found = f"{count} architectures in one pass need as many images, and a batch has {len(pixels)}"
                raise InputError(Problem(found, expected="expected fewer architectures, or a larger data.batch"))
            # What is compiled depends on whether autocast keeps weights; in a graph it must not, so it never does.
            with autocast(self.dtype, self.device, cache=cache and stands is None):
                if stands is not None:
                    scores = stands(pixels, model=each.model)
                elif self.masks(each, len(pixels)):
                    scores = self.supernet.batch(pixels, each.architectures, model=each.model)
                else:
                    scores = self._scores(
                        pixels, each.architectures, each.model, regularized=each.regularized, captured=not cache
                    )
            scores = scores.float()  # (B, C)
            if each.target == "teacher":
                assert teacher is not None, "the first pass of a step teaches, and is taught by the labels"
                loss = F.cross_entropy(scores, teacher)
            else:
                loss = self.task.loss(scores, labels)
                losses.append(loss.detach())
            if teacher is None and len(passes) > 1:
                teacher = scores.detach().softmax(1)
            loss.backward(self._one.to(loss.dtype))  # type: ignore[no-untyped-call]
        self.loss_sum += losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def masks(self, each: Pass, images: int) -> bool:
        """Whether a training pass over so many images runs by masks: two of its architectures at least share a plan."""
        count = len(each.architectures)
        alike = each.regularized and not self._resolutions.searched and images % count == 0
        return self.masked and count > 1 and alike and any(plan.masked for plan in self._plans(each.architectures))

    def _plans(self, architectures: tuple[Architecture, ...]) -> list[Plan]:
        """Those of the supernet; a step asks for the same several times. What comes later may be planned otherwise."""
        if self._planned is None or self._planned[0] != architectures:
            self._planned = architectures, self.supernet.plans(architectures)
        return self._planned[1]

    def standing(self, passes: Sequence[Pass], images: int) -> list[StandingPass | None]:
        """For each training pass of a step over so many images the masks that hold its architectures now.

        None where it runs by views, or where its architectures take more than one pass.
        """
        found: list[StandingPass | None] = []
        for place, each in enumerate(passes):
            plans = self._plans(each.architectures) if self.masks(each, images) else []
            if len(plans) != 1 or not plans[0].masked:
                found.append(None)
                continue
            # By its place in the step too: the masks of one pass must not change before another's backward pass.
            key = plans[0].key, len(each.architectures), place
            if key not in self._standing:
                self._standing[key] = self.supernet.standing(plans[0])
            else:
                self._standing[key].put(each.architectures)
            found.append(self._standing[key])
        return found

    @torch.no_grad()
    def look(self, passes: Sequence[Pass], standing: Sequence[StandingPass | None], pixels: Tensor) -> None:
        """Run what stands in evaluation, without a trace."""
        with autocast(self.dtype, self.device):
            for each, stands in zip(passes, standing, strict=True):
                if stands is not None:
                    stands.look(pixels, model=each.model)

    @torch.no_grad()
    def measure(
        self,
        architectures: tuple[Architecture, ...],
        model: int,
        pixels: Tensor,
        labels: Tensor,
        *,
        sums: Tensor,
        cache: bool = True,
    ) -> None:
        """Write the sums of the task's first metric over the images of each architecture, evaluated as if trained.

        Args:
            architectures, model: as in a pass.
            pixels, labels: (B, C, H, W) normalised images, (B,).
            sums: (K,) float64, where they are written to.
            cache: see `gradients`.
        """
        self.supernet.eval()
        with autocast(self.dtype, self.device, cache=cache):
            scores = self._scores(pixels, architectures, model, regularized=True, captured=not cache)
        values = self.task.measure(scores.float(), labels)[self.metric]  # (B,)
        count = len(architectures)
        if len(values) % count == 0:
            torch.sum(values.reshape(-1, count), 0, dtype=torch.float64, out=sums)
            return
        for first in range(count):
            sums[first] = values[first::count].sum(dtype=torch.float64)

    def _scores(
        self,
        pixels: Tensor,
        architectures: tuple[Architecture, ...],
        model: int,
        *,
        regularized: bool,
        captured: bool = False,
    ) -> Tensor:
        """(B, C) scores; several architectures run one after the other, each on its images."""
        count = len(architectures)
        if count == 1:
            return self._view(pixels, architectures[0], model, regularized=regularized, captured=captured)
        parts = [
            self._view(pixels[first::count], architecture, model, regularized=regularized, captured=captured)
            for first, architecture in enumerate(architectures)
        ]
        whole = parts[0].new_empty((len(pixels), *parts[0].shape[1:]))
        places = [torch.arange(first, len(pixels), count, device=pixels.device) for first in range(count)]
        return whole.index_copy(0, torch.cat(places), torch.cat(parts))

    def _view(
        self, pixels: Tensor, architecture: Architecture, model: int, *, regularized: bool, captured: bool
    ) -> Tensor:
        size = self._resolutions.of(architecture)
        if size is not None and pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        network = self.supernet.view(architecture, model=model)
        with contextlib.ExitStack() as stack:
            if not regularized:
                stack.enter_context(_unregularized(network))
            if captured:
                stack.enter_context(layers_at_once(network, self.dtype))
            scores: Tensor = network(pixels)
        return scores


class _Resolutions:
    """The resolution of each architecture, where a space lets it be chosen."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.searched = space, space.resolution is not None

    def of(self, architecture: Architecture) -> tuple[int, int] | None:
        """(height, width); None where all have one."""
        if not self.searched:
            return None
        shape = self.space.fill(architecture).input_shape
        assert shape is not None, "a space with a searched resolution has a task"
        return shape[1], shape[2]


@contextlib.contextmanager
def _unregularized(network: nn.Module) -> Iterator[None]:
    """Inside, the layers that only regularise are off."""
    switched = [module for module in network.modules() if isinstance(module, REGULARIZERS) and module.training]
    for module in switched:
        module.training = False
    try:
        yield
    finally:
        for module in switched:
            module.training = True
