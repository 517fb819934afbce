"""Reads the values and holes of a space: marked YAML to the tree of `holes.py`.

A mapping with one of the hole words (`choice`, `range`, `subset`, `repeat`, `optional`, `use`, `same_as`) among its
keys is that hole; any other mapping is a constructor call (with `type`) or a group of settings (without).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from nasengine.errors import Mark, nearest, one_of
from nasengine.records import canonical_json
from nasengine.space.checks import NAME, Checks, describe
from nasengine.space.holes import (
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    Option,
    Range,
    Repeat,
    SameAs,
    Subset,
    Use,
    Value,
)
from nasengine.space.let import HOLES
from nasengine.space.misspelt import misspelt_hole
from nasengine.space.problems import Problems
from nasengine.space.yaml import Scalar, YamlMapping, YamlNode, YamlScalar, YamlSequence, resolve_scalar

MAX_OPTIONS = 32_767  # of one decision: an encoded architecture stores the index of an option in 16 bits
MAX_COPIES = 1_000  # of one repeat
MAX_CELL_NODES = 64

BESIDE: Mapping[str, tuple[str, ...]] = {"choice": ("weights",), "repeat": ("of",)}
LABEL = NAME
PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")

Hole = TypeVar("Hole")


def label_text(label: object) -> str:
    """How a label is written as a key: a word as it is, anything else as JSON."""
    return label if isinstance(label, str) else canonical_json(label)


class NodeReader(Checks):
    """Reads nodes; what an alias or a plain `let` puts in several places is read, and complained of, once.

    Args:
        problems: where to note what is wrong.
        shared: names under `let` whose values hold holes.
    """

    def __init__(self, problems: Problems, shared: Mapping[str, object]) -> None:
        super().__init__(problems)
        self.shared = shared
        self._read: dict[int, tuple[YamlNode, Node]] = {}  # the YAML node is kept so that its id stays taken
        self._holes: dict[str, Callable[[YamlMapping, str], Node | None]] = {
            "choice": self._choice,
            "range": self._range,
            "subset": self._subset,
            "repeat": self._repeat,
            "optional": self._optional,
            "use": self._use,
            "same_as": self._same_as,
        }

    def read(self, node: YamlNode, where: str) -> Node:
        """The node as a tree of values and holes; a null stands where something is wrong (and noted)."""
        known = self._read.get(id(node))
        if known is None:
            known = node, self._node(node, where)
            self._read[id(node)] = known
        return known[1]

    def _node(self, node: YamlNode, where: str) -> Node:
        if isinstance(node, YamlScalar):
            return Value(node.value, node.mark)
        if isinstance(node, YamlSequence):
            return ListOf(tuple(self.read(item, f"{where}.{i}") for i, item in enumerate(node.items)), node.mark)
        found = [key for key in node.entries if key in HOLES]
        if not found:
            return self._mapping(node, where)
        hole = found[0]
        beside = BESIDE.get(hole, ())
        for key in node.entries:
            if key == hole or key in beside:
                continue
            mark = node.key_marks[key]
            if key in HOLES:
                self.problems.add(
                    f"{where} is a {hole} and a {key} at once",
                    mark,
                    f"expected one of the two (in a file that extends another, `{hole}: null` drops the inherited one)",
                )
            elif beside:
                words = ", ".join(map(repr, beside))
                hint = f"expected nothing beside {hole!r} but {words}{nearest(key, beside)}"
                self.problems.add(f"unknown key {key!r} beside {hole!r} in {where}", mark, hint)
            else:
                self.problems.add(
                    f"unknown key {key!r} beside {hole!r} in {where}", mark, f"expected nothing beside {hole!r}"
                )
        return self._holes[hole](node, where) or Value(None, node.mark)

    def _mapping(self, node: YamlMapping, where: str) -> Node:
        misspelt = misspelt_hole(node)
        if misspelt is not None:
            written, meant = misspelt
            self.problems.add(
                f"unknown hole {written!r} in {where}",
                node.key_marks[written],
                f"expected {one_of(HOLES)}; did you mean {meant!r}?",
            )
            return Value(None, node.mark)
        for key, mark in node.key_marks.items():
            if "." in key or any(character.isspace() for character in key):
                self.problems.add(
                    f"the key {key!r} in {where} holds a dot or a space",
                    mark,
                    "expected a word: paths of choices are dotted",
                )
        kind = node.entries.get("type")
        if kind is not None:
            self._check_type(kind, where)
            if isinstance(kind, YamlScalar) and kind.value == "cell":
                return self._cell(node, where)
        return self._entries(node, where)

    def _entries(self, node: YamlMapping, where: str) -> MapOf:
        entries = {key: self.read(value, f"{where}.{key}") for key, value in node.entries.items()}
        return MapOf(entries, node.mark, dict(node.key_marks))

    def _check_type(self, kind: YamlNode, where: str) -> None:
        if isinstance(kind, YamlMapping) and any(key in HOLES for key in kind.entries):
            self.problems.add(
                f"the type in {where} is a hole",
                kind.mark,
                "expected a word; choose among whole nodes instead: {choice: {label: {type: …}, …}}",
            )
        else:
            self.word(kind, f"{where}.type", "the name of a type")

    # --- choices and subsets -----------------------------------------------------------------------------------

    def _choice(self, node: YamlMapping, where: str) -> Choice | None:
        options, named = self._options(node.entries["choice"], where, "choice")
        if options is None:
            return None
        if "weights" in node.entries:
            options = self._weigh(options, node.entries["weights"], where)
        return Choice(options, named, node.mark)

    def _options(self, node: YamlNode, where: str, hole: str) -> tuple[tuple[Option, ...] | None, bool]:
        """The options of a choice or the items of a subset, and whether they are named nodes."""
        named = isinstance(node, YamlMapping)
        expected = "a list of values, or a mapping of labels to nodes"
        if isinstance(node, YamlMapping):
            holes = [key for key in node.entries if key in HOLES]
            if holes:
                self._hole_for_options(node, holes[0], where, hole)
                return None, True
            options = self._named(node, where)
        elif isinstance(node, YamlSequence):
            options = self._plain(node, where, hole)
        else:
            self.wrong(node, f"{where}.{hole}", expected)
            return None, False
        if not node_items(node):
            self.problems.add(f"the {hole} in {where} has nothing to choose from", node.mark, f"expected {expected}")
            return None, named
        if len(options) > MAX_OPTIONS:
            self.problems.add(f"the {hole} in {where} has more than {MAX_OPTIONS:,} options", node.mark)
            return None, named
        return options, named

    def _hole_for_options(self, node: YamlMapping, key: str, where: str, hole: str) -> None:
        if key == "use":
            target = node.entries["use"]
            name = target.value if isinstance(target, YamlScalar) else None
            if name in self.shared:
                message = f"let.{name}, used as the options of {where}, holds holes itself"
                self.problems.add(message, node.mark, "expected a plain list or a mapping of plain nodes under let")
            else:
                self._use(node, where)
            return
        self.problems.add(
            f"the options of the {hole} in {where} are themselves a {key}",
            node.key_marks[key],
            f"expected a list of values, or labels other than the hole words {', '.join(HOLES)}",
        )

    def _named(self, node: YamlMapping, where: str) -> tuple[Option, ...]:
        options = []
        for label, below in node.entries.items():
            if not LABEL.fullmatch(label):
                self.problems.add(
                    f"{label!r} is no label for an option of {where}",
                    node.key_marks[label],
                    "expected letters, digits, _, + and - (a dot would divide the path of a choice)",
                )
            options.append(Option(label, self.read(below, f"{where}.{label}")))
        return tuple(options)

    def _plain(self, node: YamlSequence, where: str, hole: str) -> tuple[Option, ...]:
        options: list[Option] = []
        seen: dict[object, Mark] = {}
        for i, item in enumerate(node.items):
            label = self._plain_label(item, f"{where}.{hole}.{i}", hole)
            if label is _NO_LABEL:
                continue
            first = seen.setdefault(label, item.mark)
            if first is not item.mark or any(option.label == label for option in options):
                self.problems.add(
                    f"the option {label_text(label)} of {where} stands twice",
                    item.mark,
                    f"it stands first in line {first.line}, column {first.column}",
                )
                continue
            options.append(Option(label, self.read(item, f"{where}.{hole}.{i}")))  # type: ignore[arg-type]
        return tuple(options)

    def _plain_label(self, node: YamlNode, where: str, hole: str) -> object:
        """A scalar, or tuples of scalars for lists of them; `_NO_LABEL` after noting anything else."""
        if isinstance(node, YamlScalar):
            return node.value
        if isinstance(node, YamlSequence):
            labels = tuple(self._plain_label(item, f"{where}.{i}", hole) for i, item in enumerate(node.items))
            return _NO_LABEL if any(label is _NO_LABEL for label in labels) else labels
        self.problems.add(
            f"{describe(node)} stands in the list of options at {where}",
            node.mark,
            f"expected plain values; nodes need labels: write `{hole}` with {{label: node, …}} instead of a list",
        )
        return _NO_LABEL

    def _weigh(self, options: tuple[Option, ...], node: YamlNode, where: str) -> tuple[Option, ...]:
        mapping = self.mapping(node, f"{where}.weights", "a mapping of options to positive numbers")
        if mapping is None:
            return options
        index_of = {label_text(option.label): i for i, option in enumerate(options)}
        weights = [option.weight for option in options]
        for key, below in mapping.entries.items():
            index = index_of.get(key, index_of.get(_canonical_key(key)))
            if index is None:
                self.problems.add(
                    f"the weight in {where} is for an unknown option {key!r}",
                    mapping.key_marks[key],
                    f"expected {one_of(index_of)}{nearest(key, index_of)}",
                )
                continue
            weight = self.number(below, f"{where}.weights.{key}")
            if weight is not None and weight <= 0:
                self.problems.add(
                    f"the weight of {key!r} in {where} is {weight:g}",
                    below.mark,
                    "expected a number above 0; leave the option out to never draw it",
                )
            elif weight is not None:
                weights[index] = weight
        return tuple(Option(o.label, o.node, weight) for o, weight in zip(options, weights, strict=True))

    def _subset(self, node: YamlMapping, where: str) -> Subset | None:
        body = self.mapping(node.entries["subset"], f"{where}.subset", "{of: items, size: k or [low, high]}")
        if body is None:
            return None
        self.keys(body, f"{where}.subset", ("of", "size"), ("of", "size"))
        if "of" not in body.entries:
            return None
        items, named = self._options(body.entries["of"], where, "subset")
        if items is None or "size" not in body.entries:
            return None
        sizes = self._sizes(body.entries["size"], len(items), where)
        if sizes is None:
            return None
        low, high = sizes
        count = sum(math.comb(len(items), size) for size in range(low, high + 1))
        if count > MAX_OPTIONS:
            self.problems.add(
                f"the subset in {where} has {count:,} selections",
                node.mark,
                f"expected at most {MAX_OPTIONS:,}; divide it into several subsets, or make items optional",
            )
            return None
        return Subset(items, named, low, high, node.mark)

    def _sizes(self, node: YamlNode, items: int, where: str) -> tuple[int, int] | None:
        where = f"{where}.subset.size"
        if isinstance(node, YamlSequence):
            if len(node.items) != 2:
                self.wrong(node, where, "an integer, or [low, high]")
                return None
            low = self.integer(node.items[0], f"{where}.0", 0, items)
            high = self.integer(node.items[1], f"{where}.1", 1, items)
            if low is None or high is None:
                return None
            if low > high:
                self.problems.add(f"the sizes at {where} run from {low} to {high}", node.mark, "expected [low, high]")
                return None
            return low, high
        size = self.integer(node, where, 1, items)
        return None if size is None else (size, size)

    # --- the other holes ---------------------------------------------------------------------------------------

    def _range(self, node: YamlMapping, where: str) -> Range | None:
        body = node.entries["range"]
        where = f"{where}.range"
        if not isinstance(body, YamlSequence) or len(body.items) not in (2, 3):
            self.wrong(body, where, "three integers: [low, high, step]")
            return None
        numbers = [
            self.integer(item, f"{where}.{i}", -(10**12), 10**12) if i < 2 else self.integer(item, f"{where}.{i}", 1)
            for i, item in enumerate(body.items)
        ]
        if len(numbers) == 2:
            numbers.append(1)
        low, high, step = numbers
        if low is None or high is None or step is None:
            return None
        if low > high:
            self.problems.add(f"the range at {where} runs from {low} to {high}", body.mark, "expected low before high")
            return None
        if (high - low) % step:
            last = high - (high - low) % step
            self.problems.add(
                f"the range at {where} does not reach {high}: its last value is {last}",
                body.mark,
                f"expected both ends included: [{low}, {last}, {step}] or [{low}, {last + step}, {step}]",
            )
            return None
        if (high - low) // step >= MAX_OPTIONS:
            self.problems.add(
                f"the range at {where} has {(high - low) // step + 1:,} values",
                body.mark,
                f"expected at most {MAX_OPTIONS:,}; take a larger step",
            )
            return None
        return Range(low, high, step, node.mark)

    def counts(self, node: YamlNode, where: str, low: int) -> Value | Choice | Range | None:
        """A positive integer, or a choice or range of integers of at least `low`."""
        if isinstance(node, YamlScalar):
            return Value(value, node.mark) if (value := self.integer(node, where, max(low, 1))) is not None else None
        read = self.read(node, where)
        expected = f"an integer, or a choice or range of integers of at least {low}"
        if isinstance(read, Range):
            if read.low >= low:
                return read
            self.problems.add(f"the range at {where} begins at {read.low}", node.mark, f"expected {expected}")
            return None
        if isinstance(read, Choice) and not read.named:
            wrong = [o for o in read.options if type(o.label) is not int or o.label < low]
            for option in wrong:
                found = f"the option {label_text(option.label)} stands at {where}"
                self.problems.add(found, option.node.mark, f"expected integers of at least {low}")
            return None if wrong else read
        if not (isinstance(read, Value) and read.value is None):  # a null here is noted already
            self.wrong(node, where, expected)
        return None

    def _repeat(self, node: YamlMapping, where: str) -> Repeat | None:
        count = self.counts(node.entries["repeat"], f"{where}.repeat", 0)
        if "of" not in node.entries:
            self.problems.add(
                f"the repeat in {where} has no 'of'",
                node.mark,
                "expected {repeat: count, of: node} with what to repeat",
            )
            return None
        of = self.read(node.entries["of"], where)
        if count is None:
            return None
        if most(count) > MAX_COPIES:
            self.problems.add(
                f"the repeat in {where} makes up to {most(count):,} copies",
                count.mark,
                f"expected at most {MAX_COPIES}",
            )
            return None
        return Repeat(count, of, node.mark)

    def _optional(self, node: YamlMapping, where: str) -> Maybe | None:
        of = node.entries["optional"]
        if isinstance(of, YamlScalar) and of.value is None:
            self.wrong(of, f"{where}.optional", "the node that may be absent")
            return None
        read = self.read(of, where)
        if isinstance(read, Maybe):
            self.problems.add(f"{where} is optional twice", of.mark, "expected {optional: node} once")
            return None
        if isinstance(read, MapOf) and "present" in read.entries:
            self.problems.add(
                f"the key 'present' in {where} clashes with the decision whether the node is present",
                read.key_marks["present"],
                "expected another word",
            )
        return Maybe(read, node.mark)

    def _use(self, node: YamlMapping, where: str) -> Use | None:
        name = self.word(node.entries["use"], f"{where}.use", "the name of an entry of let")
        if name is None or name not in self.shared:  # an unknown name is noted where plain entries are substituted
            return None
        return Use(name, node.mark)

    def _same_as(self, node: YamlMapping, where: str) -> SameAs | None:
        expected = "a path such as .width (of a sibling) or network.stages.0.width"
        word = self.word(node.entries["same_as"], f"{where}.same_as", expected)
        if word is None:
            return None
        path = word.lstrip(".")
        if not PATH.fullmatch(path):
            self.wrong(node.entries["same_as"], f"{where}.same_as", expected)
            return None
        return SameAs(len(word) - len(path), path, node.mark)

    # --- the cell ----------------------------------------------------------------------------------------------

    def _cell(self, node: YamlMapping, where: str) -> MapOf:
        """A cell, with `edges: {all: node}` spelt out to one copy for each pair of nodes."""
        entries = {
            key: self.read(value, f"{where}.{key}")
            for key, value in node.entries.items()
            if key not in ("edges", "all")
        }
        whole = MapOf(entries, node.mark, dict(node.key_marks))
        for key in ("nodes", "edges"):
            if key not in node.entries:
                self.problems.add(
                    f"the cell in {where} has no {key!r}",
                    node.mark,
                    'expected {type: cell, nodes: n, edges: {"0-1": node, …} or {all: node}}',
                )
        output = node.entries.get("output")
        if output is not None:
            self.one_of(output, f"{where}.output", ("last", "concat"))
        nodes = None
        if "nodes" in node.entries:
            nodes = self.integer(node.entries["nodes"], f"{where}.nodes", 2, MAX_CELL_NODES)
        if nodes is None or "edges" not in node.entries:
            return whole
        body = self.mapping(node.entries["edges"], f"{where}.edges", 'edges such as "0-1", or all')
        if body is None:
            return whole
        edges: dict[str, Node] = {}
        marks: dict[str, Mark] = {}
        written: dict[str, Node] = {}
        names = [f"{i}-{j}" for j in range(nodes) for i in range(j)]
        for key, below in body.entries.items():
            if key != "all" and key not in names:
                self.problems.add(
                    f"unknown edge {key!r} in {where}.edges",
                    body.key_marks[key],
                    f"expected 'all' or FROM-TO with 0 <= FROM < TO <= {nodes - 1}{nearest(key, names)}",
                )
                continue
            written[key] = self.read(below, f"{where}.edges.{key}")
        for name in names:
            source = name if name in written else "all"
            if source in written:
                edges[name], marks[name] = written[source], body.key_marks[source]
        self._check_connected(edges, nodes, output, body, where)
        entries["edges"] = MapOf(edges, body.mark, marks)
        order = {key: entries[key] for key in node.entries if key in entries}
        return MapOf(order, node.mark, dict(node.key_marks))

    def _check_connected(
        self, edges: Mapping[str, Node], nodes: int, output: YamlNode | None, body: YamlMapping, where: str
    ) -> None:
        sources = {int(name.split("-")[0]) for name in edges}
        targets = {int(name.split("-")[1]) for name in edges}
        for i in range(1, nodes):
            if i not in targets:
                self.problems.add(f"no edge of {where}.edges leads to node {i}", body.mark, f"expected an edge to {i}")
        concatenates = isinstance(output, YamlScalar) and output.value == "concat"
        for i in range(nodes - 1):
            if i not in sources and not concatenates:
                self.problems.add(f"no edge of {where}.edges leaves node {i}", body.mark, f"expected an edge from {i}")


_NO_LABEL = object()


def node_items(node: YamlSequence | YamlMapping) -> int:
    """How many things the collection holds."""
    return len(node.items) if isinstance(node, YamlSequence) else len(node.entries)


def most(count: Value | Choice | Range) -> int:
    """The largest number a count can be."""
    if isinstance(count, Range):
        return count.high
    if isinstance(count, Choice):
        return max(int(str(option.label)) for option in count.options)
    return int(str(count.value))


def _canonical_key(text: str) -> str:
    """A key that is a number, as `label_text` writes it: 1.0e-4 for the option 0.0001."""
    try:
        value: Scalar = resolve_scalar(text)
    except ValueError:
        return text
    return label_text(value)
