"""What a value in a strategy file may look like: small forms that read it, complain about it and describe it.

A form does two things with the same knowledge: `read` turns a marked node into a plain value, or notes what is
wrong and returns WRONG; `schema` says the same as JSON Schema, for editors. The grammar of strategies
(`grammar.py`) is nothing but tables of forms.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from nasengine.errors import Mark, nearest, one_of
from nasengine.search.language.settings import OVERRIDE
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence
from nasengine.space.problems import Problems

WRONG: Final[Any] = object()  # read() noted a problem; there is no value


Schema: TypeAlias = dict[str, Any]
Tables: TypeAlias = Mapping[str, Mapping[str, Callable[..., Any]]]  # kind -> name -> constructor


class Reader(Problems):
    """Collects the problems of one strategy, and remembers where each value stands (dotted path -> mark).

    Args:
        lines: file name -> its lines, for excerpts.
        tables: kind -> name -> constructor: the types a strategy may name.
    """

    def __init__(self, lines: Mapping[str, Sequence[str]], tables: Tables) -> None:
        super().__init__(lines)
        self.tables = tables
        self.marks: dict[str, Mark] = {}

    def add(self, message: str, mark: Mark | None, expected: str = "") -> None:
        """Note a problem; what an override brought in is named instead of placed, since it stands in no file."""
        if mark is not None and mark.file.startswith(OVERRIDE):
            super().add(f"{mark.file}: {message}", None, expected)
        else:
            super().add(message, mark, expected)

    def note(self, mark: Mark, message: str, expected: str = "") -> Any:
        """Note a problem; returns WRONG, so that a form can end in `return reader.note(...)`."""
        self.add(message, mark, expected)
        return WRONG

    def read(self, form: Form, node: YamlNode, path: str) -> Any:
        """The value of `node`, which stands at `path`."""
        self.marks[path] = node.mark
        return form.read(node, path, self)

    def mapping(self, node: YamlNode, path: str, what: str) -> YamlMapping | None:
        """`node` if it is a mapping."""
        self.marks[path] = node.mark
        if isinstance(node, YamlMapping):
            return node
        self.note(node.mark, f"{what} is {shown(node)}", "expected a mapping (key: value)")
        return None

    def unknown_keys(self, node: YamlMapping, known: Iterable[str], what: str) -> None:
        """Note every key of `node` that is not known."""
        names = tuple(known)
        for key, value in node.entries.items():
            if key not in names:
                mark = node.key_marks.get(key, value.mark)
                self.note(mark, f"unknown key {key!r} in {what}", f"expected {one_of(names, 20)}{nearest(key, names)}")

    def missing(self, node: YamlMapping, key: str, message: str, expected: str, known: Iterable[str]) -> Any:
        """Note that `node` lacks a key, at the unknown one that is nearly it if there is one; returns WRONG."""
        unknown = [other for other in node.entries if other not in frozenset(known)]
        misspelt = difflib.get_close_matches(key, unknown, n=1)
        if not misspelt:
            return self.note(node.mark, message, expected)
        mark = node.key_marks.get(misspelt[0], node.mark)
        return self.note(mark, f"{message}, but a key {misspelt[0]!r}", f"{expected}; did you mean {key!r}?")

    def fields(self, node: YamlMapping, path: str, forms: Mapping[str, Form]) -> dict[str, Any]:
        """Read those keys of `node` that `forms` names; what is wrong or missing is left out."""
        values = {}
        for key, entry in node.entries.items():
            if key in forms:
                value = self.read(forms[key], entry, f"{path}.{key}" if path else key)
                if value is not WRONG:
                    values[key] = value
        return values


class Form(Protocol):
    """What a value may look like."""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any: ...

    def schema(self) -> Schema: ...


@dataclass(frozen=True, slots=True)
class Number:
    """A number, its ends included unless `above` or `below` says otherwise; `whole` for integers."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    whole: bool = False
    about: str = ""

    def expected(self) -> str:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("at least", self.low),
                ("above", self.above),
                ("at most", self.high),
                ("below", self.below),
            )
            if bound is not None
        ]
        kind = "a whole number" if self.whole else "a number"
        return f"expected {kind}{' ' if bounds else ''}{' and '.join(bounds)}"

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        value = node.value if isinstance(node, YamlScalar) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return reader.note(node.mark, f"{path} is {shown(node)}", self.expected())
        if self.whole and value != int(value):
            return reader.note(node.mark, f"{path} is {value}", self.expected())
        too_low = (self.low is not None and value < self.low) or (self.above is not None and value <= self.above)
        too_high = (self.high is not None and value > self.high) or (self.below is not None and value >= self.below)
        if too_low or too_high:
            return reader.note(node.mark, f"{path} is {value}", self.expected())
        return int(value) if self.whole else value

    def schema(self) -> Schema:
        ends = {
            "minimum": self.low,
            "maximum": self.high,
            "exclusiveMinimum": self.above,
            "exclusiveMaximum": self.below,
        }
        given = {key: value for key, value in ends.items() if value is not None}
        return {"type": "integer" if self.whole else "number", **given, **described(self.about)}


