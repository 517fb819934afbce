"""The arguments of what `type:` may name, for people: their kinds and defaults from the signature, and what the
docstring says of each. The JSON Schema, the reference page and `describe` show them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from nasengine.space.language.calls import annotations_of, describe_kind

_SECTION = re.compile(r"[A-Z]\w+:.*")  # "Args:", "Raises: …": begins a part of a docstring
_ENTRY = re.compile(r"([\w, *]+): (.*)")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument.

    Args:
        name: as YAML writes it.
        takes: the kind of value, in words.
        about: what the docstring says; empty where it says nothing.
        required: there is no default.
        default: a plain value.
    """

    name: str
    takes: str
    about: str
    required: bool
    default: Any = None


def arguments_of(target: Callable[..., object], leave_out: Collection[str] = ()) -> tuple[Argument, ...]:
    """The arguments that can be passed by name, in their order; nothing where Python does not know them."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):
        return ()
    kinds, texts = annotations_of(target), _argument_texts(target)
    return tuple(
        Argument(
            p.name,
            describe_kind(kinds.get(p.name, Any)),
            texts.get(p.name, ""),
            p.default is p.empty,
            None if p.default is p.empty else _plain(p.default),
        )
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in leave_out
    )


def summary(target: object) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((inspect.getdoc(target) or "").partition("\n\n")[0].split())


def _argument_texts(target: object) -> dict[str, str]:
    """argument -> what the section `Args:` of the docstring says of it; `a, b: text` is said of both."""
    lines = (inspect.getdoc(target) or "").split("\n")
    if "Args:" not in lines:
        return {}
    names: list[str] = []
    found: dict[str, str] = {}
    for line in lines[lines.index("Args:") + 1 :]:
        if _SECTION.fullmatch(line) or (line and not line.startswith(" ")):
            break
        entry = _ENTRY.fullmatch(line[4:]) if not line.startswith(" " * 5) else None
        if entry:
            names = [name.strip(" *") for name in entry.group(1).split(",")]
            found |= dict.fromkeys(names, entry.group(2))
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _plain(default: object) -> Any:
    """A default as YAML would write it."""
    if default is None or isinstance(default, (str, int, float)):
        return default
    return [_plain(item) for item in default] if isinstance(default, (list, tuple)) else str(default)
