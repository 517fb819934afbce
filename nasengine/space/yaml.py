"""YAML text to a tree of plain values in which every node knows its line and column.

Differs from `yaml.safe_load` where that surprises people or can be attacked: scalars follow the core schema of
YAML 1.2 (`1.7e9` is a number; `on`, `12:30` and `2026-01-01` are words; `0o17` is octal), a key may stand once,
tags and merge keys are refused, numbers are finite, and text, nesting and what aliases expand to are bounded.
The tree is built from parser events without recursion. An alias shares the immutable node of its anchor, which
nobody can tell from an independent copy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from nasengine.errors import InputError, Mark, Problem, nearest
from nasengine.space.problems import Problems

Scalar: TypeAlias = str | int | float | bool | None

MAX_CHARACTERS = 500_000
MAX_NODES = 50_000  # of a document, every alias counted as the copy it is
MAX_DEPTH = 60
MAX_KEY = 200  # characters of a key
LARGEST_INTEGER = 2**63 - 1

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what the parser counts as one
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class YamlScalar:
    """A scalar, resolved."""

    value: Scalar
    mark: Mark
    size: int = field(default=1, init=False, repr=False)
    depth: int = field(default=1, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class YamlSequence:
    """A sequence; `size` counts the nodes below and itself, `depth` the levels."""

    items: tuple[YamlNode, ...]
    mark: Mark
    size: int = field(init=False, repr=False)
    depth: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _measure(self, self.items)


@dataclass(frozen=True, slots=True)
class YamlMapping:
    """A mapping from text to nodes; a key is the text as written, whatever it would mean as a scalar."""

    entries: Mapping[str, YamlNode]
    mark: Mark
    key_marks: Mapping[str, Mark]
    size: int = field(init=False, repr=False)
    depth: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _measure(self, self.entries.values())


YamlNode: TypeAlias = YamlScalar | YamlSequence | YamlMapping


def _measure(node: YamlSequence | YamlMapping, below: Any) -> None:
    size = depth = 0
    for child in below:
        size += child.size
        depth = max(depth, child.depth)
    object.__setattr__(node, "size", size + 1)
    object.__setattr__(node, "depth", depth + 1)


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
            raw = stream.read(4 * MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{shown!r} cannot be read: {reason}") from error
    if len(raw) > 4 * MAX_CHARACTERS:
        raise InputError(Problem(f"the file is larger than {4 * MAX_CHARACTERS:,} bytes", Mark(shown, 1, 1)))
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
    lines = tuple(_LINE_BREAK.split(text))
    problems = Problems({file: lines})
    documents: tuple[YamlNode, ...] = ()
    if len(text) > MAX_CHARACTERS:
        problems.add(f"the text is longer than {MAX_CHARACTERS:,} characters", Mark(file, 1, 1))
        problems.check()
    text = text.removeprefix("\ufeff")
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


def plain(node: YamlNode) -> Any:
    """The node as fresh dictionaries, lists and scalars."""
    match node:
        case YamlScalar():
            return node.value
        case YamlSequence():
            return [plain(item) for item in node.items]
        case YamlMapping():
            return {key: plain(value) for key, value in node.entries.items()}


def from_plain(value: Any, file: str) -> YamlNode:
    """A tree of dictionaries, lists and scalars as nodes whose marks all point to the start of `file`.

    Raises:
        InputError: a value of another kind, a key that is no text, a number that is not finite, too deep or too large.
    """
    mark = Mark(file, 1, 1)
    left = [MAX_NODES]

    def convert(value: Any, depth: int) -> YamlNode:
        left[0] -= 1
        if depth > MAX_DEPTH or left[0] < 0:
            raise InputError(Problem(f"the value is nested deeper than {MAX_DEPTH} or larger than {MAX_NODES:,}", mark))
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise InputError(Problem(f"the key {key!r} is not text", mark))
            entries = {key: convert(below, depth + 1) for key, below in value.items()}
            return YamlMapping(entries, mark, dict.fromkeys(entries, mark))
        if isinstance(value, (list, tuple)):
            return YamlSequence(tuple(convert(below, depth + 1) for below in value), mark)
        if value is None or isinstance(value, (str, bool, int, float)):
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(Problem(f"the number {value} is not finite", mark))
            return YamlScalar(value, mark)
        raise InputError(Problem(f"{value!r} is not a plain value", mark, "expected words, numbers, lists, mappings"))

    return convert(value, 1)


def resolve_scalar(text: str) -> Scalar:
    """What an unquoted scalar means in the core schema of YAML 1.2 (section 10.3.2).

    Raises:
        ValueError: a number that is not finite or has more than 64 bits; the message says which.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
        number = int(text, base) if len(text) <= 80 else LARGEST_INTEGER + 1
        if abs(number) > LARGEST_INTEGER:
            raise ValueError(f"the number {_short(text)} is larger than 64 bits hold")
        return number
    if _REAL.fullmatch(text):
        real = float(text)
        if math.isinf(real):
            raise ValueError(f"the number {_short(text)} is larger than a float holds")
        return real
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    return text


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}…"


def walk(node: YamlNode) -> Iterator[YamlNode]:
    """The node and everything below it, each shared node once."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, YamlSequence):
            waiting.extend(reversed(node.items))
        elif isinstance(node, YamlMapping):
            waiting.extend(reversed(tuple(node.entries.values())))


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
    mark = Mark(file, where.line + 1, where.column + 1) if where else Mark(file, 1, 1)
    context = f" {error.context}" if error.context else ""
    if error.context_mark is not None:
        context += f" that starts in line {error.context_mark.line + 1}, column {error.context_mark.column + 1}"
    message = error.problem or "not YAML"
    expected = "a tab may not indent; use spaces" if "'\\t'" in message else ""
    problems.add(f"not valid YAML: {message}{context}", mark, expected)


def line_of(lines: Mapping[str, Sequence[str]], mark: Mark) -> str:
    """The source line a mark points into; empty when its file is not among `lines`."""
    text = lines.get(mark.file, ())
    return text[mark.line - 1] if 0 < mark.line <= len(text) else ""