@dataclass(frozen=True, slots=True)
class Word:
    """Any text."""

    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        if isinstance(node, YamlScalar) and isinstance(node.value, str) and node.value.strip():
            return node.value
        return reader.note(node.mark, f"{path} is {shown(node)}", "expected text")

    def schema(self) -> Schema:
        return {"title": "text", "type": "string", **described(self.about)}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]
    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        if isinstance(node, YamlScalar) and node.value in self.words:
            return node.value
        found = node.value if isinstance(node, YamlScalar) else ""
        return reader.note(
            node.mark, f"{path} is {shown(node)}", f"expected {one_of(self.words)}{nearest(found, self.words)}"
        )

    def schema(self) -> Schema:
        return {"enum": list(self.words), **described(self.about)}


@dataclass(frozen=True, slots=True)
class Words:
    """One word or a list of words; read as a tuple."""

    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        items = node.items if isinstance(node, YamlSequence) else (node,)
        if not items:
            return reader.note(node.mark, f"{path} is an empty list", "expected a word or a list of words")
        words = []
        for index, item in enumerate(items):
            if not isinstance(item, YamlScalar) or not isinstance(item.value, str):
                return reader.note(item.mark, f"{path} is {shown(item)}", "expected a word or a list of words")
            reader.marks[f"{path}.{index}"] = item.mark
            words.append(item.value)
        return tuple(words)

    def schema(self) -> Schema:
        word = {"title": "a word", "type": "string"}
        return {"anyOf": [word, {"type": "array", "items": word, "minItems": 1}], **described(self.about)}


@dataclass(frozen=True, slots=True)
class AnyMapping:
    """A mapping whose content another part of the engine understands."""

    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        mapping = reader.mapping(node, path, path)
        return WRONG if mapping is None else plain_value(mapping, path, reader)

    def schema(self) -> Schema:
        return {"type": "object", **described(self.about)}


@dataclass(frozen=True, slots=True)
class Anything:
    """A value that another part of the engine understands."""

    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        return plain_value(node, path, reader)

    def schema(self) -> Schema:
        return described(self.about)


def described(about: str) -> Schema:
    """{"description": about}, or nothing."""
    return {"description": about} if about else {}


def shown(node: YamlNode) -> str:
    """What a node is, for a message: "the word 'ten'", "a list", "nothing"."""
    if isinstance(node, YamlMapping):
        return "a mapping" if node.entries else "an empty mapping"
    if isinstance(node, YamlSequence):
        return "a list"
    if node.value is None:
        return "nothing (null)"
    if isinstance(node.value, bool):
        return f"the truth value {str(node.value).lower()}"
    return f"the word {node.value!r}" if isinstance(node.value, str) else f"the number {node.value}"


def plain_value(node: YamlNode, path: str, reader: Reader) -> Any:
    """The plain value of a node, the place of everything below it remembered."""
    reader.marks[path] = node.mark
    if isinstance(node, YamlMapping):
        return {key: plain_value(value, f"{path}.{key}", reader) for key, value in node.entries.items()}
    if isinstance(node, YamlSequence):
        return [plain_value(value, f"{path}.{index}", reader) for index, value in enumerate(node.items)]
    return node.value
