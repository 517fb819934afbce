"""The shape a built layer gives for the shape it gets, found by running it on tensors without memory.

Shapes are those of one image, the batch left out: (C, H, W) a feature map, (L, D) tokens, (F,) a vector.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Hashable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasengine.build.initial_weights import WithoutInitialWeights
from nasengine.build.known_layers import KnownLayers
from nasengine.build.module_call import ModuleCall, NodeError, instantiate, one_line
from nasengine.networks.blocks.activation import ACTIVATIONS

Shape = tuple[int, ...]

KEEPS_ITS_INPUT = frozenset(activation.forward for activation in ACTIVATIONS.values())
TOO_SMALL = ("Output size is too small", "Kernel size can't be greater than actual input size")  # words of PyTorch
EMPTY = "Initializing zero-element tensors"
LARGEST_CACHE = 100_000  # entries of some hundred bytes
_cache: dict[Hashable, Shape] = {}


def write_shape(shape: Shape) -> str:
    """(64, 8, 8) as "64×8×8"."""
    return "×".join(map(str, shape)) or "one number"


def output_shape(call: ModuleCall, shape: Shape) -> Shape:
    """What the module of `call` gives for an input of `shape`; remembered by configuration.

    Raises:
        NodeError: its constructor refuses its arguments, or it cannot take this input.
    """
    key = (call.configuration, shape)
    found = _cache.get(key)
    if found is None:
        found = _measure(call, shape)
        if len(_cache) >= LARGEST_CACHE:
            _cache.clear()
        _cache[key] = found
    return found


def _measure(call: ModuleCall, shape: Shape) -> Shape:
    with torch.device("meta"), WithoutInitialWeights(), KnownLayers(), warnings.catch_warnings():
        warnings.filterwarnings("error", EMPTY)
        try:
            return _run(call, instantiate(call), shape)
        except NodeError as error:
            if isinstance(error.__cause__, UserWarning):
                raise call.fail("has a layer without inputs or outputs", "sizes of at least 1") from error
            if not _is_for_want_of_memory(error.__cause__):
                raise
            on_meta = error
    state = torch.get_rng_state()
    try:
        with torch.device("cpu"):
            return _run(call, instantiate(call), shape)
    except NodeError as error:
        raise error from on_meta
    finally:
        torch.set_rng_state(state)


def skip_arithmetic(module: nn.Module) -> None:
    """Have PyTorch's activations, batch and layer normalisations and linear layers check what they get, and no more.

    Without memory PyTorch spells such operations out in Python, which takes three quarters of the time of a block.
    The module is good for shapes only afterwards.
    """
    for part in module.modules():
        forward = type(part).forward
        if forward in KEEPS_ITS_INPUT:
            vars(part)["forward"] = _hand_on
        elif isinstance(part, _BatchNorm) and forward is _BatchNorm.forward:
            vars(part)["forward"] = functools.partial(_check_channels, part)
        elif isinstance(part, nn.LayerNorm) and forward is nn.LayerNorm.forward:
            vars(part)["forward"] = functools.partial(_check_width, part)
        elif isinstance(part, nn.Linear) and forward is nn.Linear.forward:
            vars(part)["forward"] = functools.partial(_widen, part)


def _hand_on(x: Tensor) -> Tensor:
    return x


def _check_channels(norm: _BatchNorm, x: Tensor) -> Tensor:
    norm._check_input_dim(x)  # type: ignore[no-untyped-call]
    if x.shape[1] != norm.num_features:
        raise ValueError(f"expected {norm.num_features} channels, got {x.shape[1]}")
    return x


def _check_width(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    expected = tuple(norm.normalized_shape)
    if tuple(x.shape[-len(expected) :]) != expected:
        raise ValueError(f"expected {write_shape(expected)} at the end of the shape, got {write_shape(tuple(x.shape))}")
    return x


def _widen(linear: nn.Linear, x: Tensor) -> Tensor:
    if x.shape[-1:] != (linear.in_features,):
        found = write_shape(tuple(x.shape))
        raise ValueError(f"expected {linear.in_features} at the end of the shape, got {found}")
    return x.new_empty((*x.shape[:-1], linear.out_features))


def _is_for_want_of_memory(error: BaseException | None) -> bool:
    """Whether a module may work on a CPU, because it only wanted to read a value (`.item()`) of a meta tensor."""
    return isinstance(error, NotImplementedError) or "meta" in str(error).lower()


def _run(call: ModuleCall, module: nn.Module, shape: Shape) -> Shape:
    batch = 2  # one image would be too few for statistics of a 1×1 map
    skip_arithmetic(module)
    with torch.no_grad():
        try:
            output = module.eval()(torch.zeros(batch, *shape))
        except Exception as error:
            found = f"cannot take its input of {write_shape(shape)}"
            if any(words in str(error) for words in TOO_SMALL):
                hint = "fewer strides and pools before it, or a larger input"
                raise call.fail(f"{found}: the feature map is too small to shrink", hint) from error
            raise call.fail(f"{found}: {one_line(error)}") from error
    if not isinstance(output, Tensor):
        raise call.fail(f"gives {type(output).__name__} where a tensor is expected")
    if output.dim() == 0 or output.shape[0] != batch:
        raise call.fail(f"loses the batch: {batch} images of {write_shape(shape)} give {write_shape(output.shape)}")
    return tuple(output.shape[1:])
