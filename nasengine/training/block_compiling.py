"""Compiling the blocks of networks, where there are enough steps to pay for it.

`torch.compile` fuses what lies between the convolutions of a block: fewer passes over memory, which is what small
networks wait for. It is paid for once for every kind of block: one class with one structure on inputs of one shape,
wherever in whichever network it stands. What the compiler cannot do is not done: the networks go on as they are.

Measured on an H200, 36 ResNet-20 side by side at batch 256 (`benchmarks/results/cohort.json`): 150,520 images/s in all
became 171,835. The set-up, 4.3 s where nothing had to be loaded any more, took 57.4 s: compiling costs 53.1 s for the
24 kinds of block that they have. Their stems, a kind more, were not compiled yet.
"""

from __future__ import annotations

import contextlib
import types
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

SAVED = 0.124  # share of the time of a step: 1 - 150,520 / 171,835
SECONDS_PER_KIND = 2.21  # 53.1 s for 24 kinds
MARGIN = 1.2  # so much more must be saved: other networks may gain less


def compiling_pays(kinds: int, seconds_left: float) -> bool:
    """Whether a training that would take so long without it saves what compiling so many kinds of block costs."""
    return kinds > 0 and SAVED * seconds_left > MARGIN * kinds * SECONDS_PER_KIND


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """What is compiled one by one: the outermost modules made of several that stand in a row with others.

    Beside these modules made of several that hold none of them: a stem, a head.
    """

    def look(module: nn.Module, in_row: bool) -> list[nn.Module]:
        children = dict(module.named_children())
        is_row = all(name.isdecimal() for name in children)  # lists and series, torch's as well as others'
        if in_row and not is_row:
            return [module]
        inside = [block for child in children.values() for block in look(child, is_row and len(children) > 1)]
        return [module] if not (is_row or inside or module is network) else inside

    return look(network, False)


@contextlib.contextmanager
def noting_kinds(networks: Sequence[nn.Module], kinds: set[Hashable]) -> Iterator[None]:
    """Add to `kinds` every kind of block that runs in the context."""
    handles = [
        block.register_forward_pre_hook(_note(kinds, f"{type(block)} {block!r}"))
        for network in networks
        for block in blocks_of(network)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class CompiledBlocks:
    """Blocks whose forward is the compiled one of their class, until `undo`.

    Args:
        networks: whose blocks are meant.
        kinds: how many of them differ.
    """

    def __init__(self, networks: Sequence[nn.Module], kinds: int) -> None:
        self._blocks = [block for network in networks for block in blocks_of(network)]
        self._limits: dict[str, Any] = {
            "recompile_limit": 8 + 2 * kinds,
            "accumulated_recompile_limit": 256 + 4 * kinds,
        }
        compiled: dict[type[nn.Module], Callable[..., object]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler says when it is imported
            for kind in {type(block): None for block in self._blocks}:
                compiled[kind] = torch.compile(kind.forward, dynamic=False)
        for block in self._blocks:
            vars(block)["forward"] = types.MethodType(compiled[type(block)], block)

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """In this context blocks may run that have not been compiled yet: one class in many kinds, and no chatter."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch._dynamo  # takes seconds, which nobody should pay who compiles nothing

            with torch._dynamo.config.patch(self._limits):
                yield

    def undo(self) -> None:
        """Give the blocks their own forward back."""
        for block in self._blocks:
            vars(block).pop("forward", None)
        self._blocks = []


def _note(kinds: set[Hashable], name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
    def note(_block: nn.Module, inputs: tuple[object, ...]) -> None:
        kinds.add((name, tuple(tuple(value.shape) for value in inputs if isinstance(value, torch.Tensor))))

    return note
