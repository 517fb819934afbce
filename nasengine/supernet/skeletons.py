"""Skeletons: a module that is made of others, kept with holes in the places of these.

A network's own constructor would be run anew for every architecture, as its blocks are always others. Instead it is run
once with modules that have nothing, so that it cannot look into them; what it makes is cloned around the real ones.
In a list of modules of one class some may be absent: the constructor is run once more with none of them, and what it
puts into their places then stands there. Where that fails, or differs from what the constructor makes of the real ones,
there is a skeleton for each pattern of what is there; where that differs too, the constructor is run every time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from nasengine.build import ModuleCall
from nasengine.supernet.casting import Own, Pattern
from nasengine.supernet.cloning import LEFT_OUT, Mould, modules_of
from nasengine.supernet.keys import tensors

# Times that the skeletons of a class must agree with its constructor (each must once); True: where parts are absent.
TRIALS = {False: 2, True: 4}
# Networks that must have a key before there is a skeleton for it; more where those of other widths have one already.
MEETINGS, MORE_MEETINGS = 2, 8
MOST_MET = 20_000  # keys that are remembered
_PLAIN = (bool, int, float, str, type(None))
_COMPARED = (*_PLAIN, tuple, list)
_CHANGED = frozenset({dict, OrderedDict, set, list})  # what may change without being another object
Make = Callable[[ModuleCall], nn.Module | None]


class Hole(nn.Module):
    """Stands for a module that is to come."""


@dataclass
class Skeleton:
    """What a constructor made around holes.

    Args:
        pattern: of the module with holes, in the order of the arguments.
        kind: of the call: all but whole numbers, which are mostly widths.
        absent: for each hole, what stands there when no module comes, if that can be.
        agreed: whether it agreed with the constructor; by whether some part was absent.
    """

    pattern: Pattern
    kind: Hashable
    absent: Sequence[Mould | nn.Module | None]
    agreed: set[bool] = field(default_factory=set)

    def around(self, parts: Sequence[nn.Module | None], path: str) -> Own | None:
        """The module with real parts in place of the holes, and its own tensors; None if one may not be absent."""
        if len(parts) != len(self.absent):
            return None
        given: list[nn.Module | None] = []
        for part, stand_in in zip(parts, self.absent, strict=True):
            if part is None and stand_in is None:
                return None
            if part is None:
                part = stand_in.cast("")[0] if isinstance(stand_in, Mould) else stand_in
            given.append(part)
        return self.pattern.cast(path, given)


class Skeletons:
    """Those of one space; None for a key of which there can be none."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Skeleton | None] = {}
        self._met: dict[Hashable, tuple[int, int]] = {}  # key -> in how many networks it was met, and the last of them
        self._network = 0
        self._kinds: set[Hashable] = set()  # of the calls that there is a skeleton for
        self._trials: Counter[tuple[Hashable, bool]] = Counter()  # by class and what is no whole number

    def begin(self) -> None:
        """Go on with another network."""
        self._network += 1

    def key(self, call: ModuleCall) -> Hashable:
        """What the skeleton of a call may depend on: without a pattern of what is absent, as long as that works."""
        key = _key(call, patterns=False)
        return _key(call, patterns=True) if self._failed(key) else key

    def _failed(self, key: Hashable) -> bool:
        return key in self._known and self._known[key] is None

    def find(self, key: Hashable, parts: Sequence[nn.Module | None], path: str) -> Own | None:
        """A module by a skeleton that has proved itself."""
        found = self._known.get(key)
        absent = None in parts
        if found is None or absent not in found.agreed or self._trials[found.kind, absent] < TRIALS[absent]:
            return None
        return found.around(parts, path)

    def learn(
        self,
        key: Hashable,
        call: ModuleCall,
        parts: Sequence[nn.Module | None],
        make: Make,
        construct: Callable[[], Own],
    ) -> Own:
        """Run the constructor, and try what a skeleton makes in its place.

        Args:
            key: see `key`.
            call: its arguments are modules and values; `parts` are the modules in order, None where one is absent.
            make: a call without memory; None where that is not possible.
            construct: the real thing.
        """
        times, last = self._met.get(key, (0, 0))
        if last != self._network and len(self._met) < MOST_MET:
            times += 1
            self._met[key] = times, self._network
        kind = _kind(call.target, call.arguments)
        if self._failed(key) or times < (MEETINGS if kind not in self._kinds or key in self._known else MORE_MEETINGS):
            return construct()  # what hardly any other network has is not worth a trial
        self._kinds.add(kind)
        there = [part for part in parts if part is not None]
        before = [_Snapshot(module) for part in there for module in modules_of(part)]
        module, own = construct()
        if key not in self._known:
            self._known[key] = _skeleton(call, make)
        skeleton = self._known[key]
        if skeleton is not None:
            copied = skeleton.around(parts, call.path)
            changed = any(snapshot.is_old() for snapshot in before)
            ids = set(map(id, there))
            same = copied is not None and _features(copied[0], ids) == _features(module, ids)
            if changed or copied is None or not same or [h.key for h in copied[1]] != [h.key for h in own]:
                self._known[key] = None
            else:
                skeleton.agreed.add(None in parts)
                self._trials[skeleton.kind, None in parts] += 1
        return module, own


