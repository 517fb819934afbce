"""Moulds: modules of their own around the same tensors, made in microseconds.

A constructor spends most of its time on initial values, which a network on shared weights never uses. So a block is
constructed once for its arguments; a mould of it knows of each of its modules what is to be copied, and casts further
ones: the same tree of modules with containers, and tensors that are no weights, of their own. What may hold more than
that (a module that knows another, a hook, a function that remembers its module) has no mould.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nasengine.supernet.plain_values import SURE, Values, is_fixed, is_made_plainly

_EMPTY = nn.Module().__dict__
# What every module has: dictionaries of hooks, and containers that it fills.
_HOOKS = tuple(name for name, value in _EMPTY.items() if type(value) is OrderedDict)
_COPIED = tuple(name for name, value in _EMPTY.items() if type(value) in (dict, set) and name != "_modules")
LEFT_OUT = nn.Module()  # in the place of a module that a cast is to have no place for
PATH = "node_path"

Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """One module of a mould.

    Args:
        kind: its class.
        attributes: all of them, in order; what stands below takes the place of some.
        ordered: names of those that are empty ordered dictionaries, as PyTorch keeps hooks in.
        copied: names and values of containers of what never changes.
        nested: names and values of containers of containers.
        constants: of tensors that belong to each module alone: the dictionary they hang in (its own: ""), their names
            there, and their numbers in the mould.
        children: name -> its number among what was given and the modules; None where there is none.
        path: what follows the path of the whole in its own path; None if it has none.
    """

    kind: type[nn.Module]
    attributes: Attributes
    ordered: tuple[str, ...]
    copied: tuple[tuple[str, Any], ...]
    nested: tuple[tuple[str, Any], ...]
    constants: tuple[tuple[str, str, int], ...]
    children: tuple[tuple[str, int | None], ...]
    path: str | None


@dataclass(frozen=True, slots=True)
class Mould:
    """A tree of modules as it was when the mould was made.

    Args:
        parts: its modules, the outermost first.
        given: how many modules a cast must be given, which take places in it as they are.
        places: id of a dictionary of tensors of the tree -> number of its module, and its name there.
        constants: tensors of which each cast has copies: it may write to them, as a spectral norm does.
    """

    parts: tuple[_Part, ...]
    given: int
    places: Mapping[int, tuple[int, str]]
    constants: tuple[Tensor, ...]

    @classmethod
    def of(
        cls, module: nn.Module, path: str = "", holes: Sequence[nn.Module] = (), shared: Collection[Tensor] = ()
    ) -> Mould | None:
        """The mould of a tree; None if it cannot be copied, as it holds more than children, plain values, tensors.

        Args:
            path: of the tree.
            holes: modules in it in whose places others will stand.
            shared: tensors that take no part: others will hang in their places.
        """
        numbers = {id(hole): number for number, hole in enumerate(holes)}
        modules = list(modules_of(module, numbers))
        numbers |= {id(part): number for number, part in enumerate(modules, len(holes))}
        places: dict[int, tuple[int, str]] = {}
        parts = []
        values = Values(shared)
        for number, each in enumerate(modules, len(holes)):
            part = _part(each, numbers, len(path), values)
            if part is None:
                return None
            parts.append(part)
            for name in ("_parameters", "_buffers"):
                places[id(vars(each)[name])] = number, name
        constants = values.constants()
        return None if constants is None else cls(tuple(parts), len(holes), places, constants)

    def cast(self, path: str, given: Sequence[nn.Module | None] = ()) -> list[nn.Module | None]:
        """What was given, and new modules, the outermost first.

        Args:
            path: of the new tree.
            given: modules, or None, or `LEFT_OUT`, in the places of the holes.
        """
        made: list[nn.Module | None] = list(given)
        new = [part.kind.__new__(part.kind) for part in self.parts]
        made += new
        constants = [copy.deepcopy(tensor) for tensor in self.constants]
        for module, part in zip(new, self.parts, strict=True):
            own = module.__dict__
            own.update(part.attributes)
            for name in part.ordered:
                own[name] = OrderedDict()
            for name, value in part.copied:
                own[name] = value.copy()
            for name, value in part.nested:
                own[name] = copy.deepcopy(value)
            for where, name, constant in part.constants:
                (own[where] if where else own)[name] = constants[constant]
            children: dict[str, nn.Module | None] = {}
            for name, number in part.children:
                child = None if number is None else made[number]
                if child is not LEFT_OUT:
                    children[name] = child
            own["_modules"] = children
            if part.path is not None:
                own[PATH] = path + part.path
        return made


def modules_of(module: nn.Module, leave_out: Collection[int] = ()) -> Iterator[nn.Module]:
    """Every module of a tree once, the outermost first.

    Args:
        leave_out: ids of modules that are not to be entered.
    """
    seen = set(leave_out)
    waiting = [module]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting.extend(child for child in reversed(part._modules.values()) if child is not None)


def _part(module: nn.Module, numbers: Mapping[int, int], length: int, values: Values) -> _Part | None:
    """One module of a mould; None if it holds something that is not plain, or has hooks."""
    attributes = vars(module).copy()
    if not is_made_plainly(type(module)) or any(attributes[name] for name in _HOOKS):
        return None
    ordered = list(_HOOKS)
    copied = [(name, attributes[name].copy()) for name in _COPIED]
    nested: list[tuple[str, Any]] = []
    constants = [
        (where, name, values.number(tensor))
        for where in ("_parameters", "_buffers")
        for name, tensor in attributes[where].items()
        if tensor is not None and not values.is_shared(tensor)
    ]
    for name, value in attributes.items():
        if type(value) in SURE or name in _EMPTY:
            continue
        if isinstance(value, Tensor) and not values.is_shared(value):
            constants.append(("", name, values.number(value)))
        elif not values.is_plain(value) or values.is_known_elsewhere(value, type(module)):
            return None
        elif type(value) is OrderedDict and not value:
            ordered.append(name)
        elif not is_fixed(value):
            items: Iterable[Any] = value.values() if isinstance(value, dict) else value
            flat = type(value) is not tuple and all(map(is_fixed, items))
            (copied if flat else nested).append((name, copy.deepcopy(value)))
    children = tuple(
        (name, None if child is None else numbers[id(child)]) for name, child in attributes["_modules"].items()
    )
    path = attributes[PATH][length:] if PATH in attributes else None
    return _Part(
        type(module), attributes, tuple(ordered), tuple(copied), tuple(nested), tuple(constants), children, path
    )
