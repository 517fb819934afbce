"""Runs architectures of one plan by masks and as views, or one as a view and alone, and says how far they differ.

All in double precision, in training and in evaluation: outputs, the gradient of every shared tensor, and what must not
have one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasengine.build.network import task_of
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.keys import tensors
from nasengine.supernet.masking import MaskError
from nasengine.supernet.masks import MaskedPasses, SharedWeights
from nasengine.supernet.plans import Key

TOLERANCE = 1e-12  # of outputs, and of gradients beside the gradient as a whole
RELATIVE = 1e-9  # of the gradient of one tensor, beside itself
IMAGES = 2  # for each architecture
SIDES = (16, 32, 64)  # of images that are tried before those of the task, which may be far larger


@dataclass(frozen=True)
class Finding:
    """How far masks are from views.

    Args:
        outputs: largest relative difference of the outputs of an architecture, training and evaluation.
        gradients: largest difference of a tensor's gradient, relative to the norm of all.
        worst: the tensor with the largest difference relative to its own gradient, and that difference.
        outside: number of gradients that are not zero where no architecture reaches.
        used: tensors that an architecture uses.
        live: those with a gradient other than zero.
        connected: those from which a way leads to an output, whether the gradient is zero or not.
    """

    outputs: float
    gradients: float
    worst: tuple[str, float]
    outside: int
    used: frozenset[str] = frozenset()
    live: frozenset[str] = frozenset()
    connected: frozenset[str] = frozenset()

    @property
    def equal(self) -> bool:
        """Whether masks are views."""
        small = self.outputs <= TOLERANCE and self.gradients <= TOLERANCE and self.worst[1] <= RELATIVE
        return small and self.outside == 0


def describe(finding: Finding) -> str:
    """In words."""
    return (
        f"masks are not views: outputs differ by {finding.outputs:.0e}, gradients by {finding.gradients:.0e} "
        f"(most in {finding.worst[0]}), {finding.outside} gradients outside"
    )


def compare(
    weights: SharedWeights, passes: MaskedPasses, key: Key, rows: NDArray[np.int16], *, seed: int = 0
) -> Finding:
    """Run architectures of one plan by masks and as views.

    Args:
        seed: of the images.

    Raises:
        MaskError: they cannot run by masks.
    """
    count = len(rows)
    architectures = weights.space.decode_many(rows)
    images = images_for(weights, architectures[0], count, seed)
    store = weights.store(0)
    parameters = {name: tensor for name, tensor in store.items() if tensor.requires_grad}
    kept = {name: tensor.clone() for name, tensor in store.items() if not tensor.requires_grad}
    outputs = 0.0
    by_masks: dict[str, Tensor | None] = {}
    by_views: dict[str, Tensor] = {}
    for training in (False, True):
        weights.training = training
        with torch.set_grad_enabled(training):
            masked = first(passes.run(images, key, rows))
            if training:  # at once: what is kept for it is as large as all weights and more
                by_masks = _gradients(masked.square().sum(), parameters)
                masked = masked.detach()
            for number, architecture in enumerate(architectures):
                single = first(weights(images[number::count], architecture))
                if not torch.isfinite(single).all():
                    raise MaskError("views give infinite numbers, so that nothing can be proved")
                difference = (single - masked[number::count]).detach().norm()
                outputs = larger(outputs, float(difference / single.detach().norm().clamp(min=1e-300)))
                if training:
                    for name, gradient in _gradients(single.square().sum(), parameters).items():
                        if gradient is not None:
                            by_views[name] = by_views[name] + gradient if name in by_views else gradient
                for name, value in kept.items():  # running statistics, which views in training write to
                    store[name].copy_(value)
    total = float(torch.stack([g.norm() for g in by_views.values()]).norm()) if by_views else 0.0
    gradients, worst, outside = 0.0, ("", 0.0), 0
    reached = _reached(weights, architectures, parameters)
    live = set()
    for name, parameter in parameters.items():
        found = by_masks[name]
        view = by_views[name] if name in by_views else torch.zeros_like(parameter)
        mask = torch.zeros_like(view) if found is None else found
        error, size = float((mask - view).norm()), float(view.norm())
        gradients = larger(gradients, error / max(total, 1e-300))
        # What is tiny beside all others (a bias in front of a batch norm) is rounding itself.
        if size > 1e-9 * total and not error / size <= worst[1]:
            worst = name, error / size
        inside = reached.get(name)
        outside += int((mask if inside is None else mask[~inside]).count_nonzero())
        if size > 0:
            live.add(name)
    return Finding(outputs, gradients, worst, outside, frozenset(reached), frozenset(live), frozenset(by_views))


def check_alone(weights: SharedWeights, architecture: Architecture) -> None:
    """Compare the view of an architecture with its stand-alone copy, outputs and gradients.

    Raises:
        SupernetError: they differ; it names the layer.
    """
    weights.training = True
    store = weights.store(0)
    parameters = {name: tensor for name, tensor in store.items() if tensor.requires_grad}
    kept = {name: tensor.clone() for name, tensor in store.items() if not tensor.requires_grad}
    images = images_for(weights, architecture, 1)
    copy = weights.subnet(architecture)
    alone = first(copy(images))
    alone.square().sum().backward()  # type: ignore[no-untyped-call]
    alone = alone.detach()
    single = first(weights(images, architecture))
    by_view = _gradients(single.square().sum(), parameters)
    for name, value in kept.items():  # running statistics
        store[name].copy_(value)
    total = float(torch.stack([gradient.norm() for gradient in by_view.values() if gradient is not None]).norm())
    error, where = float((single - alone).detach().norm() / alone.norm().clamp(min=1e-300)), ""
    cuts = {held.key: cut for held, cut in weights.private(architecture)[1]}
    for held in tensors(copy):
        if isinstance(held.tensor, torch.nn.Parameter):
            shared, own = by_view[held.key], held.tensor.grad
            part = torch.zeros_like(held.tensor) if shared is None else cuts[held.key].of(shared)
            far = float((part - (torch.zeros_like(part) if own is None else own)).norm()) / max(total, 1e-300)
            if far > TOLERANCE and not far <= error:
                error, where = far, held.layer
    if not error <= TOLERANCE:
        raise SupernetError(
            Problem(
                f"{where or 'the network'} does not compute on shared weights what it computes alone: they differ by "
                f"{error:.0e} for {architecture.to_json()}",
                expected="a network that depends on its arguments, its weights and its input alone",
            )
        )


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """All scores of a network as one tensor; of several outputs each image's, side by side."""
    if isinstance(output, Tensor):
        return output
    return torch.cat([part.flatten(1) for part in output], 1)


