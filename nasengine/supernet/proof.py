"""Proves, in double precision, that masks are views: the same outputs, the same gradients, nothing outside.

Some architectures that between them take many options run together through the masked network of their plan, and
one by one as views. Outputs and the gradient of every shared tensor must agree, the gradient must be zero where no
architecture reaches, and in nearly all tensors that one reaches it must not be zero: equal zeros would prove nothing.
Where masks turn out not to be views, single choices are tried; those that make the difference are structural from
then on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasengine.build.module_call import one_line
from nasengine.build.network import task_of
from nasengine.records import Architecture
from nasengine.supernet.lookup import Row
from nasengine.supernet.masking import MaskError
from nasengine.supernet.masks import MaskedPasses, SharedWeights
from nasengine.supernet.no_chance import NoChance
from nasengine.supernet.plans import Key

TOLERANCE = 1e-12  # of outputs, and of gradients beside the gradient as a whole
RELATIVE = 1e-9  # of the gradient of one tensor, beside itself
AT_ONCE = 4  # architectures of one comparison; the first is always the largest
MOST = 16  # architectures of a proof, as far as
SECONDS = 8.0  # allow; the first comparison is always made
CANDIDATES = 256  # among which they are looked for
IMAGES = 2  # for each architecture
# What a network may raise that was not written for an input like that.
BREAKS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError)
MOST_SILENT = 0.1  # of all tensors may have no gradient: cells have edges that lead nowhere
SIDES = (16, 32, 64)  # of images that are tried before those of the task, which may be far larger


@dataclass(frozen=True)
class Finding:
    """How far masks are from views.

    Args:
        outputs: largest relative difference of the outputs of an architecture, training and evaluation.
        gradients: largest difference of a tensor's gradient, relative to the norm of all.
        worst: the tensor with the largest difference relative to its own gradient, and that difference.
        outside: number of gradients that are not zero where no architecture reaches.
        silent: tensors that an architecture uses, and that have no gradient other than zero.
        tensors: how many are used.
    """

    outputs: float
    gradients: float
    worst: tuple[str, float]
    outside: int
    silent: tuple[str, ...] = ()
    tensors: int = 0

    @property
    def equal(self) -> bool:
        """Whether masks are views."""
        small = self.outputs <= TOLERANCE and self.gradients <= TOLERANCE and self.worst[1] <= RELATIVE
        return small and self.outside == 0


def prove(weights: SharedWeights, passes: MaskedPasses, key: Key) -> bool:
    """Prove the masks of a plan and note the outcome in `passes`; True where the structural choices have changed.

    Args:
        weights: a supernet in double precision, whose weights may be written to.
        passes: of that supernet.
    """
    before = passes.structure.columns
    passes.structure.read()
    if passes.structure.columns != before:
        passes.separate(passes.structure.columns)
        return True
    try:
        with NoChance():
            why = _compare_some(weights, passes, key)
    except torch.OutOfMemoryError:
        raise  # says nothing about masks
    except BREAKS as error:
        why = f"masks fail: {one_line(error)}"
    except MaskError as error:
        why = str(error)
        if error.layer and (columns := _columns_of(passes, error.layer)):
            passes.separate(columns)
            return True
    if why:
        with NoChance():
            blamed = _blame(weights, passes, key)
        if blamed:
            passes.separate(blamed)
            return True
    passes.note(key, why)
    return False


def _compare_some(weights: SharedWeights, passes: MaskedPasses, key: Key) -> str:
    """Why masks are not views for some architectures of a plan; empty if they are for all that time allows."""
    rows = covering(weights, passes, key, MOST)
    began = time.monotonic()
    for start in range(1, len(rows), AT_ONCE - 1):
        if start > 1 and time.monotonic() - began > SECONDS:
            break
        finding = compare(weights, passes, key, np.concatenate([rows[:1], rows[start : start + AT_ONCE - 1]]))
        if not finding.equal:
            return describe(finding)
        if len(finding.silent) > MOST_SILENT * finding.tensors:
            return f"{len(finding.silent)} tensors get no gradient ({finding.silent[0]}, …), so that little is proved"
    return ""


def describe(finding: Finding) -> str:
    """In words."""
    return (
        f"masks are not views: outputs differ by {finding.outputs:.0e}, gradients by {finding.gradients:.0e} "
        f"(most in {finding.worst[0]}), {finding.outside} gradients outside"
    )


def _columns_of(passes: MaskedPasses, layer: str) -> list[int]:
    """The choices that are free in the plans and decide about a layer: whether it is there, or its kernel."""
    columns = passes.lookup.columns
    found = {c for what in ("there", "kernel") for c in columns.get((what, layer), ())}
    return sorted(found - set(passes.structure.columns))


def covering(weights: SharedWeights, passes: MaskedPasses, key: Key, count: int) -> NDArray[np.int16]:
    """(K, D) rows of a plan that between them take as many options as K can; the largest architecture first."""
    space = weights.space
    rows = space.sample_encoded(np.random.default_rng(0), CANDIDATES)
    for column, option in zip(passes.structure.columns, key, strict=True):
        rows[:, column] = option
    rows = np.array([passes.lookup.row(row) for row in rows.tolist()], dtype=np.int16)
    rows = rows[space.satisfies_encoded(rows) & (rows[:, list(passes.structure.columns)] == list(key)).all(1)]
    chosen = [np.array(passes.structure.base(key), dtype=np.int16)]
    while len(chosen) < count and len(rows):
        taken = np.array(chosen)
        new = np.array([(~(row == taken).any(0)).sum() for row in rows])
        chosen.append(rows[int(new.argmax())])
        rows = rows[(rows != chosen[-1]).any(1)]
    return np.array(chosen if len(chosen) > 1 else chosen * 2, dtype=np.int16)


def compare(weights: SharedWeights, passes: MaskedPasses, key: Key, rows: NDArray[np.int16]) -> Finding:
    """Run architectures of one plan by masks and as views.

    Raises:
        MaskError: they cannot run by masks.
    """
    count = len(rows)
    architectures = weights.space.decode_many(rows)
    images = _images(weights, architectures[0], count)
    store = weights.store(0)
    parameters = {name: tensor for name, tensor in store.items() if tensor.requires_grad}
    kept = {name: tensor.clone() for name, tensor in store.items() if not tensor.requires_grad}
    outputs = 0.0
    by_views = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for training in (False, True):
        weights.training = training
        with torch.set_grad_enabled(training):
            masked = _first(passes.run(images, key, rows))
            for number, architecture in enumerate(architectures):
                single = _first(weights(images[number::count], architecture))
                if not torch.isfinite(single).all():
                    raise MaskError("views give infinite numbers, so that nothing can be proved")
                difference = (single - masked[number::count]).detach().norm()
                outputs = larger(outputs, float(difference / single.detach().norm().clamp(min=1e-300)))
                if training:
                    for name, gradient in _gradients(single.square().sum(), parameters).items():
                        by_views[name] += gradient
                for name, value in kept.items():  # running statistics, which views in training write to
                    store[name].copy_(value)
    by_masks = _gradients(masked.square().sum(), parameters)
    total = float(torch.stack([g.norm() for g in by_views.values()]).norm())
    gradients, worst, outside = 0.0, ("", 0.0), 0
    reached = _reached(weights, architectures, parameters)
    silent = []
    for name, view in by_views.items():
        error, size = float((by_masks[name] - view).norm()), float(view.norm())
        gradients = larger(gradients, error / max(total, 1e-300))
        # What is tiny beside all others (a bias in front of a batch norm) is rounding itself.
        if size > 1e-9 * total and not error / size <= worst[1]:
            worst = name, error / size
        inside = reached.get(name)
        outside += int((by_masks[name] if inside is None else by_masks[name][~inside]).count_nonzero())
        if inside is not None and size == 0:
            silent.append(name)
    return Finding(outputs, gradients, worst, outside, tuple(silent), len(reached))


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """All scores of a network as one tensor; of several outputs each image's, side by side."""
    if isinstance(output, Tensor):
        return output
    return torch.cat([part.flatten(1) for part in output], 1)


