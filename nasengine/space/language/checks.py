"""Small checks of marked YAML that note what they find and go on: is this a mapping, a word, an integer?

Each check returns what it read, or None after noting a problem, so that a reader can collect every problem of a
file. `where` names the place in the file as a dotted path.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

from nasengine.errors import nearest, one_of
from nasengine.space.holes import (
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    Range,
    Repeat,
    SameAs,
    Subset,
    Use,
    Value,
)
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence
from nasengine.space.problems import Problems

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+-]*")


def describe(node: YamlNode | Node) -> str:
    """What a person sees there: "the word 'x'", "the number 3", "a list", "a choice", "nothing"."""
    match node:
        case YamlSequence() | ListOf():
            return "a list"
        case YamlMapping() | MapOf():
            return "a mapping"
        case YamlScalar(value=None) | Value(value=None):
            return "nothing (null)"
        case YamlScalar(value=bool() as value) | Value(value=bool() as value):
            return "true" if value else "false"
        case YamlScalar(value=str() as value) | Value(value=str() as value):
            return f"the word {value!r}" if len(value) <= 40 else f"the text {value[:37] + '…'!r}"
        case YamlScalar(value=value) | Value(value=value):
            return f"the number {value}"
        case Subset():
            return "a subset (a list)"
        case Repeat():
            return "a repeat (a list)"
        case Choice():
            return "a choice"
        case Range():
            return "a range"
        case Maybe():
            return "an optional"
        case Use(name=name):
            return f"a use of let.{name}"
        case SameAs():
            return "a same_as"


class Checks:
    """The checks, noting what they find in `problems`."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def wrong(self, node: YamlNode, where: str, expected: str) -> None:
        """Note that something else stands where `expected` should."""
        self.problems.add(f"{describe(node)} stands at {where}", node.mark, f"expected {expected}")

    def mapping(self, node: YamlNode, where: str, expected: str = "a mapping of keys to values") -> YamlMapping | None:
        """A mapping."""
        if isinstance(node, YamlMapping):
            return node
        self.wrong(node, where, expected)
        return None

    def sequence(self, node: YamlNode, where: str, expected: str = "a list") -> YamlSequence | None:
        """A list."""
        if isinstance(node, YamlSequence):
            return node
        self.wrong(node, where, expected)
        return None

    def keys(self, mapping: YamlMapping, where: str, allowed: Sequence[str], required: Collection[str] = ()) -> None:
        """Every key must be one of `allowed`, and each of `required` must be there."""
        for key, mark in mapping.key_marks.items():
            if key not in allowed:
                self.problems.add(
                    f"unknown key {key!r} in {where}", mark, f"expected {one_of(allowed)}{nearest(key, allowed)}"
                )
        self.has(mapping, where, required, allowed)

    def has(
        self, mapping: YamlMapping, where: str, required: Collection[str], allowed: Sequence[str] | None = None
    ) -> None:
        """Each of `required` must be there.

        Where the caller notes every key but `allowed`, a misspelt key is noted as unknown, not as missing too.
        Without `allowed` any key is right, and one that resembles the missing one is named.
        """
        unknown = [key for key in mapping.entries if allowed is None or key not in allowed]
        for key in required:
            if key in mapping.entries:
                continue
            near = difflib.get_close_matches(key, [other for other in unknown if other not in required], n=1)
            if not near or allowed is None:
                hint = f"; is {near[0]!r} meant to be it?" if near else ""
                self.problems.add(f"{where} has no {key!r}", mapping.mark, f"expected a key {key!r}{hint}")

    def word(self, node: YamlNode, where: str, expected: str = "a word") -> str | None:
        """Non-empty text."""
        if isinstance(node, YamlScalar) and isinstance(node.value, str) and node.value.strip():
            return node.value
        self.wrong(node, where, expected)
        return None

    def name(self, node: YamlNode, where: str) -> str | None:
        """A word of letters, digits, `_`, `+` and `-`."""
        word = self.word(node, where, "a name")
        if word is not None and not NAME.fullmatch(word):
            self.wrong(node, where, "a name of letters, digits, _ and -")
            return None
        return word

    def one_of(self, node: YamlNode, where: str, known: Sequence[str]) -> str | None:
        """One of some words."""
        word = self.word(node, where, one_of(known))
        if word is not None and word not in known:
            self.wrong(node, where, f"{one_of(known)}{nearest(word, known)}")
            return None
        return word

    def integer(self, node: YamlNode, where: str, low: int | None = None, high: int | None = None) -> int | None:
        """An integer between `low` and `high`; true and false are none."""
        bounds = f" of at least {low}" if high is None else f" from {low} to {high}"
        expected = f"an integer{'' if low is None else bounds}"
        value = node.value if isinstance(node, YamlScalar) else None
        within = isinstance(value, int) and (low is None or value >= low) and (high is None or value <= high)
        if isinstance(value, int) and not isinstance(value, bool) and within:
            return value
        self.wrong(node, where, expected)
        return None

    def number(self, node: YamlNode, where: str) -> float | None:
        """An integer or real number."""
        value = node.value if isinstance(node, YamlScalar) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        hint = ""
        if isinstance(value, str) and re.fullmatch(r"[-+0-9_,.' ]*[0-9][-+0-9_,.' ]*", value):
            hint = " (digits alone: no separators)"
        self.wrong(node, where, f"a number{hint}")
        return None
