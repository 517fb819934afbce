"""PyTorch's layers without memory, each constructed once for its arguments and copied from then on.

Constructing a network costs the constructors of its layers: a convolution without memory takes a tenth of a
millisecond, nearly all of it for tensors and initial values that nobody reads. While `KnownLayers` is entered, a thread
that constructs one of PyTorch's own layers on the meta device gets what an earlier construction of the same class with
the same arguments left behind, with containers and tensors of its own. What it cannot know (a subclass that changes
what the constructor does, an argument that is no plain value, a layer on a device) is constructed as ever; so is
everything in other threads, and what is constructed within a `with torch.device(...)` of a constructor's own.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _len_torch_function_stack
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

CLASSES: tuple[type[nn.Module], ...] = (_ConvNd, _NormBase, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.Embedding)
# What a subclass may define anew without a word in what the constructor above it does.
HARMLESS = frozenset(
    [
        *("__init__", "__doc__", "__module__", "__qualname__", "__annotations__", "__constants__", "__firstlineno__"),
        *("__static_attributes__", "__parameters__", "__orig_bases__", "__repr__", "forward", "extra_repr"),
        *("_conv_forward", "_output_padding", "_check_input_dim"),
    ]
)
MOST_KNOWN = 20_000  # of a kilobyte each
_PLAIN = frozenset({bool, int, float, str, type(None), torch.dtype, torch.device})
_CONTAINERS = frozenset({dict, OrderedDict, set, list})

_known: dict[Hashable, _Layer] = {}
# .modes: each time this thread entered, how many function modes it was in; -1: not without memory
_here = threading.local()
_lock = threading.Lock()
_entered = 0  # by all threads
_original: dict[type[nn.Module], Callable[..., None]] = {}


class KnownLayers:
    """Entered within `torch.device("meta")`: constructors of PyTorch's layers copy what they made before."""

    def __enter__(self) -> None:
        global _entered
        with _lock:
            if not _entered:
                for kind in CLASSES:
                    _original[kind] = kind.__init__
                    kind.__init__ = _knowing(kind, kind.__init__)  # type: ignore[method-assign]
            _entered += 1
        without_memory = torch.get_default_device().type == "meta"
        # A constructor may enter another device for a while. Asking for that each time takes as long as all else.
        _here.modes = [*getattr(_here, "modes", []), _len_torch_function_stack() if without_memory else -1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _entered
        _here.modes.pop()
        with _lock:
            _entered -= 1
            if not _entered:
                for changed, constructor in _original.items():
                    changed.__init__ = constructor  # type: ignore[method-assign]


def _knowing(base: type[nn.Module], constructor: Callable[..., None]) -> Callable[..., None]:
    """The constructor of a class, looking first whether it has been called so before."""

    here: Any = base

    @functools.wraps(constructor)
    def construct(self: nn.Module, *arguments: Any, **keywords: Any) -> None:
        kind: Any = type(self)
        entered = getattr(_here, "modes", None)
        without_memory = entered and entered[-1] == _len_torch_function_stack()
        # Nor in inference mode, whose tensors can never be trained.
        if not without_memory or torch.is_inference_mode_enabled() or vars(self) or not _is_harmless(kind, here):
            constructor(self, *arguments, **keywords)
            return
        values = _written((*arguments, *keywords.values()))
        key = None if values is None else (base, values, tuple(keywords), torch.get_default_dtype())
        found = None if key is None else _known.get(key)
        if found is None:
            constructor(self, *arguments, **keywords)
            found = None if key is None else _Layer.of(self)
            if found is not None:
                if len(_known) >= MOST_KNOWN:
                    _known.clear()
                _known[key] = found
        else:
            found.write(vars(self))

    return construct


@functools.lru_cache(maxsize=1000)
def _is_harmless(kind: Any, base: Any) -> bool:
    """Whether the constructor of a class does the same for a subclass."""
    others = [each for each in kind.__mro__ if each not in base.__mro__]
    return all(name in HARMLESS or not hasattr(base, name) for each in others for name in vars(each))


def _written(values: tuple[Any, ...]) -> Hashable | None:
    """Plain values with their types, as 1, 1.0 and True are equal; None where there is another among them."""
    written: list[Any] = []
    for value in values:
        if type(value) in _PLAIN:
            written += (type(value), value)
        elif type(value) is tuple:
            inner = _written(value)
            if inner is None:
                return None
            written.append(inner)
        else:
            return None
    return tuple(written)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What a constructor left behind.

    Args:
        attributes: all of them, containers empty.
        containers: name -> one to copy.
        tensors: the dictionary that a tensor hangs in, its name there, itself, its class, whether it is learned.
    """

    attributes: dict[str, Any]
    containers: tuple[tuple[str, Any], ...]
    tensors: tuple[tuple[str, str, Tensor, type[Tensor], bool], ...]

    @classmethod
    def of(cls, layer: nn.Module) -> _Layer | None:
        """The same of a layer; None for one that has parts, or memory."""
        attributes = vars(layer).copy()
        containers = [(name, v) for name, v in attributes.items() if type(v) in _CONTAINERS]
        held = [
            (where, name, tensor)
            for where in ("_parameters", "_buffers")
            for name, tensor in attributes[where].items()
            if tensor is not None
        ]
        if layer._modules or any(tensor.device.type != "meta" for _, _, tensor in held):
            return None
        return cls(
            attributes,
            tuple((name, value.copy()) for name, value in containers),
            tuple((where, name, _like(tensor), type(tensor), tensor.requires_grad) for where, name, tensor in held),
        )

    def write(self, into: dict[str, Any]) -> None:
        """Give these to a layer, with containers and tensors of its own."""
        into.update(self.attributes)
        for name, value in self.containers:
            into[name] = value.copy() if value else type(value)()
        for where, name, tensor, kind, learned in self.tensors:
            into[where][name] = _make(kind, tensor, learned)


_make = torch.Tensor._make_subclass


def _like(tensor: Tensor) -> Tensor:
    made: Tensor = _make(type(tensor), tensor, tensor.requires_grad)
    return made
