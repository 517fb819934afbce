"""Reads the values and holes of a space: marked YAML to the tree of `holes.py`.

A mapping with one of the hole words (`choice`, `range`, `subset`, `repeat`, `optional`, `use`, `same_as`) among its
keys is that hole; any other mapping is a constructor call (with `type`) or a group of settings (without).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from nasengine.errors import nearest, one_of
from nasengine.space.holes import HOLE_WORDS, ListOf, MapOf, Maybe, Node, SameAs, Use, Value
from nasengine.space.language.grammar_cell import read_cell
from nasengine.space.language.grammar_counts import read_range, read_repeat
from nasengine.space.language.grammar_options import read_choice, read_subset
from nasengine.space.language.grammar_reader import PATH, Reader
from nasengine.space.language.keys import HOLES
from nasengine.space.language.misspelt import misspelt_hole
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence
from nasengine.space.problems import Problems


class NodeReader(Reader):
    """Reads nodes; what an alias or a plain `let` puts in several places is read, and complained of, once."""

    def __init__(self, problems: Problems, shared: Collection[str]) -> None:
        super().__init__(problems, shared)
        self._read: dict[int, tuple[YamlNode, Node]] = {}  # the YAML node is kept so that its id stays taken

    def read(self, node: YamlNode, where: str) -> Node:
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
        hole = next((key for key in node.entries if key in HOLE_WORDS), None)
        if hole is None:
            return self._mapping(node, where)
        self._check_beside(hole, node, where)
        return _HOLES[hole](self, node, where) or Value(None, node.mark)

    def _check_beside(self, hole: str, node: YamlMapping, where: str) -> None:
        beside = tuple(key for key in HOLES[hole].table if key != hole)
        for key, mark in node.key_marks.items():
            if key == hole or key in beside:
                continue
            if key in HOLE_WORDS:
                self.problems.add(
                    f"{where} is a {hole} and a {key} at once",
                    mark,
                    f"expected one of the two (in a file that extends another, `{hole}: null` drops the inherited one)",
                )
                continue
            expected = f"expected nothing beside {hole!r}"
            if beside:
                expected += f" but {', '.join(map(repr, beside))}{nearest(key, beside)}"
            if key == "type":
                expected += f"; {hole!r} is the word of a hole and cannot be the name of an argument"
            self.problems.add(f"unknown key {key!r} beside {hole!r} in {where}", mark, expected)

    def _mapping(self, node: YamlMapping, where: str) -> Node:
        misspelt = misspelt_hole(node)
        if misspelt is not None:
            written, meant = misspelt
            self.problems.add(
                f"unknown hole {written!r} in {where}",
                node.key_marks[written],
                f"expected {one_of(HOLE_WORDS)}; did you mean {meant!r}?",
            )
            return Value(None, node.mark)
        for key, mark in node.key_marks.items():
            if "." in key or any(character.isspace() for character in key):
                self.problems.add(
                    f"the key {key!r} in {where} holds a dot or a space",
                    mark,
                    "expected a word: the paths of choices are divided by dots",
                )
        kind = node.entries.get("type")
        if kind is not None:
            self._check_type(kind, where)
            if isinstance(kind, YamlScalar) and kind.value == "cell":
                return read_cell(self, node, where)
        entries = {key: self.read(value, f"{where}.{key}") for key, value in node.entries.items()}
        return MapOf(entries, node.mark, dict(node.key_marks))

    def _check_type(self, kind: YamlNode, where: str) -> None:
        if isinstance(kind, YamlMapping) and any(key in HOLE_WORDS for key in kind.entries):
            self.problems.add(
                f"the type in {where} is a hole",
                kind.mark,
                "expected a word; choose among whole nodes instead: {choice: {label: {type: …}, …}}",
            )
        else:
            self.word(kind, f"{where}.type", "the name of a type")


def _read_optional(reader: Reader, node: YamlMapping, where: str) -> Maybe | None:
    of = node.entries["optional"]
    if isinstance(of, YamlScalar) and of.value is None:
        reader.wrong(of, f"{where}.optional", "the node that may be absent")
        return None
    return Maybe(reader.read(of, where), node.mark)


def _read_use(reader: Reader, node: YamlMapping, where: str) -> Use | None:
    name = reader.word(node.entries["use"], f"{where}.use", "the name of an entry of let")
    if name is None or name not in reader.shared:  # an unknown name is noted where plain entries are substituted
        return None
    return Use(name, node.mark)


def _read_same_as(reader: Reader, node: YamlMapping, where: str) -> SameAs | None:
    expected = "a path such as .width (of a sibling) or network.stages.0.width"
    word = reader.word(node.entries["same_as"], f"{where}.same_as", expected)
    if word is None:
        return None
    path = word.lstrip(".")
    if not PATH.fullmatch(path):
        reader.wrong(node.entries["same_as"], f"{where}.same_as", expected)
        return None
    return SameAs(len(word) - len(path), path, node.mark)


_HOLES: Mapping[str, Callable[[Reader, YamlMapping, str], Node | None]] = {
    "choice": read_choice,
    "range": read_range,
    "subset": read_subset,
    "repeat": read_repeat,
    "optional": _read_optional,
    "use": _read_use,
    "same_as": _read_same_as,
}
