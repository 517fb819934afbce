"""YAML text to a tree of plain values in which every node knows its line and column.

Differs from `yaml.safe_load` where that surprises people or can be attacked: scalars follow the core schema of
YAML 1.2 (`1.7e9` is a number; `on`, `12:30` and `2026-01-01` are words; `0o17` is octal), a key may stand once,
tags and merge keys are refused, numbers are finite, and text, nesting and what aliases expand to are bounded.
The tree is built from parser events without recursion. An alias shares the immutable node of its anchor, which
nobody can tell from an independent copy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nasengine.errors import InputError, Mark, Problem, nearest
from nasengine.space.language.yaml_nodes import (
    MAX_DEPTH,
    MAX_NODES,
    YamlMapping,
    YamlNode,
    YamlScalar,
    YamlSequence,
    from_plain,
    plain,
    walk,
)
from nasengine.space.language.yaml_scalars import Scalar, resolve_scalar
from nasengine.space.problems import Problems

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_NODES",
    "Scalar",
    "YamlFile",
    "YamlMapping",
    "YamlNode",
    "YamlScalar",
    "YamlSequence",
    "from_plain",
    "parse_document",
    "parse_yaml",
    "plain",
    "read_text",
    "resolve_scalar",
    "walk",
]

MAX_CHARACTERS = 500_000
MAX_BYTES = 4 * MAX_CHARACTERS
MAX_KEY = 200  # characters of a key

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what the parser counts as one
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A parsed file: the roots of its documents, and its lines for excerpts."""

    file: str
    lines: tuple[str, ...]
    documents: tuple[YamlNode, ...]


def read_text(path: Path, shown: str | None = None) -> str:
    """The text of a file, bounded before it is read.

    Args:
        path: a regular file.
        shown: how to name it in messages.

    Raises:
        InputError: no such file, not a regular file, unreadable, too large, or not UTF-8 (with its position).
    """
    shown = shown or str(path)
    try:
        if not path.exists():
            raise InputError(f"there is no file {shown!r}")
        if not path.is_file():
            raise InputError(f"{shown!r} is not a file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{shown!r} cannot be read: {reason}") from error
    if len(raw) > MAX_BYTES:
        raise InputError(Problem(f"the file is larger than {MAX_BYTES:,} bytes", Mark(shown, 1, 1)))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = _LINE_BREAK.split(raw[: error.start].decode("utf-8", "replace"))
        mark = Mark(shown, len(before), len(before[-1]) + 1)
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8 text"
        raise InputError(Problem(message, mark, "expected a text file in UTF-8")) from error


def parse_yaml(text: str, file: str) -> YamlFile:
    """Parse a text of one or more documents.

    Args:
        text: the YAML text.
        file: its name, for marks.

    Raises:
        InputError: every problem found; after a syntax error or a breached bound, those found up to there.
    """
    text = text.removeprefix("\ufeff")
    lines = tuple(_LINE_BREAK.split(_UNPRINTABLE.sub("\ufffd", text)))
    problems = Problems({file: lines})
    documents: tuple[YamlNode, ...] = ()
    if len(text) > MAX_CHARACTERS:
        problems.add(f"the text is longer than {MAX_CHARACTERS:,} characters", Mark(file, 1, 1))
        problems.check()
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        before = _LINE_BREAK.split(text[: unprintable.start()])
        found = f"the character U+{ord(unprintable.group()):04X} may not stand in YAML"
        problems.add(found, Mark(file, len(before), len(before[-1]) + 1), "expected printable text")
        problems.check()
    builder = _Builder(file, problems)
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            builder.take(event)
        documents = tuple(builder.documents)
    except _BoundBreachedError:
        pass
    except yaml.MarkedYAMLError as error:
        _note_syntax_error(error, file, problems)
    except yaml.YAMLError as error:
        problems.add(f"not valid YAML: {error}", Mark(file, 1, 1))
    problems.check()
    return YamlFile(file, lines, documents)


def parse_document(text: str, file: str) -> YamlFile:
    """Parse a text that must hold exactly one document.

    Raises:
        InputError: as `parse_yaml`; or no document, or several.
    """
    parsed = parse_yaml(text, file)
    if len(parsed.documents) != 1:
        problems = Problems({file: parsed.lines})
        if parsed.documents:
            problems.add(
                "a second document starts here", parsed.documents[1].mark, "expected one document (no line `---`)"
            )
        else:
            problems.add("the file is empty", Mark(file, 1, 1), "expected a mapping of keys to values")
        problems.check()
    return parsed


class _BoundBreachedError(Exception):
    """A bound is breached: what follows cannot be read; the problem is already noted."""


@dataclass(slots=True)
class _Open:
    """A sequence or mapping whose end has not come yet."""

    mark: Mark
    anchor: str | None
    is_mapping: bool
    items: list[YamlNode] = field(default_factory=list)
    entries: dict[str, YamlNode] = field(default_factory=dict)
    key_marks: dict[str, Mark] = field(default_factory=dict)
    key: tuple[str, bool] | None = None  # the key whose value comes next; whether it is to be kept
    size: int = 1


