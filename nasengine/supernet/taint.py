"""Which channels reach a layer: NaN is put into channels where they are made, and looked for where they arrive.

A NaN stays in its channel through activations, pooling, sums, concatenation, reshaping and permutation, and spreads
over all that an operation mixes. So one run of a network says for every layer which of its inputs come from which
layer's outputs, with nothing declared. Each layer computes one image only and hands on a tainted copy for each of the
patterns; norms hand on what they get.

Shapes:  B patterns (images)   C channels of a layer
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.supernet.keys import layers
from nasengine.supernet.leaves import Leaf
from nasengine.supernet.private import Private

Patterns = dict[str, Tensor]  # layer -> (B, C) bool: which channels are on
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU)


def trace(
    make: Callable[[], Private], images: Tensor, outputs: Mapping[str, Tensor], *, values: bool = False
) -> Patterns:
    """Run a private network with tainted channels.

    Args:
        make: gives the network, on the CPU; it is good for nothing else afterwards.
        images: (B, C, H, W)
        outputs: layer -> (B, C) bool, False for channels to taint; layers that are not named give clean channels.
        values: compute what layers give; without it they give numbers at random, which is faster, and the network is
            run again with values if it does not get along with that.
    Returns: layer -> (B, C) bool, False for input channels that are tainted, for every layer that was called.
    """
    private = make()
    seen: Patterns = {}
    generator = torch.Generator().manual_seed(0)
    for held in private.held:
        if values or held.leaf is None:
            value = torch.rand(held.tensor.shape, generator=generator) * 0.8 + 0.1
            held.slots[held.name] = nn.Parameter(value) if isinstance(held.tensor, nn.Parameter) else value
    for layer in layers(private.network):
        if layer.leaf is not None:
            run = layer.module.forward if values else functools.partial(_shape_only, layer.module.forward, generator)
            forward = functools.partial(_tainted, run, layer.module, layer.leaf, layer.key, seen, outputs, len(images))
            vars(layer.module)["forward"] = forward
        elif isinstance(layer.module, nn.ZeroPad1d):
            # Zeros behind the channels that are on: what is off ends here (`masked_layers` masks its input).
            vars(layer.module)["forward"] = functools.partial(_padded, layer.module.forward)
    try:
        with torch.no_grad():
            private.network.eval()(images)
    except (RuntimeError, NotImplementedError):
        if values:
            raise
        return trace(make, images, outputs, values=True)
    return seen


def _padded(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return forward(x.nan_to_num(0.0))


def _shape_only(forward: Callable[..., Any], generator: torch.Generator, *arguments: Any, **keywords: Any) -> Any:
    """Numbers at random in the shape of what a layer without memory gives."""
    y = forward(*map(_unreal, arguments), **{name: _unreal(value) for name, value in keywords.items()})
    return tuple(_real(part, generator) for part in y) if isinstance(y, tuple) else _real(y, generator)


def _unreal(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _real(value: Any, generator: torch.Generator) -> Any:
    return torch.rand(value.shape, generator=generator) * 0.8 + 0.1 if isinstance(value, Tensor) else value


def _tainted(
    forward: Callable[..., Any],
    module: nn.Module,
    leaf: Leaf,
    key: str,
    seen: Patterns,
    outputs: Mapping[str, Tensor],
    batch: int,
    x: Tensor,
    *arguments: Any,
    **keywords: Any,
) -> Any:
    """What a layer gives, with NaN in the channels that are off."""
    made = outputs.get(key)
    if (
        leaf.inputs is None or x.shape[0] % batch
    ):  # of indices, or made from no image: nothing arrives that could be off
        y = forward(x, *arguments, **keywords)
        return y if made is None or y.shape[0] % batch else y.masked_fill(~_over(made, y, -1), torch.nan)
    arrived = _channels_on(x, leaf.dim, batch)
    seen[key] = arrived & seen[key] if key in seen else arrived
    if isinstance(module, NORMS):
        return x
    rows = x.shape[0] // batch
    first = {name: _first(rows, batch, value)[0] for name, value in keywords.items()}
    y = forward(*_first(rows, batch, x, *arguments), **first)
    one = y[0] if isinstance(y, tuple) else y
    copies = one.repeat(batch, *[1] * (one.dim() - 1))
    if leaf.follows:
        per_group = leaf.inputs // leaf.groups if leaf.groups > 1 else 1
        made = arrived.reshape(batch, -1, per_group).all(2)
        made = made.repeat_interleave(per_group * leaf.outputs // leaf.inputs, 1)
    if made is not None:
        copies = copies.masked_fill(~_over(made, copies, leaf.dim), torch.nan)
    return (copies, *y[1:]) if isinstance(y, tuple) else copies


def _first(rows: int, batch: int, *values: Any) -> list[Any]:
    """The rows of the first image, without NaN."""
    return [
        torch.nan_to_num(value[:rows], 0.5)
        if isinstance(value, Tensor) and value.is_floating_point() and value.shape[:1] == (rows * batch,)
        else value
        for value in values
    ]


def _channels_on(x: Tensor, dim: int, batch: int) -> Tensor:
    """(B, C) which channels of each image hold no NaN; an image may be several rows."""
    dim = x.dim() - 1 if dim == -1 or x.dim() == 2 else dim
    rest = [axis for axis in range(1, x.dim()) if axis != dim]
    total = x.sum(dim=rest) if rest else x  # a sum with a NaN is NaN
    return ~total.isnan().reshape(batch, -1, total.shape[-1]).any(1)


def _over(on: Tensor, x: Tensor, dim: int) -> Tensor:
    """(B, C) so that it can be applied to a tensor whose first axis is a multiple of B."""
    rows = x.shape[0] // on.shape[0]
    on = on.repeat_interleave(rows, 0)
    if dim == -1 or x.dim() == 2:
        return on.reshape(on.shape[0], *[1] * (x.dim() - 2), -1)
    return on.reshape(*on.shape, *[1] * (x.dim() - 2))
