"""Small work of many layers done at once while a step is captured: the same numbers by far fewer kernels.

Autocast casts the weights of each layer by a kernel of its own, and each gradient back by another; each batch norm
counts its batches by one more. In a ResNet-20 these are 67 of 228 operations of a step, as small as kernels can be:
what a GPU does in their place costs nothing, but a graph has to launch them all. In here all weights are cast by one
operation, so are their gradients, and one adds to all counts.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

CAST: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
COUNTING: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
COUNT = "num_batches_tracked"


@contextlib.contextmanager
def layers_at_once(network: nn.Module, dtype: torch.dtype, compiled: Sequence[nn.Module] = ()) -> Iterator[None]:
    """In here a forward pass under autocast, and what is done with its outputs, takes fewer kernels.

    Weights and statistics end as they do without it, bit for bit. Only layers' own forwards find cast weights: who
    reads a weight of a layer in another way reads the weight itself.

    Args:
        network: that runs in here.
        dtype: that autocast casts to; float32 where it does not.
        compiled: blocks whose code the compiler makes, in here too: all of it finds cast weights, and counts batches
            itself.
    """
    with contextlib.ExitStack() as stack:
        if dtype != torch.float32:
            stack.enter_context(_cast(network, dtype, compiled))
        stack.enter_context(_counted(network, compiled))
        yield


@contextlib.contextmanager
def _cast(network: nn.Module, dtype: torch.dtype, compiled: Sequence[nn.Module]) -> Iterator[None]:
    layers = [module for module in network.modules() if _runs_as(module, CAST)]
    used = Counter(id(own) for layer in layers for own in layer._parameters.values())
    places = [
        (layer, name, own)
        for layer in layers
        for name, own in layer._parameters.items()
        if isinstance(own, nn.Parameter) and own.dtype == torch.float32 and used[id(own)] == 1
        if not own.is_meta and (own.requires_grad or not torch.is_grad_enabled())
    ]
    if not places:
        yield
        return
    made: tuple[Tensor, ...] = _CastAll.apply(dtype, *(own for _, _, own in places))  # type: ignore[no-untyped-call]
    # Who runs, a layer or the compiled block around it -> (layer, name, the weight, the same cast).
    holders = {module: block for block in compiled for module in block.modules()}
    found: dict[nn.Module, list[tuple[nn.Module, str, nn.Parameter, Any]]] = {}
    for (layer, name, own), cast in zip(places, made, strict=True):
        found.setdefault(holders.get(layer, layer), []).append((layer, name, own, cast))

    def before(holder: nn.Module, _inputs: Any) -> None:
        for layer, name, _, cast in found[holder]:
            layer._parameters[name] = cast

    def after(holder: nn.Module, _inputs: Any, _output: Any) -> None:
        for layer, name, own, _ in found[holder]:
            layer._parameters[name] = own

    handles = [holder.register_forward_pre_hook(before) for holder in found]
    handles += [holder.register_forward_hook(after, always_call=True) for holder in found]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _CastAll(torch.autograd.Function):
    """Tensors to another type, and their gradients back, each by one operation for all."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(_copied(tensors, dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        there = [gradient for gradient in gradients if gradient is not None]
        made = iter(_copied(there, torch.float32))
        return None, *(None if gradient is None else next(made) for gradient in gradients)


def _copied(tensors: tuple[Tensor, ...] | list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    made = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    if made:
        torch._foreach_copy_(made, tensors)
    return made


@contextlib.contextmanager
def _counted(network: nn.Module, compiled: Sequence[nn.Module]) -> Iterator[None]:
    """Batches are counted on the processor, and the counts of all norms then added at once."""
    inside = {module for block in compiled for module in block.modules()}
    kept: dict[nn.Module, Tensor] = {}
    for module in network.modules():
        count = module._buffers.get(COUNT)
        if module not in inside and count is not None and _runs_as(module, COUNTING) and module.momentum is not None:
            kept[module] = count
    seen = {norm: torch.zeros((), dtype=torch.long) for norm in kept}
    try:
        for norm in kept:
            norm._buffers[COUNT] = seen[norm]
        yield
    finally:
        for norm, count in kept.items():
            norm._buffers[COUNT] = count
    passes = {norm: int(count) for norm, count in seen.items()}
    for number in set(passes.values()) - {0}:
        torch._foreach_add_([count for norm, count in kept.items() if passes[norm] == number], number)


def _runs_as(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether a layer is one of some kinds, and its forward theirs: one of its own may do anything with its tensors."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)
