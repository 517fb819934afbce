"""Sets of shared weights: for each model one tensor for each key, as large as any architecture needs it.

Values are those that a network's own constructor draws. Batch norms' running statistics belong to the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.build import build
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.extent import Extent
from nasengine.supernet.keys import tensors

Store = dict[str, Tensor]  # key -> nn.Parameter, or a plain tensor for a running statistic


def make_weights(
    space: SearchSpace,
    extent: Extent,
    overrides: Mapping[str, Any] | None,
    *,
    seed: int,
    model: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Store:
    """The initial weights of one model; the same for the same seed and model, whatever the global generators hold."""
    drawn = int(np.random.SeedSequence([seed, model]).generate_state(1)[0])
    store: Store = {}
    by_origin: dict[Architecture, list[str]] = {}
    for key, architecture in extent.origins.items():
        by_origin.setdefault(architecture, []).append(key)
    for architecture, keys in by_origin.items():
        wanted = set(keys)
        for held in tensors(build(space, architecture, network=overrides, seed=drawn)):
            if held.key in wanted and held.key not in store:
                value = _filled(held.tensor.detach(), extent.shapes[held.key], drawn)
                value = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
                store[held.key] = nn.Parameter(value) if isinstance(held.tensor, nn.Parameter) else value
    missing = next((key for key in extent.shapes if key not in store), None)
    if missing is not None:
        found = f"{missing} is learned when its module is built, and no more in the whole network"
        raise SupernetError(Problem(found, expected="fix it in the constructor of the module that holds it"))
    return {key: store[key] for key in extent.shapes}


def _filled(value: Tensor, shape: tuple[int, ...], seed: int) -> Tensor:
    """A tensor of `shape` that begins with `value`; where no one network fills it, the rest is like what is known."""
    if tuple(value.shape) == shape:
        return value.clone()
    generator = torch.Generator().manual_seed(seed)
    known = value.double()
    spread = float(known.std()) if known.numel() > 1 else 0.0
    filled = torch.randn(shape, generator=generator, dtype=torch.float64) * spread + float(known.mean())
    filled = filled.to(value.dtype)
    filled[tuple(slice(0, length) for length in value.shape)] = value
    return filled


def load_weights(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy values in, in place; `state` holds every tensor that is wanted, by its name, and nothing else.

    Raises:
        InputError: names the tensors that are missing, unknown, of another shape, of another type of number, or
            without values.
    """
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        found = type(state).__name__ if not isinstance(state, Mapping) else "a mapping with other values"
        raise InputError(Problem(f"weights map names to tensors, got {found}", expected="what supernet.state() gives"))
    problems = [Problem(f"the weights lack {name}") for name in wanted if name not in state]
    problems += [
        Problem(f"the weights hold {name}, which this supernet has not") for name in state if name not in wanted
    ]
    both = [(name, tensor, state[name]) for name, tensor in wanted.items() if name in state]
    problems += [
        Problem(f"{name} has the shape {tuple(given.shape)}, expected {tuple(tensor.shape)}")
        for name, tensor, given in both
        if given.shape != tensor.shape
    ]
    problems += [
        Problem(f"{name} is of {given.dtype}, expected {tensor.dtype}")
        for name, tensor, given in both
        if given.dtype != tensor.dtype
    ]
    problems += [
        Problem(f"{name} is on the device meta, where a tensor has no values", expected="what supernet.state() gives")
        for name, _, given in both
        if given.is_meta
    ]
    if problems:
        shown = problems[:8]
        more = [Problem(f"… and {len(problems) - 8} more")] if len(problems) > 8 else []
        raise InputError([*shown, *more])
    with torch.no_grad():
        for _, tensor, given in both:
            tensor.copy_(given)