class _Builder:
    """Turns parser events into nodes with a stack of its own, so that nesting costs no Python frames."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file, self.problems = file, problems
        self.documents: list[YamlNode] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, YamlNode] = {}
        self.size = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.anchors, self.size = {}, 0
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()

    def _mark(self, event: yaml.Event) -> Mark:
        mark: Any = event.start_mark
        return Mark(self.file, mark.line + 1, mark.column + 1)

    @property
    def _expects_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].is_mapping and self.stack[-1].key is None

    def _check_tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None:
            self.problems.add(f"a tag ({event.tag}) stands here", mark, "expected a plain value; tags are not allowed")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        mark = self._mark(event)
        self._check_tag(event, mark)
        unquoted = event.implicit[0]
        if self._expects_key:
            self._key(event.value, mark, unquoted)
            return
        value: Scalar = event.value
        if unquoted:
            try:
                value = resolve_scalar(event.value)
            except ValueError as error:
                self.problems.add(str(error), mark, "expected a finite number of at most 64 bits, or a word in quotes")
                value = None
        self._place(YamlScalar(value, mark), event.anchor, mark)

    def _key(self, text: str, mark: Mark, unquoted: bool) -> None:
        mapping = self.stack[-1]
        keep = False
        if text == "<<" and unquoted:
            self.problems.add("a merge key (<<) stands here", mark, "merge keys are not allowed; write the keys out")
        elif not text:
            self.problems.add("a key is empty", mark, "expected a word before the colon")
        elif len(text) > MAX_KEY:
            self.problems.add(f"a key has {len(text):,} characters", mark, f"expected at most {MAX_KEY}")
        elif text in mapping.entries:
            first = mapping.key_marks[text]
            self.problems.add(
                f"the key {text!r} stands twice in one mapping",
                mark,
                f"it stands first in line {first.line}, column {first.column}",
            )
        else:
            keep = True
            mapping.key_marks[text] = mark
        mapping.key = (text, keep)

    def _alias(self, event: yaml.AliasEvent) -> None:
        mark = self._mark(event)
        name: str = event.anchor or ""
        if self._expects_key:
            self.problems.add(f"the alias *{name} is used as a key", mark, "expected a word")
            self.stack[-1].key = (name, False)
            return
        node = self.anchors.get(name)
        if node is None:
            if any(opened.anchor == name for opened in self.stack):
                self.problems.add(f"the alias *{name} stands inside its own anchor", mark, "nothing may contain itself")
            else:
                known = nearest(name, self.anchors)
                self.problems.add(
                    f"no anchor &{name} stands before this alias", mark, f"expected an anchor above it{known}"
                )
            node = YamlScalar(None, mark)
        elif len(self.stack) + node.depth > MAX_DEPTH:
            self.problems.add(f"with this alias the nesting is deeper than {MAX_DEPTH}", mark)
            raise _BoundBreachedError
        self._place(node, None, mark)

    def _open(self, event: Any) -> None:
        mark = self._mark(event)
        self._check_tag(event, mark)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._expects_key:
            found = "mapping" if is_mapping else "list"
            self.problems.add(f"a {found} is used as a key", mark, "expected a word before the colon")
            raise _BoundBreachedError
        if len(self.stack) >= MAX_DEPTH:
            self.problems.add(f"the nesting is deeper than {MAX_DEPTH}", mark)
            raise _BoundBreachedError
        self.stack.append(_Open(mark, event.anchor, is_mapping))

    def _close(self) -> None:
        done = self.stack.pop()
        node: YamlNode
        if done.is_mapping:
            node = YamlMapping(done.entries, done.mark, done.key_marks)
        else:
            node = YamlSequence(tuple(done.items), done.mark)
        self.size -= node.size - 1  # its content was counted as it came
        self._place(node, done.anchor, done.mark)

    def _place(self, node: YamlNode, anchor: str | None, mark: Mark) -> None:
        self.size += node.size
        if self.size > MAX_NODES:
            self.problems.add(
                f"the document has more than {MAX_NODES:,} values (an alias counts as what it stands for)", mark
            )
            raise _BoundBreachedError
        if anchor is not None:
            if anchor in self.anchors:
                self.problems.add(
                    f"the anchor &{anchor} stands twice in one document", mark, "expected a name of its own"
                )
            self.anchors[anchor] = node
        if not self.stack:
            self.documents.append(node)
            return
        parent = self.stack[-1]
        if not parent.is_mapping:
            parent.items.append(node)
            return
        assert parent.key is not None
        text, keep = parent.key
        if keep:
            parent.entries[text] = node
        parent.key = None


def _note_syntax_error(error: yaml.MarkedYAMLError, file: str, problems: Problems) -> None:
    where = error.problem_mark or error.context_mark
    mark = _within(Mark(file, where.line + 1, where.column + 1), problems.lines[file]) if where else Mark(file, 1, 1)
    context = f" {error.context}" if error.context else ""
    if error.context_mark is not None:
        context += f" that starts in line {error.context_mark.line + 1}, column {error.context_mark.column + 1}"
    message = error.problem or "not YAML"
    expected = "a tab may not indent; use spaces" if "'\\t'" in message else ""
    problems.add(f"not valid YAML: {message}{context}", mark, expected)


def _within(mark: Mark, lines: Sequence[str]) -> Mark:
    """The mark, or the end of the text where it points behind that (something is not closed)."""
    last = max((number for number, line in enumerate(lines, 1) if line.strip()), default=1)
    return mark if mark.line <= last else Mark(mark.file, last, len(lines[last - 1].rstrip()) + 1)
