"""Skeletons: a module that is made of others, kept with holes in the places of these.

A network's own constructor would be run anew for every architecture, as its blocks are always others. Instead it is run
once with modules that have nothing, so that it cannot look into them; what it makes is cloned around the real ones.
Where that fails, or differs from what the constructor makes of the real ones, it is run every time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from nasengine.build import ModuleCall
from nasengine.supernet.cloning import clone, is_plain
from nasengine.supernet.keys import Held, tensors

TRIALS = 2  # times that a skeleton must agree with the constructor before it stands for it
MOST_MET = 20_000  # keys that are remembered
_PLAIN = (bool, int, float, str, type(None))
Own = tuple[nn.Module, tuple[Held, ...]]


class Hole(nn.Module):
    """Stands for a module that is to come."""


@dataclass
class Skeleton:
    """What a constructor made around holes.

    Args:
        module: with holes.
        path: where it was made.
        holes: in the order of the arguments.
        held: tensors of its own.
        trials: times that it agreed with the constructor.
    """

    module: nn.Module
    path: str
    holes: Sequence[nn.Module]
    held: tuple[Held, ...]
    trials: int = 0

    def around(self, parts: Sequence[nn.Module], path: str) -> Own:
        """The module with real parts in place of the holes, and its own tensors."""
        moved: dict[int, dict[str, Any]] = {}
        known = {id(hole): part for hole, part in zip(self.holes, parts, strict=True)}
        module = clone(self.module, moved, known)
        vars(module)["node_path"] = path
        length = len(self.path)
        held = (
            replace(h, key=path + h.key[length:], layer=path + h.layer[length:], slots=moved[id(h.slots)])
            for h in self.held
        )
        return module, tuple(held)


class Skeletons:
    """Those of one space; None for a constructor that has to be run every time."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Skeleton | None] = {}
        self._met: set[Hashable] = set()

    def find(self, key: Hashable) -> Skeleton | None:
        """One that has proved itself."""
        found = self._known.get(key)
        return found if found is not None and found.trials >= TRIALS else None

    def learn(
        self,
        key: Hashable,
        call: ModuleCall,
        parts: Sequence[nn.Module],
        make: Callable[[ModuleCall], nn.Module | None],
        construct: Callable[[], nn.Module],
    ) -> nn.Module:
        """Run the constructor, and try what a skeleton makes in its place.

        Args:
            key: of what the skeleton may depend on.
            call: its arguments are modules and values; `parts` are the modules in order.
            make: a call without memory; None where that is not possible.
            construct: the real thing.
        """
        if key not in self._met or (key in self._known and self._known[key] is None):
            if len(self._met) < MOST_MET:
                self._met.add(key)  # one that never comes again is not worth a trial
            return construct()
        before = [_features(part) for part in parts]
        module = construct()
        if key not in self._known:
            self._known[key] = _skeleton(call, parts, make)
        skeleton = self._known[key]
        if skeleton is not None:
            copied, _ = skeleton.around(parts, call.path)
            changed = [_features(part) for part in parts] != before
            if changed or _features(copied) != _features(module):
                self._known[key] = None
            else:
                skeleton.trials += 1
        return module


def skeleton_key(call: ModuleCall) -> Hashable:
    """What a skeleton depends on: the class, plain arguments, and which classes stand where."""

    def masked(value: Any) -> Any:
        if isinstance(value, ModuleCall):
            return "part", value.target
        if isinstance(value, Mapping):
            return {name: masked(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [masked(item) for item in value]
        return value

    return replace(call, arguments={name: masked(value) for name, value in call.arguments.items()}).configuration


def _skeleton(
    call: ModuleCall, parts: Sequence[nn.Module], make: Callable[[ModuleCall], nn.Module | None]
) -> Skeleton | None:
    holes: dict[int, nn.Module] = {}

    def with_holes(value: Any) -> Any:
        if isinstance(value, nn.Module):
            return holes.setdefault(id(value), Hole())
        if isinstance(value, Mapping):
            return {name: with_holes(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [with_holes(item) for item in value]
        return value

    try:
        module = make(replace(call, arguments=with_holes(call.arguments)))
    except Exception:  # a constructor may fail in any way when a part has not what it is asked for
        return None
    if module is None or len(holes) != len(parts) or not is_plain(module):
        return None
    ordered = [holes[id(part)] for part in parts]
    return Skeleton(module, call.path, ordered, tuple(tensors(module, {id(hole) for hole in ordered})))


def _features(module: nn.Module) -> list[Hashable]:
    """What a module is made of, as far as it can be compared: classes, names, plain values, shapes."""
    found: list[Hashable] = []
    for name, part in module.named_modules():
        found.append((name, type(part)))
        for slots in (part._parameters, part._buffers):
            found += [
                (key, tuple(t.shape), t.requires_grad, t.device.type) if isinstance(t, Tensor) else (key, None)
                for key, t in slots.items()
            ]
        found += [
            (key, value if isinstance(value, _PLAIN) else repr(value))
            for key, value in vars(part).items()
            if isinstance(value, (*_PLAIN, tuple, list)) and key != "node_path"
        ]
    return found
