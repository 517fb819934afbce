"""`--set search.population=50`: single settings of a strategy replaced from the command line or from Python.

The path begins with a phase (its name, or its kind where only one phase is of that kind), or with `data`,
`objectives` or `lag`; then it goes down the keys of the file. Where the next word is no key of the phase but an
argument of exactly one of its components, the component may be left out: `search.population` is
`search.algorithm.population`, `search.optimizer.rate` is `search.evaluator.optimizer.rate`. Values are YAML. An
override is put into the tree before it is read, so that it is checked like everything else.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

from nasengine.errors import InputError, Mark, nearest, one_of
from nasengine.search.language.components import settings_of
from nasengine.search.language.forms import Reader
from nasengine.search.language.grammar import EVALUATOR, KINDS, PHASES, TOP
from nasengine.search.language.settings import OVERRIDE
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence, parse_yaml

_SINGLE = tuple(key for key in TOP if key != "phases")
_ASSIGNMENT = re.compile(r"\s*([^=\s]+?)\s*=(.*)", re.DOTALL)


def apply_overrides(root: YamlNode, overrides: Iterable[str], reader: Reader) -> YamlNode:
    """The strategy below `root` with the overrides in place; what is wrong with one is noted and left out."""
    for text in overrides:
        mark = Mark(f"{OVERRIDE}{text}", 1, 1)
        match = _ASSIGNMENT.fullmatch(text)
        if match is None or not match.group(1).strip("."):
            reader.note(mark, "not an assignment", "expected PATH=VALUE, such as search.population=50")
            continue
        value = _value(match.group(2), mark, reader)
        if value is not None and isinstance(root, YamlMapping):
            root = _apply(root, match.group(1).split("."), value, reader)
    return root


def _value(text: str, mark: Mark, reader: Reader) -> YamlNode | None:
    try:
        documents = parse_yaml(text, mark.file).documents
    except InputError as error:
        for problem in error.problems:
            reader.note(mark, problem.message, problem.expected)
        return None
    if len(documents) > 1:
        reader.note(mark, "more than one value", "expected one")
        return None
    return _at(documents[0], mark) if documents else YamlScalar(None, mark)


def _at(node: YamlNode, mark: Mark) -> YamlNode:
    """The node with one mark everywhere."""
    if isinstance(node, YamlMapping):
        return YamlMapping(
            {key: _at(value, mark) for key, value in node.entries.items()}, mark, dict.fromkeys(node.entries, mark)
        )
    if isinstance(node, YamlSequence):
        return YamlSequence(tuple(_at(item, mark) for item in node.items), mark)
    return YamlScalar(node.value, mark)


def _apply(root: YamlMapping, path: list[str], value: YamlNode, reader: Reader) -> YamlMapping:
    first, *rest = path
    if first in _SINGLE:
        return _put(root, path, value)
    phases = root.entries.get("phases")
    items = list(phases.items) if isinstance(phases, YamlSequence) else []
    index = _phase_index(items, first, value.mark, reader)
    if index is None:
        return root
    item = items[index]
    assert isinstance(item, YamlMapping)
    kind = next(iter(item.entries))
    content = item.entries[kind]
    if not rest or not isinstance(content, YamlMapping):
        reader.note(value.mark, f"{first} is a phase, not a setting", f"expected {first}.KEY=VALUE")
        return root
    full = _full_path(content, kind, rest, value.mark, reader)
    if full is None:
        return root
    items[index] = YamlMapping({**item.entries, kind: _put(content, full, value)}, item.mark, item.key_marks)
    assert isinstance(phases, YamlSequence)
    return YamlMapping({**root.entries, "phases": YamlSequence(tuple(items), phases.mark)}, root.mark, root.key_marks)


def _phase_index(items: list[YamlNode], first: str, mark: Mark, reader: Reader) -> int | None:
    """Which phase a path begins with."""
    names: dict[str, list[int]] = {}
    kinds: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        kind = next(iter(item.entries), "") if isinstance(item, YamlMapping) else ""
        if kind not in KINDS or not isinstance(item, YamlMapping):
            continue
        content = item.entries[kind]
        named = content.entries.get("name") if isinstance(content, YamlMapping) else None
        name = named.value if isinstance(named, YamlScalar) and isinstance(named.value, str) else kind
        names.setdefault(name, []).append(index)
        kinds.setdefault(kind, []).append(index)
    found = names.get(first) or kinds.get(first) or []
    if len(found) == 1:
        return found[0]
    known = (*names, *_SINGLE)
    if found:
        reader.note(mark, f"{first!r} means {len(found)} phases", f"expected {one_of(known)}")
    else:
        reader.note(mark, f"no phase is called {first!r}", f"expected {one_of(known)}{nearest(first, known)}")
    return None


def _full_path(content: YamlMapping, kind: str, rest: list[str], mark: Mark, reader: Reader) -> list[str] | None:
    """The path inside the phase, a left out component put in."""
    key = rest[0]
    if kind != "search":
        return rest  # every key that is not the phase's own is its trainer's
    own = tuple(PHASES["search"])
    if key in own:
        return rest
    inner = {
        "algorithm": _arguments(content, "algorithm", reader),
        "scheduler": _arguments(content, "scheduler", reader),
        "evaluator": (*_arguments(content, "evaluator", reader), *EVALUATOR),
    }
    owners = [component for component, names in inner.items() if key in names]
    if len(owners) == 1:
        return [owners[0], *rest]
    if owners:
        choices = " or ".join(f"{kind}.{owner}.{key}" for owner in owners)
        reader.note(mark, f"{key!r} is an argument of both {' and '.join(owners)}", f"expected {choices}")
        return None
    known = tuple(dict.fromkeys((*own, *itertools.chain(*inner.values()))))
    reader.note(
        mark, f"{key!r} is no setting of this {kind} phase", f"expected {one_of(known, 30)}{nearest(key, known)}"
    )
    return None


def _arguments(content: YamlMapping, key: str, reader: Reader) -> tuple[str, ...]:
    """The arguments that a component of the phase takes; none where its type is not known."""
    node = content.entries.get(key)
    if isinstance(node, YamlMapping):
        node = node.entries.get("type")
    table: Mapping[str, object] = reader.tables.get(key, {})
    if not isinstance(node, YamlScalar) or not isinstance(node.value, str) or node.value not in table:
        return ()
    return tuple(settings_of(key, reader.tables[key][node.value]))


def _put(node: YamlMapping, path: list[str], value: YamlNode) -> YamlMapping:
    """A copy of the mapping with the value at the path; a word on the way becomes `{type: word}`."""
    key, *rest = path
    mark = value.mark
    if rest:
        below = node.entries.get(key)
        if isinstance(below, YamlScalar) and isinstance(below.value, str):
            below = YamlMapping({"type": below}, below.mark, {"type": below.mark})
        elif not isinstance(below, YamlMapping):
            below = YamlMapping({}, mark, {})
        value = _put(below, rest, value)
        if key in node.key_marks:
            mark = node.key_marks[key]
    return YamlMapping({**node.entries, key: value}, node.mark, {**node.key_marks, key: mark})
