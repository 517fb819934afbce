"""Reads `known:`: named architectures with published costs. Whether they fit the space is checked by the space."""

from __future__ import annotations

from nasengine.errors import Mark
from nasengine.space.holes import KnownEntry
from nasengine.space.language.checks import Checks
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, plain


def read_known(node: YamlNode, checks: Checks) -> dict[str, KnownEntry]:
    """name -> entry; `architecture` and `about` are its own words, every other key is the name of a cost."""
    known: dict[str, KnownEntry] = {}
    mapping = checks.mapping(node, "known", "{name: {architecture: {path: option}, cost: number}}")
    for name, below in mapping.entries.items() if mapping else ():
        where = f"known.{name}"
        entry = checks.mapping(below, where, "{architecture: {path: option}, cost: number}")
        if entry is not None:
            known[name] = _read_entry(entry, where, checks)
    return known


def _read_entry(entry: YamlMapping, where: str, checks: Checks) -> KnownEntry:
    options: dict[str, object] = {}
    marks: dict[str, Mark] = {}
    about = ""
    costs: dict[str, float] = {}
    cost_marks: dict[str, Mark] = {}
    if "architecture" not in entry.entries:
        checks.problems.add(
            f"{where} has no 'architecture'", entry.mark, "expected {architecture: {path: option}, cost: number}"
        )
    for key, below in entry.entries.items():
        if key == "architecture":
            architecture = checks.mapping(below, f"{where}.architecture", "{path of a choice: option}")
            for path, option in architecture.entries.items() if architecture else ():
                if isinstance(option, YamlMapping):
                    checks.wrong(option, f"{where}.architecture.{path}", "an option: a value, a label or a list")
                    continue
                options[path] = _frozen(plain(option))
                marks[path] = option.mark
        elif key == "about":
            about = checks.word(below, f"{where}.about", "a text") or ""
        elif isinstance(below, YamlScalar) and not isinstance(below.value, str):
            number = checks.number(below, f"{where}.{key}")
            if number is not None:
                costs[key] = number
                cost_marks[key] = below.mark
        else:
            checks.wrong(below, f"{where}.{key}", "a published cost (a number); other keys are architecture and about")
    return KnownEntry(options, costs, about, entry.mark, marks, cost_marks)


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
