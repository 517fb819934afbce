"""Values as formatted Python source: scalars by their repr, calls and collections broken as ruff breaks them.

Only numbers, words, booleans and None are ever written, each as a literal of its own; a text that came from
a YAML file can therefore end up inside quotes and nowhere else.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nasengine.errors import ExportError

LINE_LENGTH = 120
INDENT = "    "


@dataclass(frozen=True, slots=True)
class CallText:
    """A call to write: `name` is an expression that is known to be safe (a class that the file defines or imports)."""

    name: str
    arguments: Mapping[str, object]


def write_scalar(value: object) -> str:
    """One literal, as ruff would write it.

    Raises:
        ExportError: the value is not a number, a word, a boolean or None.
    """
    if value is None or value is True or value is False:
        return repr(value)
    if type(value) is int:
        return repr(value)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if type(value) is str:
        return _write_word(value)
    raise ExportError(f"an argument of type {type(value).__name__} cannot be written as source: {value!r}")


def _write_word(word: str) -> str:
    """Double quotes unless single ones save escapes; whatever cannot be printed is escaped."""
    quote = "'" if word.count('"') > word.count("'") else '"'
    escaped = (
        "\\" + letter if letter == quote else letter if letter in "'\"" else repr(letter)[1:-1] for letter in word
    )
    return quote + "".join(escaped) + quote


def write_value(value: object, *, indent: int = 0, before: int = 0, after: int = 0) -> str:
    """The source of a value, over several lines where one is too short.

    Args:
        value: a scalar, a list, a tuple, a dictionary with words as keys, or a CallText; nested at will.
        indent: levels of indentation of the line that the value begins on.
        before: characters that stand before the value on its first line, indentation not counted.
        after: characters that follow on its last line (a comma).

    Raises:
        ExportError: something in the value is not a plain value.
    """
    flat = _flat(value)
    if len(INDENT) * indent + before + len(flat) + after <= LINE_LENGTH or not _parts(value):
        return flat
    opening, closing = _brackets(value)
    inner = INDENT * (indent + 1)
    lines = [
        f"{inner}{prefix}{write_value(part, indent=indent + 1, before=len(prefix), after=1)},"
        for prefix, part in _parts(value)
    ]
    return "\n".join([opening, *lines, INDENT * indent + closing])


def _flat(value: object) -> str:
    if not isinstance(value, (CallText, Mapping, list, tuple)):
        return write_scalar(value)
    opening, closing = _brackets(value)
    parts = [prefix + _flat(part) for prefix, part in _parts(value)]
    comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
    return opening + ", ".join(parts) + comma + closing


def _brackets(value: object) -> tuple[str, str]:
    if isinstance(value, CallText):
        return f"{value.name}(", ")"
    if isinstance(value, Mapping):
        return "{", "}"
    return ("[", "]") if isinstance(value, list) else ("(", ")")


def _parts(value: object) -> Sequence[tuple[str, object]]:
    """What stands between the brackets: (text before the part, the part)."""
    if isinstance(value, CallText):
        proper = {name: part for name, part in value.arguments.items() if is_name(name)}
        others = {name: part for name, part in value.arguments.items() if not is_name(name)}
        return [(f"{name}=", part) for name, part in proper.items()] + ([("**", others)] if others else [])
    if isinstance(value, Mapping):
        return [(f"{write_scalar(key)}: ", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [("", part) for part in value]
    return []


def is_name(word: str) -> bool:
    """Whether a word may stand as a keyword argument."""
    return word.isascii() and word.isidentifier() and not keyword.iskeyword(word)