def parts_of(value: Any) -> Iterator[nn.Module | None]:
    """The modules among the arguments of a call, in order; None for one that is absent from a list of them."""
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from parts_of(item)
    elif _has_slots(value):
        yield from value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from parts_of(item)


def _has_slots(value: Any) -> bool:
    """Whether a value is a list of modules, or calls of them, of one class, of which some may be absent."""
    if not isinstance(value, (list, tuple)):
        return False
    kinds = {item.target if isinstance(item, ModuleCall) else type(item) for item in value if item is not None}
    return not kinds or (len(kinds) == 1 and issubclass(next(iter(kinds)), nn.Module))


def _key(call: ModuleCall, *, patterns: bool) -> Hashable:
    """What a skeleton depends on: the class, plain arguments, which classes stand where, and perhaps what is absent."""

    def masked(value: Any) -> Any:
        if isinstance(value, ModuleCall):
            return "part", value.target
        if isinstance(value, Mapping):
            return {name: masked(item) for name, item in value.items()}
        if not patterns and _has_slots(value):
            return "slots", len(value), next((item.target for item in value if item is not None), None)
        if isinstance(value, (list, tuple)):
            return [masked(item) for item in value]
        return value

    return replace(
        call, arguments={name: masked(value) for name, value in call.arguments.items()}
    ).configuration, patterns


def _skeleton(call: ModuleCall, make: Make) -> Skeleton | None:
    def filled(value: Any, holes: list[nn.Module], fill: bool) -> Any:
        if isinstance(value, nn.Module):
            holes.append(Hole())
            return holes[-1]
        if isinstance(value, Mapping):
            return {name: filled(item, holes, fill) for name, item in value.items()}
        if _has_slots(value):
            return (
                [filled(call_or_hole, holes, fill) for call_or_hole in [Hole()] * len(value)]
                if fill
                else [None] * len(value)
            )
        if isinstance(value, (list, tuple)):
            return [filled(item, holes, fill) for item in value]
        return value

    holes: list[nn.Module] = []
    module = _made(call, filled(call.arguments, holes, True), make)
    if module is None:
        return None
    own = tuple(tensors(module, {id(hole) for hole in holes}))
    pattern = Pattern.of(module, call.path, own, holes)
    if pattern is None:
        return None
    others: list[nn.Module] = []
    arguments = filled(call.arguments, others, False)
    empty = _made(call, arguments, make) if len(others) < len(holes) else None
    absent = {} if empty is None else _stand_ins(module, empty, {id(hole) for hole in holes})
    kind = _kind(call.target, call.arguments)
    return Skeleton(pattern, kind, [absent.get(id(hole)) for hole in holes])


