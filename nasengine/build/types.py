"""What `type:` in a space names: an entry of NETWORK_TYPES, or a class of a Python module the user allowed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from nasengine.errors import InputError, Problem, UnknownNameError, nearest, one_of
from nasengine.networks import NETWORK_TYPES
from nasengine.registry import allow_modules, allowed_modules, expected_in, import_module

__all__ = ["Parameters", "allow_modules", "look_up_type", "parameters"]


def look_up_type(name: str) -> type[nn.Module]:
    """The class that `type: name` means.

    Args:
        name: "mbconv", or "package.module:Class" if `package.module` or a package above it was allowed.

    Raises:
        UnknownNameError: no such type; a module that was not allowed or does not hold the class.
        InputError: the module cannot be imported, or the class is no torch.nn.Module.
    """
    if ":" not in name:
        if name not in NETWORK_TYPES:
            raise UnknownNameError(Problem(f"unknown type {name!r}", expected=expected_in(NETWORK_TYPES, name)))
        return NETWORK_TYPES[name]
    module_name, _, class_name = name.partition(":")
    parts = module_name.split(".")
    if not any(".".join(parts[: length + 1]) in allowed_modules() for length in range(len(parts))):
        raise UnknownNameError(
            Problem(
                f"type {name!r} is Python code of the module {module_name!r}, which was not allowed",
                expected=f"if you trust it, add --plugin {module_name}",
            )
        )
    module = import_module(module_name)
    found = getattr(module, class_name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise UnknownNameError(
            Problem(
                f"the module {module_name!r} holds no {class_name!r}",
                expected=f"expected {one_of(classes)}{nearest(class_name, classes)}",
            )
        )
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise InputError(Problem(f"type {name!r} is no subclass of torch.nn.Module"))
    return found


@dataclass(frozen=True)
class Parameters:
    """A constructor's parameters by name, in order; `takes_any` where it has `**kwargs`."""

    named: Mapping[str, inspect.Parameter]
    takes_any: bool

    def is_required(self, name: str) -> bool:
        """Whether a call must give this one."""
        return self.named[name].default is inspect.Parameter.empty

    def default(self, name: str) -> Any:
        """The default, or `inspect.Parameter.empty`."""
        return self.named[name].default


_signatures: dict[Any, Parameters] = {}


def parameters(target: type[nn.Module]) -> Parameters:
    """The parameters of a class's constructor, `self` left out (reading a signature costs 20 µs, so it is kept)."""
    if target not in _signatures:
        _signatures[target] = _read_signature(target)
    return _signatures[target]


def _read_signature(target: type[nn.Module]) -> Parameters:
    found = inspect.signature(target).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return Parameters(
        {parameter.name: parameter for parameter in found if parameter.kind not in variable},
        any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in found),
    )
