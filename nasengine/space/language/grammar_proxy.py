"""Checks a `proxy:` root against its own table: programs that score a configuration without training it.

The branched form is that of EMQ (Dong et al., ICCV 2023, arXiv:2307.10554): each branch takes one input through
operations in series, and the branches' scores are joined. What the words compute is the proxies' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nasengine.errors import nearest, one_of
from nasengine.space.holes import Choice, ListOf, MapOf, Maybe, Node, Range, Repeat, SameAs, Subset, Use, Value
from nasengine.space.language.checks import describe
from nasengine.space.language.keys import BRANCH, PROXY
from nasengine.space.problems import Problems

INPUTS = ("activation", "gradient", "virtual_gradient", "weight")
OPERATIONS = (
    "log", "log_abs", "abs", "square", "exp", "standardise", "relu", "reciprocal", "frobenius", "mean",
    "mean_abs", "softmax", "sigmoid", "log_softmax", "sqrt", "negate", "min_max", "average", "std", "identity",
)  # fmt: skip
JOINS = ("sum", "difference", "product", "matrix_product")
PROXY_TYPES = ("branched",)


def check_proxy(root: Node, let: Mapping[str, Node], problems: Problems) -> None:
    """Note what is no proxy: an unknown type, a missing part, a word its table does not know."""
    _ProxyChecker(let, problems).check(root)


class _ProxyChecker:
    def __init__(self, let: Mapping[str, Node], problems: Problems) -> None:
        self.let, self.problems = let, problems

    def check(self, root: Node) -> None:
        if not isinstance(root, MapOf):
            self._wrong(root, "proxy", f"a mapping with a type, {one_of(PROXY_TYPES)}")
            return
        if root.type_name not in PROXY_TYPES:
            kind = root.entries.get("type")
            if kind is None:
                self.problems.add("proxy has no type", root.mark, f"expected a key 'type', {one_of(PROXY_TYPES)}")
            elif isinstance(kind, Value) and isinstance(kind.value, str):
                self.problems.add(
                    f"unknown type {kind.value!r} in proxy",
                    kind.mark,
                    f"expected {one_of(PROXY_TYPES)}{nearest(kind.value, PROXY_TYPES)}",
                )
            return
        self._keys(root, "proxy", PROXY.names)
        if "join" in root.entries:
            self._words(root.entries["join"], "proxy.join", JOINS, "join")
        if "branches" in root.entries:
            branches = root.entries["branches"]
            if not isinstance(branches, ListOf) or len(branches.items) < 2:
                self._wrong(branches, "proxy.branches", "a list of two branches or more")
            else:
                for i, branch in enumerate(branches.items):
                    self._branch(branch, f"proxy.branches.{i}")

    def _branch(self, node: Node, where: str) -> None:
        if not isinstance(node, MapOf):
            self._wrong(node, where, "{input: …, operations: [ … ]}")
            return
        self._keys(node, where, BRANCH.names)
        if "input" in node.entries:
            self._words(node.entries["input"], f"{where}.input", INPUTS, "input")
        if "operations" in node.entries:
            operations = node.entries["operations"]
            if isinstance(operations, Value) or (isinstance(operations, ListOf) and not operations.items):
                self._wrong(operations, f"{where}.operations", "a list of operations, one at least")
            else:
                self._words(operations, f"{where}.operations", OPERATIONS, "operation")

    def _words(self, node: Node, where: str, known: Sequence[str], kind: str) -> None:
        """Every word that can come to stand here must be known."""
        match node:
            case Value(value=str() as value, mark=mark):
                if value not in known:
                    self.problems.add(
                        f"unknown {kind} {value!r} in {where}",
                        mark,
                        f"expected {one_of(known, 20)}{nearest(value, known)}",
                    )
            case Choice(options=options) | Subset(items=options):
                for option in options:
                    self._words(option.node, where, known, kind)
            case ListOf(items=items) if kind == "operation" and items:
                for i, item in enumerate(items):
                    if isinstance(item, ListOf):
                        self._wrong(item, f"{where}.{i}", "the name of an operation")
                    else:
                        self._words(item, f"{where}.{i}", known, kind)
            case Maybe(of=of) | Repeat(of=of) if kind == "operation":
                self._words(of, where, known, kind)
            case Use(name=name):
                if name in self.let:
                    self._words(self.let[name], where, known, kind)
            case SameAs():
                pass
            case Value() | MapOf() | Range() | ListOf() | Maybe() | Repeat():
                self._wrong(node, where, f"the name of {'an' if kind[0] in 'aeio' else 'a'} {kind}")

    def _keys(self, node: MapOf, where: str, allowed: Sequence[str]) -> None:
        for key, mark in node.key_marks.items():
            if key not in allowed:
                self.problems.add(
                    f"unknown key {key!r} in {where}", mark, f"expected {one_of(allowed)}{nearest(key, allowed)}"
                )
        for key in allowed:
            if key not in node.entries:
                self.problems.add(f"{where} has no {key!r}", node.mark, f"expected a key {key!r}")

    def _wrong(self, node: Node, where: str, expected: str) -> None:
        if isinstance(node, Value) and node.value is None and self.problems:
            return  # a null also stands for a hole that could not be read, which is noted already
        self.problems.add(f"{describe(node)} stands at {where}", node.mark, f"expected {expected}")
