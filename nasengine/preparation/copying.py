"""One set of shared weights becomes a copy of another: its tensors, its optimiser's state and its running average.

Everything is written to where it lies: CUDA graphs and views go on reading from there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nasengine.supernet.supernet import Supernet
from nasengine.training.weight_average import TensorAverage


def begin_as(
    origins: Mapping[int, int],
    *,
    supernet: Supernet,
    optimizers: Sequence[torch.optim.Optimizer],
    averages: Sequence[TensorAverage],
) -> None:
    """Let models begin as copies.

    Args:
        origins: model -> the one that it becomes a copy of, which becomes none itself.
        supernet, optimizers, averages: of all models, the last two by their number; averages may be missing.
    """
    assert not set(origins) & set(origins.values()), "what is copied would depend on the order"
    for model, origin in origins.items():
        _copy(_own(supernet.state(model)), _own(supernet.state(origin)))
        _copy_optimizer(optimizers[model], optimizers[origin])
        if averages:
            _copy(_own(averages[model].values), _own(averages[origin].values))
            averages[model].steps = averages[origin].steps


def _own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the number of the model before them."""
    return {name.partition("/")[2]: value for name, value in state.items()}


@torch.no_grad()
def _copy(tensors: Mapping[str, Tensor], origins: Mapping[str, Tensor]) -> None:
    torch._foreach_copy_(list(tensors.values()), [origins[name] for name in tensors])


@torch.no_grad()
def _copy_optimizer(optimizer: torch.optim.Optimizer, origin: torch.optim.Optimizer) -> None:
    """The state of every parameter; what only one of the two has is made or forgotten."""
    for own, other in zip(_parameters(optimizer), _parameters(origin), strict=True):
        made: dict[str, Any] = {}
        for key, value in origin.state.get(other, {}).items():
            kept = optimizer.state.get(own, {}).get(key)
            if isinstance(value, Tensor) and isinstance(kept, Tensor) and kept.shape == value.shape:
                made[key] = kept.copy_(value)
            else:
                made[key] = copy.deepcopy(value)
        optimizer.state.pop(own, None)
        if made:
            optimizer.state[own] = made


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[torch.nn.Parameter]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