def _gradients(loss: Tensor, parameters: dict[str, Tensor]) -> dict[str, Tensor | None]:
    """Name -> gradient; None where no way leads from the parameter to the loss."""
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()), allow_unused=True), strict=True))


def _reached(
    weights: SharedWeights, architectures: Sequence[Architecture], parameters: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Which numbers of each shared tensor any of the architectures uses."""
    found: dict[str, Tensor] = {}
    for architecture in architectures:
        for held, cut in weights.private(architecture)[1]:
            if held.key in parameters:
                whole = found.setdefault(held.key, torch.zeros_like(parameters[held.key], dtype=torch.bool))
                cut.write(whole, torch.ones(cut.shape, dtype=torch.bool, device=whole.device))
    return found


def images_for(weights: SharedWeights, architecture: Architecture, count: int, seed: int = 0) -> Tensor:
    """Random images, as small as the network takes them."""
    channels, height, width = task_of(weights.space.fill(architecture))[0]
    generator = torch.Generator().manual_seed(seed)
    for side in [s for s in SIDES if s < min(height, width)]:
        tried = torch.randn(1, channels, side, side, dtype=torch.double, generator=generator).to(weights.device)
        try:
            weights.training = True
            with torch.no_grad():
                weights(tried, architecture)
            height, width = side, side
            break
        except (RuntimeError, ValueError, InputError):
            continue
    images = torch.randn(IMAGES * count, channels, height, width, dtype=torch.double, generator=generator)
    return images.to(weights.device)


def larger(one: float, other: float) -> float:
    """The larger, and no number where either is none: `max(0, nan)` is 0."""
    return other if other > one or math.isnan(other) else one


def unlike(store: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Weights in double precision near those given, so that nothing is zero, one, or equal to another by chance."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name, tensor in store.items():
        if not tensor.is_floating_point():
            found[name] = tensor.clone()
            continue
        value = tensor.detach().double().cpu()
        noise = torch.randn(value.shape, dtype=torch.double, generator=generator)
        if name.endswith("running_var"):
            value = 0.5 + torch.rand(value.shape, dtype=torch.double, generator=generator)
        else:
            spread = float(value.std()) if value.numel() > 1 else 0.0
            value = value + 0.1 * noise * max(spread, 0.2 if value.dim() < 2 else 0.05)
        value = value.to(tensor.device)
        found[name] = torch.nn.Parameter(value) if isinstance(tensor, torch.nn.Parameter) else value
    return found