def _gradients(loss: Tensor, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if gradient is None else gradient
        for (name, p), gradient in zip(parameters.items(), found, strict=True)
    }


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


def _images(weights: SharedWeights, architecture: Architecture, count: int) -> Tensor:
    """Random images, as small as the network takes them."""
    channels, height, width = task_of(weights.space.fill(architecture))[0]
    generator = torch.Generator().manual_seed(0)
    for side in [s for s in SIDES if s < min(height, width)]:
        tried = torch.randn(1, channels, side, side, dtype=torch.double, generator=generator).to(weights.device)
        try:
            weights.training = True
            with torch.no_grad():
                weights(tried, architecture)
            height, width = side, side
            break
        except (RuntimeError, ValueError):
            continue
    images = torch.randn(IMAGES * count, channels, height, width, dtype=torch.double, generator=generator)
    return images.to(weights.device)


def _blame(weights: SharedWeights, passes: MaskedPasses, key: Key) -> list[int]:
    """Free choices that, changed alone from the largest architecture, make masks differ from views.

    Empty if it is most of them: then it is no choice that is to blame.
    """
    base = passes.structure.base(key)
    free = [c for c in range(len(base)) if c not in passes.structure.columns and base[c] >= 0]
    outgrown = [c for c in free if not _fits(passes, key, _changed(weights, passes, base, c))]
    if outgrown:
        return outgrown
    found = []
    for column in free:
        try:
            rows = _changed(weights, passes, base, column)[:3]
            if not _difference(weights, passes, key, rows) <= TOLERANCE:
                found.append(column)
        except torch.OutOfMemoryError:
            raise
        except (MaskError, *BREAKS):
            found.append(column)
    return found if len(found) <= len(free) / 2 else []


def _changed(weights: SharedWeights, passes: MaskedPasses, base: Row, column: int) -> NDArray[np.int16]:
    """The rows of an architecture and of those that take another option of one choice."""
    others = [option for option in range(len(weights.space.decisions[column].options)) if option != base[column]]
    rows = [passes.lookup.row([*base[:column], option, *base[column + 1 :]]) for option in others]
    return np.array([base, *rows], dtype=np.int16)


def _fits(passes: MaskedPasses, key: Key, rows: NDArray[np.int16]) -> bool:
    """Whether the network of a plan is large enough for architectures."""
    try:
        passes.network(key).compute(rows)
    except MaskError:
        return False
    return True


def _difference(weights: SharedWeights, passes: MaskedPasses, key: Key, rows: NDArray[np.int16]) -> float:
    """The largest relative difference of outputs between masks and views, in evaluation."""
    architectures = weights.space.decode_many(rows)
    images = _images(weights, architectures[0], len(rows))
    weights.training = False
    with torch.no_grad():
        masked = _first(passes.run(images, key, rows))
        worst = 0.0
        for number, architecture in enumerate(architectures):
            single = _first(weights(images[number :: len(rows)], architecture))
            difference = (single - masked[number :: len(rows)]).norm() / single.norm().clamp(min=1e-300)
            worst = larger(worst, float(difference))
    return worst


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
