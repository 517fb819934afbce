"""Remembers what shapes an operation on meta tensors gives, so that it is worked out once.

On the meta device an operation computes nothing but the shape of its result, yet many do so in Python and
take longer than a small real one would. Networks of one space repeat the same few hundred operations.
Only operations that write nothing but fresh results are remembered: no views, nothing in place.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

LARGEST_CACHE = 50_000  # operations, of some hundred bytes each

_Result = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
_results: dict[Hashable, tuple[bool, tuple[_Result, ...]] | None] = {}
_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)


class _NoKeyError(Exception):
    """An argument that a key cannot hold."""


def _key(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        if value.device.type != "meta" or type(value) not in (Tensor, torch.nn.Parameter):
            raise _NoKeyError
        return tuple(value.shape), value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple(map(_key, value))
    if isinstance(value, _PLAIN):
        return type(value), value
    raise _NoKeyError


def run(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """`function(*arguments, **keywords)`, or on meta tensors a result equal in everything that meta tensors have."""
    if function._schema.is_mutable:
        return function(*arguments, **keywords)
    try:
        key = (function, _key(arguments), tuple((name, _key(value)) for name, value in sorted(keywords.items())))
    except _NoKeyError:
        return function(*arguments, **keywords)
    if key not in _results:
        output = function(*arguments, **keywords)
        if len(_results) >= LARGEST_CACHE:
            _results.clear()
        _results[key] = _describe(output, arguments)
        return output
    found = _results[key]
    if found is None:
        return function(*arguments, **keywords)
    single, results = found
    made = tuple(torch.empty_strided(shape, stride, dtype=dtype, device="meta") for shape, stride, dtype in results)
    return made[0] if single else made


def _describe(output: Any, arguments: tuple[Any, ...]) -> tuple[bool, tuple[_Result, ...]] | None:
    """What to make again; None for results that share memory or are more than tensors."""
    outputs = (output,) if isinstance(output, Tensor) else output
    if not isinstance(outputs, tuple) or not all(type(o) is Tensor and o.device.type == "meta" for o in outputs):
        return None
    storages = [o.untyped_storage()._cdata for o in outputs]
    given = {t.untyped_storage()._cdata for t in _flat(arguments)}
    results = tuple((tuple(o.shape), o.stride(), o.dtype) for o in outputs)
    for tensor, (shape, stride, dtype) in zip(outputs, results, strict=True):
        again = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
        if again.untyped_storage().nbytes() != tensor.untyped_storage().nbytes() or tensor.storage_offset():
            return None
    if len(set(storages)) < len(storages) or given & set(storages):
        return None
    return isinstance(output, Tensor), results


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _flat(item)]
    return []
