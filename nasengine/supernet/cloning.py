"""Clones of a block: modules of their own around the same tensors, made in microseconds.

A constructor spends most of its time on initial values, which a network on shared weights never uses. So a block is
constructed once for its arguments; further ones are the same tree of modules with dictionaries of their own.
"""

from __future__ import annotations

import copy
import enum
import types
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

_Module = TypeVar("_Module", bound=nn.Module)

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size, torch.memory_format,
    enum.Enum, type, types.FunctionType, types.BuiltinFunctionType, Tensor,
)  # fmt: skip
_COPIED = frozenset({dict, OrderedDict, set})
_OWN = ("_parameters", "_buffers", "_modules")
_EMPTY = nn.Module().__dict__
LEFT_OUT = nn.Module()  # in the place of a module that a clone is to have no place for


def is_plain(module: nn.Module) -> bool:
    """Whether a tree of modules can be cloned: besides its children it holds plain values only, and no hooks."""
    for part in module.modules():
        for name, value in vars(part).items():
            if name in _OWN:
                continue
            if name in _EMPTY and isinstance(value, Mapping) and name.endswith("hooks"):
                if value:
                    return False
            elif not _is_plain_value(value):
                return False
    return True


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain_value, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain_value, value.values()))
    return isinstance(value, _PLAIN) and (not isinstance(value, types.BuiltinFunctionType) or _of_a_module(value))


def _of_a_module(function: types.BuiltinFunctionType) -> bool:
    """Whether a built-in is a function (torch.relu), and not a method bound to a value."""
    return function.__self__ is None or isinstance(function.__self__, (types.ModuleType, type))


def clone(module: _Module, moved: dict[int, dict[str, Any]], instead: Mapping[int, nn.Module] | None = None) -> _Module:
    """The same tree of modules; shared children stay shared.

    Args:
        module: plain.
        moved: is filled: id of a dictionary of tensors of the old tree -> that of the new one.
        instead: id of a module of the old tree -> what takes its place as it is; `LEFT_OUT` takes its place away.
    """
    return _clone(module, moved, dict(instead or {}))


def _clone(module: _Module, moved: dict[int, dict[str, Any]], known: dict[int, nn.Module]) -> _Module:
    found = known.get(id(module))
    if found is not None:
        return found  # type: ignore[return-value]
    new = module.__class__.__new__(module.__class__)
    known[id(module)] = new
    old = module.__dict__
    own = new.__dict__
    own.update(old)
    for name, value in old.items():
        kind = type(value)
        if kind in _COPIED:
            own[name] = value.copy() if value else kind()
        elif kind is list:
            own[name] = copy.deepcopy(value)
    moved[id(old["_parameters"])] = own["_parameters"]
    moved[id(old["_buffers"])] = own["_buffers"]
    children = own["_modules"] = {}
    for name, child in old["_modules"].items():
        cloned = None if child is None else _clone(child, moved, known)
        if cloned is not LEFT_OUT:
            children[name] = cloned
    return new