def _kind(target: type[nn.Module], arguments: Mapping[str, Any]) -> Hashable:
    def masked(value: Any) -> Hashable:
        if isinstance(value, Mapping):
            return tuple((name, masked(item)) for name, item in value.items())
        if isinstance(value, (list, tuple)):
            return tuple(masked(item) for item in value)
        if isinstance(value, nn.Module) or type(value) is int or value is None:
            return type(value).__name__
        plain: Hashable = value
        return type(value).__name__, plain

    return target, masked(arguments)


def _made(call: ModuleCall, arguments: Any, make: Make) -> nn.Module | None:
    try:
        return make(replace(call, arguments=arguments))
    except Exception:  # a constructor may fail in any way when a part has not what it is asked for
        return None


def _stand_ins(full: nn.Module, empty: nn.Module, holes: set[int]) -> dict[int, Mould | nn.Module]:
    """Id of a hole -> what the constructor put into its place when there was no module for it."""
    others = dict(empty.named_modules(remove_duplicate=False))
    found: dict[int, Mould | nn.Module] = {}
    for path, parent in full.named_modules():
        for name, child in parent._modules.items():
            if id(child) not in holes:
                continue
            beside = others[path]._modules if path in others else {}
            stand_in = beside.get(name, LEFT_OUT)
            if stand_in is LEFT_OUT:
                found.setdefault(id(child), LEFT_OUT)
            elif isinstance(stand_in, nn.Module) and not any(True for _ in tensors(stand_in)):
                mould = Mould.of(stand_in)
                if mould is not None:
                    found.setdefault(id(child), mould)
    return found


class _Snapshot:
    """What a module has now.

    Args:
        module: it, without those in it.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module, self._kind = module, type(module)
        self._learned = [(tensor, tensor.requires_grad) for tensor in module._parameters.values() if tensor is not None]
        self._now = vars(module)
        self._then = self._now.copy()
        self._inner = [(value, value.copy()) for value in self._then.values() if type(value) in _CHANGED and value]
        self._empty = [value for value in self._then.values() if type(value) in _CHANGED and not value]

    def is_old(self) -> bool:
        """Whether the module has changed since."""
        if any(self._empty) or type(self._module) is not self._kind:
            return True
        if any(tensor.requires_grad is not learned for tensor, learned in self._learned):
            return True
        return not all(_same(old, new) for old, new in ((self._then, self._now), *self._inner))


def _same(old: Any, new: Any) -> bool:
    """Whether two containers hold the same objects, or equal plain values."""
    if len(old) != len(new):
        return False
    if isinstance(old, set):
        return bool(old == new)
    if isinstance(old, list):
        pairs = zip(old, new, strict=True)
    elif [*old] != [*new]:
        return False
    else:
        pairs = zip(old.values(), new.values(), strict=True)
    return all(a is b or (type(a) is type(b) and isinstance(a, _PLAIN) and a == b) for a, b in pairs)


def _features(module: nn.Module, leave_out: Collection[int] = ()) -> list[Hashable]:
    """What a module is made of, as far as it can be compared: classes, names, plain values, shapes.

    Args:
        leave_out: ids of modules that are only named.
    """
    found: list[Hashable] = []
    waiting: list[tuple[str, nn.Module | None]] = [("", module)]
    while waiting:
        name, part = waiting.pop()
        if part is None or id(part) in leave_out:
            found.append((name, id(part)))
            continue
        waiting += part._modules.items()
        found.append((name, type(part), len(part._modules)))
        for slots in (part._parameters, part._buffers):
            found += [
                (key, t.shape, t.requires_grad, t.device.type) if isinstance(t, Tensor) else (key, None)
                for key, t in slots.items()
            ]
        found += [
            (key, value if isinstance(value, _PLAIN) else repr(value))
            for key, value in vars(part).items()
            if isinstance(value, _COMPARED) and key != "node_path"
        ]
    return found
