"""Which attributes of a module can be copied so that the copy is what a constructor would make, and shares nothing.

A value that nothing can change is handed on; a container of such values is copied, where it belongs to one module
alone; a tensor too. All others (objects of other classes, containers that two modules share or that a class or a
Python module knows as well, functions that remember something) only the constructor knows how to make.
"""

from __future__ import annotations

import copy
import enum
import sys
import types
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

_FIXED = (
    type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.memory_format, enum.Enum, type,
)  # fmt: skip
_CONTAINERS = frozenset({dict, OrderedDict, set, list, tuple})  # their subclasses may hold more than what is in them
SURE = frozenset({type(None), bool, int, float, str})


def is_fixed(value: Any) -> bool:
    """Whether nothing can change a value, so that all may share it."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_fixed, value))
    if isinstance(value, types.BuiltinFunctionType):  # torch.relu, but no method bound to a value
        return value.__self__ is None or isinstance(value.__self__, (types.ModuleType, type))
    if isinstance(value, types.FunctionType):
        return _belongs_to_a_module(value) or _remembers_nothing(value)
    return isinstance(value, _FIXED)


def _belongs_to_a_module(function: types.FunctionType) -> bool:
    """Whether a function is known by its name to a Python module, and so is the same whoever asks for it."""
    home = sys.modules.get(function.__module__)
    return home is not None and vars(home).get(function.__name__) is function


def _remembers_nothing(function: types.FunctionType) -> bool:
    """Whether a function knows of no more than fixed values and functions of Python modules: no `lambda: self.x`."""
    try:
        remembered = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # of a cell that is still empty
        return False
    remembered += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *vars(function).values()]
    return all(
        _belongs_to_a_module(value) if isinstance(value, types.FunctionType) else is_fixed(value)
        for value in remembered
    )


def is_made_plainly(kind: Any) -> bool:
    """Whether all that a module of a class is stands in its dictionary, and the class has no own way of copying."""
    slots = any(vars(base).get("__slots__") for base in kind.__mro__)
    return kind.__new__ is object.__new__ and not slots and not hasattr(kind, "__deepcopy__")


class Values:
    """The values met in a tree of modules.

    Args:
        shared: tensors that do not belong to the tree.
    """

    def __init__(self, shared: Collection[Tensor]) -> None:
        self._shared = {id(tensor) for tensor in shared}
        self._containers: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._tensors: list[Tensor] = []

    def is_plain(self, value: Any) -> bool:
        """Whether a value is fixed, or a container of plain ones that was not met before."""
        if is_fixed(value):
            return True
        if type(value) not in _CONTAINERS or id(value) in self._containers:
            return False
        self._containers.add(id(value))
        if isinstance(value, dict):
            return all(map(is_fixed, value)) and all(map(self.is_plain, value.values()))
        return all(map(self.is_plain, value))

    def is_known_elsewhere(self, value: Any, kind: type[nn.Module]) -> bool:
        """Whether a container is no module's own, but its class's or that of the file which defines the class."""
        if is_fixed(value):
            return False
        homes = [vars(sys.modules[base.__module__]) for base in kind.__mro__ if base.__module__ in sys.modules]
        places = [vars(base) for base in kind.__mro__] + homes
        return any(value is other for place in places for other in list(place.values()))

    def is_shared(self, tensor: Tensor) -> bool:
        """Whether a tensor does not belong to the tree."""
        return id(tensor) in self._shared

    def number(self, tensor: Tensor) -> int:
        """That of a constant: the same for one that hangs in several places."""
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self._tensors)
            self._tensors.append(tensor)
        return self._numbers[id(tensor)]

    def constants(self) -> tuple[Tensor, ...] | None:
        """Copies of the constants; None if some lie in the same memory, or cannot be copied."""
        for tensor in self._tensors:
            if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided or not tensor.is_leaf:
                return None
        memory = [tensor.untyped_storage().data_ptr() for tensor in self._tensors if tensor.numel()]
        if len(set(memory)) < len(memory):
            return None
        return tuple(copy.deepcopy(tensor) for tensor in self._tensors)
