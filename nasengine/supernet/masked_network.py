"""The network of one plan: the largest of its architectures, with layers that mask, gates and picks.

It is a private network like that of a view, and holds parts of the same shared weights; only classes of layers are
exchanged, and elements that not every architecture has are wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nasengine.networks.composition import Cell, Parallel, Residual
from nasengine.supernet.cuts import Bundle, Cut, Part
from nasengine.supernet.facts import Fact
from nasengine.supernet.keys import Held, layers
from nasengine.supernet.lookup import ABSENT, Row, named
from nasengine.supernet.masked_layers import Kernels, Masking, base_of, mask
from nasengine.supernet.masking import Gate, Listed, MaskError, Masks, On, Pick, Prefix
from nasengine.supernet.plans import Structure

Hung = tuple[Held, Cut]  # where a tensor hangs, and which part of the shared one it is
Build = Callable[[Row], tuple[nn.Module, Sequence[Hung]]]


@dataclass(frozen=True)
class _Option:
    """One of the options of different type that may stand in a place; `slot` is the place: parent's key and name."""

    slot: tuple[str, str]
    key: str
    provider: Row


class MaskedNetwork(nn.Module):
    """One plan's network, ready to run any of its architectures.

    Args:
        base: the row of its largest architecture.
        structure: of the space.
        build: row -> private network, and its tensors.
        pads: key of a layer that pads channels -> the layer whose input has as many.

    Raises:
        MaskError: the architectures of this plan cannot share a pass.
    """

    def __init__(self, base: Row, structure: Structure, build: Build, pads: Mapping[str, str]) -> None:
        super().__init__()
        self.structure, self.lookup, self.pads = structure, structure.lookup, pads
        self.base = self.lookup.facts(base)
        self.root, hung = build(base)
        self.hung = list(hung)
        providers: dict[Row, tuple[dict[str, nn.Module], Sequence[Hung]]] = {}
        self.others = nn.ModuleList()  # options that the base does not take
        slots: dict[tuple[str, str], list[_Option]] = {}
        for option in self._options(base, build):
            slots.setdefault(option.slot, []).append(option)
            if option.provider not in providers:
                network, theirs = build(option.provider)
                providers[option.provider] = _by_key(network), theirs
            modules, theirs = providers[option.provider]
            self.others.append(modules[option.key])
            self.hung += [(held, cut) for held, cut in theirs if f"{held.layer}.".startswith(f"{option.key}.")]
        self.modules_of = {key: m for part in (self.root, *self.others) for key, m in _by_key(part).items()}
        # What the plan looks up; the columns of `numbers` and the channels of `table` and `patterns`.
        self.facts: list[Fact] = []
        self._channels: list[NDArray[np.int64]] = []
        self._owners: list[NDArray[np.int64]] = []
        self._listed: list[tuple[int, int, tuple[int, ...]]] = []  # (column, start, channels of the base)
        self._length = self._width = 0
        self._hung_in: Mapping[str, Tensor] | None = None  # the set of weights that hangs in it
        self._wholes: list[tuple[Held, Tensor]] = []
        self._parts: list[Hung] = []  # that are no whole parameters
        self._gathered: list[Hung] = []  # running statistics that are copies, which views go on changing
        self._bundle = Bundle([])
        self.masks = Masks(torch.empty(0), torch.empty(0))
        for key, module in list(self.modules_of.items()):
            if base_of(module) is not None:
                mask(module, self._masking(key, module))
        self._insert(self.root, None, slots)
        for part in list(self.others):
            self._insert(part, None, slots)
        self.limits = np.array([self._limit(fact) for fact in self.facts], dtype=np.int64)
        self._kernels = [place for place, (what, _) in enumerate(self.facts) if what == "kernel"]
        unlimited = self.limits == np.iinfo(np.int64).max
        self.defaults = np.where(unlimited, [fact[0] != "there" for fact in self.facts], self.limits)
        self.exact = [fact for fact in self.lookup.values if self._must_agree(fact)]
        wanted = [self.base.get(fact, ABSENT) for fact in self.exact]
        self.wanted = np.array([self.lookup.number(f, v) for f, v in zip(self.exact, wanted, strict=True)], np.int64)
        self.fact_table = self.lookup.table([*self.facts, *self.exact])
        self.masks.positions = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *self._channels]))
        self.masks.owners = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *self._owners]))

    # --- building -------------------------------------------------------------------------------------------------

    def _options(self, base: Row, build: Build) -> Iterator[_Option]:
        """Options of other type, found by taking each in turn where it brings layers that are not there yet."""
        known = {key for what, key in self.base if what == "there"}
        waiting = [base]
        while waiting:
            row = waiting.pop()
            missing = [fact for fact in self.lookup.values if fact[0] == "there" and fact[1] not in known]
            columns = {column for fact in missing for column in self.lookup.columns[fact]}
            for column in sorted(columns - set(self.structure.columns)):
                for option in range(len(self.lookup.space.decisions[column].options)):
                    wishes = [i if i >= 0 else w for i, w in zip(row, self.lookup.wishes, strict=True)]
                    wishes[column] = option
                    other = self.lookup.row(wishes)
                    theirs = {key for what, key in self.lookup.facts(other) if what == "there"}
                    if theirs <= known:
                        continue
                    network, _ = build(other)
                    for parent, name, key in _new_children(network, known):
                        yield _Option((parent, name), key, other)
                    known |= theirs
                    waiting.append(other)

    def _column(self, fact: Fact) -> int:
        if fact not in self.facts:
            self.facts.append(fact)
        return self.facts.index(fact)

    def _differs(self, fact: Fact) -> bool:
        """Whether a fact may differ between architectures of this plan that have the layer."""
        free = set(self.lookup.columns.get(fact, ())) - set(self.structure.columns)
        return bool(free) and self.lookup.varying(fact)

    def _masking(self, key: str, module: nn.Module) -> Masking:
        source = self.pads.get(key, key)
        kernels, group_column, groups = None, None, 0
        if self._differs(("kernel", key)):
            sizes = [value for value in self.lookup.values["kernel", key].values() if value != ABSENT]
            numbered = {named(self.lookup.number(("kernel", key), size)): size for size in sizes}
            kernels = Kernels(tuple(numbered[n] for n in range(len(numbered))), self._column(("kernel", key)))  # type: ignore[misc]
        if isinstance(module, nn.GroupNorm):
            counts = [v for v in self.lookup.values["groups", key].values() if isinstance(v, int) and v != ABSENT]
            groups = max(counts)
            if self._differs(("group", key)) or self._differs(("inputs", key)):
                group_column = self._column(("group", key))
        return Masking(key, self.masks, self._inputs(source), kernels, group_column, groups)

    def _inputs(self, key: str) -> On | None:
        fact = ("inputs", key)
        if fact not in self.lookup.values or not self._differs(fact):
            return None
        mine = self.base.get(fact)
        if mine is None:  # a layer of an option of other type
            values = [v for v in self.lookup.values[fact].values() if v != ABSENT]
            mine = max(values, key=lambda v: v if isinstance(v, int) else len(v))  # type: ignore[arg-type]
        column = self._column(fact)
        if isinstance(mine, int) and all(isinstance(value, int) for value in self.lookup.values[fact].values()):
            start = self._length
            self._channels.append(np.arange(mine))
            self._owners.append(np.full(mine, column))
            self._length += mine
            return Prefix(column, start)
        channels = tuple(range(mine)) if isinstance(mine, int) else mine
        assert isinstance(channels, tuple)
        start = self._width
        self._listed.append((column, start, channels))
        self._width += len(channels)
        return Listed(start)

    def _insert(
        self, module: nn.Module, owner: nn.Module | None, slots: Mapping[tuple[str, str], list[_Option]]
    ) -> None:
        """Wrap what not every architecture has, below a module."""
        parent = _key_of(module, self.modules_of)
        for name, child in list(module._modules.items()):
            if child is None or isinstance(child, (Gate, Pick)):
                continue
            self._insert(child, module, slots)
            key = _key_of(child, self.modules_of)
            otherwise = _otherwise(module, owner, name)
            if (parent, name) in slots:
                options = [key, *(option.key for option in slots[parent, name])]
                columns = [self._column(("there", k)) for k in options]
                elements = [child, *(self.modules_of[k] for k in options[1:])]
                module._modules[name] = Pick(elements, key, self.masks, columns, otherwise)
            elif otherwise is not None and self._may_lack(key):
                module._modules[name] = Gate(child, key, self.masks, self._column(("there", key)), otherwise)

    def _may_lack(self, key: str) -> bool:
        """Whether some architecture of the plan has the parent, but not the element."""
        fact = "there", key
        if fact not in self.base or not set(self.lookup.columns[fact]) - set(self.structure.columns):
            return False
        return key in self.lookup.lacking

    def _limit(self, fact: Fact) -> int:
        """The largest number that a column may hold."""
        what, _ = fact
        if what == "inputs":
            value = self.base.get(fact)
            if isinstance(value, int):
                return value
        if what == "kernel":
            return len([v for v in self.lookup.values[fact].values() if v != ABSENT]) - 1
        return np.iinfo(np.int64).max

    def _must_agree(self, fact: Fact) -> bool:
        """Whether a fact that masks cannot express varies somewhere, so that it must be looked at."""
        what, key = fact
        if what == "form":
            return key in self.modules_of and self.lookup.varying(fact)
        return what == "there" and key not in self.modules_of and bool(self.lookup.columns[fact])

    # --- running --------------------------------------------------------------------------------------------------

    def compute(self, rows: NDArray[np.int16]) -> tuple[Tensor, Tensor]:
        """(K, columns) numbers and (K, channels) patterns of (K, D) rows, on the CPU.

        Raises:
            MaskError: an architecture does not fit into this network.
        """
        found = self.fact_table.numbers(rows)
        numbers, exact = found[:, : len(self.facts)], found[:, len(self.facts) :]
        numbers[:, self._kernels] = ABSENT - 1 - numbers[:, self._kernels]  # as by `named`
        if (numbers > self.limits).any():
            column = int(np.argwhere(numbers > self.limits)[0][1])
            raise MaskError(f"{self.facts[column][1]} is larger in one architecture than in the largest of its plan")
        wrong = (exact != self.wanted) & (exact != ABSENT)
        if wrong.any():
            raise MaskError(f"{self.exact[int(np.argwhere(wrong)[0][1])][1]} differs in more than its width")
        patterns = np.ones((len(rows), self._width), dtype=np.bool_)
        for column, start, channels in self._listed:
            for row, number in enumerate(numbers[:, column].tolist()):
                if number != ABSENT:
                    patterns[row, start : start + len(channels)] = self._pattern(column, number, channels)
        # Of a layer that is not there all channels are on: what it gives is not used, and stays finite.
        absent = numbers == ABSENT
        if absent.any():
            numbers = np.where(absent, self.defaults, numbers)
        return torch.from_numpy(np.ascontiguousarray(numbers)), torch.from_numpy(patterns)

    def _pattern(self, column: int, number: int, channels: tuple[int, ...]) -> NDArray[np.bool_]:
        value = self.lookup.value(self.facts[column], number)
        on = range(value) if isinstance(value, int) else set(value)  # type: ignore[call-overload]
        if len(on) > len(channels):
            raise MaskError(f"{self.facts[column][1]} sees channels that the largest of its plan has not")
        return np.array([channel in on for channel in channels])

    def put(self, store: Mapping[str, Tensor]) -> None:
        """Hang a set of weights in; parts are taken anew, in one step of autograd where gradients are recorded."""
        if self._hung_in is not store or any(store[held.key] is not whole for held, whole in self._wholes):
            self._hang(store)
        bundle = self._bundle
        if torch.is_grad_enabled():
            parts: Sequence[Tensor] = bundle.take()
        else:
            parts = [cut.of(store[held.key]) for held, cut in self._parts]
        for (held, _), part in zip(self._parts, parts, strict=True):
            held.slots[held.name] = part
        for held, cut in self._gathered:
            held.slots[held.name] = cut.of(store[held.key])

    def _hang(self, store: Mapping[str, Tensor]) -> None:
        self._hung_in = store
        self._wholes = [(held, store[held.key]) for held, _ in self.hung]
        self._parts, self._gathered = [], []
        for held, cut in self.hung:
            whole = store[held.key]
            if _is_whole(cut, whole):
                held.slots[held.name] = whole
            elif isinstance(whole, nn.Parameter):
                self._parts.append((held, cut))
            elif not cut.is_view:
                self._gathered.append((held, cut))
            else:
                held.slots[held.name] = cut.of(whole)
        self._bundle = Bundle([Part.of(cut, store[held.key]) for held, cut in self._parts])

    def forward(self, images: Tensor) -> Tensor:
        """(B, …) to what the networks give; image i belongs to architecture i mod K of the masks."""
        scores: Tensor = self.root(images)
        return scores


def _is_whole(cut: Cut, whole: Tensor) -> bool:
    return cut.is_view and cut.shape == tuple(whole.shape)


def _by_key(module: nn.Module) -> dict[str, nn.Module]:
    return {layer.key: layer.module for layer in layers(module)}


def _key_of(module: nn.Module, known: Mapping[str, nn.Module]) -> str:
    return next((key for key, other in known.items() if other is module), "")


def _new_children(network: nn.Module, known: set[str]) -> Iterator[tuple[str, str, str]]:
    """(parent's key, name in it, key) of the topmost modules with keys that are not known."""
    modules = _by_key(network)
    keys = {id(module): key for key, module in modules.items()}
    for key, module in modules.items():
        if key not in known:
            continue
        for name, child in module._modules.items():
            if child is not None and type(child) is not nn.Identity and keys[id(child)] not in known:
                yield key, name, keys[id(child)]


def _otherwise(parent: nn.Module, owner: nn.Module | None, name: str) -> str | None:
    """What stands for an element that is not there; None: nothing needs to, as its channels are masked."""
    if isinstance(owner, Parallel):
        return None if owner.join == "concat" else "zero"
    if isinstance(owner, Cell) or (isinstance(parent, Residual) and name == "body"):
        return "zero"
    return "identity"
