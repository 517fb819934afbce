"""Places: where a network that is no composition takes modules, and what it feeds them.

Only such a network knows what its parts will see. It may say so, in plain Python, by a static method

    @staticmethod
    def places(shape, *, width):                     # what goes into the network, and arguments of its constructor
        return {"cell": [((width, 32, 32), (width, 32, 32)), …]}

For each argument that holds modules: one pair for each of them, what goes in and what must come out (None for
anything). Then a node below such an argument is inferred like one along a composition, and ONE node written there
is built once for each place, with the widths and the weights of that place, at the path `PATH.argument.NUMBER`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from torch import nn

from nasengine.build.module_call import SCALARS, ModuleCall, one_line
from nasengine.build.shapes import Shape, write_shape
from nasengine.build.types import parameters
from nasengine.errors import Mark
from nasengine.space.filling import ABSENT, Call

NAME = "places"
Place = tuple[Shape, Shape | None]
Infer = Callable[[Call, Shape], tuple[ModuleCall, Shape]]
_Moved = TypeVar("_Moved")


def declares_places(target: type[nn.Module]) -> bool:
    """Whether a class says what it feeds the modules in its arguments."""
    return isinstance(inspect.getattr_static(target, NAME, None), staticmethod)


def declared_places(
    draft: ModuleCall, shape: Shape | None, argument: Callable[[str], Any]
) -> Mapping[str, Sequence[Place]]:
    """{argument: its places} of a network; empty where its class declares none, or where what goes in is not known.

    Args:
        draft: of the network.
        shape: of what goes into it.
        argument: name -> the value that the constructor will get.

    Raises:
        NodeError: the declaration fails for this shape and these arguments.
    """
    if shape is None or not declares_places(draft.target):
        return {}
    declare = getattr(draft.target, NAME)
    names = [name for name in inspect.signature(declare).parameters if name != "shape"]
    try:
        return dict(declare(shape=shape, **{name: argument(name) for name in names}))
    except Exception as error:
        raise draft.fail(
            f"cannot say what it feeds its parts for an input of {write_shape(shape)}: {one_line(error)}"
        ) from error


def fill_places(
    value: Any, name: str, places: Sequence[Place], draft: ModuleCall, mark: Mark | None, infer: Infer
) -> list[ModuleCall | None]:
    """The modules of all places of one argument.

    Args:
        value: what is written there: one node for all places, or a list with one for each.
        name: of the argument.
        places: what goes in and what must come out.
        draft: of the network.
        mark: of the argument.
        infer: of a node and the shape that goes in.

    Raises:
        NodeError: the wrong number of nodes, something that is no node, or one that gives another shape than it must.
    """
    path = f"{draft.path}.{name}"
    here = replace(draft, mark=mark or draft.mark)
    if isinstance(value, Call):
        return _repeated(value, path, places, draft.type, infer)
    if not isinstance(value, (list, tuple)):
        found = "nothing" if value is None or value is ABSENT else repr(value)
        raise here.fail(f"holds {found} at {name} where nodes are expected", f"one node, or a list of {len(places)}")
    if len(value) != len(places):
        raise here.fail(
            f"has {len(places)} places for {name}, got {len(value)} nodes",
            f"one node for all of them, or a list of {len(places)}",
        )
    filled: list[ModuleCall | None] = []
    for number, (item, place) in enumerate(zip(value, places, strict=True)):
        if not isinstance(item, Call):
            raise here.fail(f"holds no node at {name}.{number}", "a node is a mapping with a type: {type: …}")
        filled.append(_fitted(item, place, draft.type, infer))
    return filled


def _repeated(node: Call, path: str, places: Sequence[Place], network: str, infer: Infer) -> list[ModuleCall | None]:
    """One node at every place, inferred once for each kind of place and then moved to the others of that kind."""
    known: dict[Place, tuple[str, ModuleCall]] = {}
    filled: list[ModuleCall | None] = []
    for number, place in enumerate(places):
        at = f"{path}.{number}"
        if place not in known:
            known[place] = at, _fitted(moved(node, path, at), place, network, infer)
        first, call = known[place]
        filled.append(moved(call, first, at))
    return filled


def _fitted(node: Call, place: Place, network: str, infer: Infer) -> ModuleCall:
    goes_in, expected = place
    explicit, comes_out = infer(node, goes_in)
    if expected is not None and comes_out != expected:
        raise explicit.fail(
            f"gives {write_shape(comes_out)} for an input of {write_shape(goes_in)}",
            f"expected {write_shape(expected)}, which is what {network} goes on with there",
        )
    return explicit


def moved(value: _Moved, start: str, to: str) -> _Moved:
    """A call, or anything that holds calls, with `to` in place of `start` at the beginning of every path."""
    if type(value) in SCALARS:
        return value
    if isinstance(value, (Call, ModuleCall)):
        path = to + value.path.removeprefix(start)
        arguments = {name: moved(part, start, to) for name, part in value.arguments.items()}
        if isinstance(value, ModuleCall):
            return cast(_Moved, value.at(path, arguments))
        return cast(_Moved, replace(value, path=path, arguments=arguments))
    if isinstance(value, Mapping):
        return cast(_Moved, {key: moved(part, start, to) for key, part in value.items()})
    if isinstance(value, (list, tuple)):
        return cast(_Moved, [moved(part, start, to) for part in value])
    return value


def default_of(draft: ModuleCall, name: str) -> Any:
    """What the constructor takes where an argument is not written; None where it has no such argument."""
    known = parameters(draft.target)
    return known.default(name) if name in known.named and not known.is_required(name) else None
