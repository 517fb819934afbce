"""Strategy files: loaded by path or by shipped name, checked whole, and turned into frozen settings.

Reading takes three passes over one file, and the problems of all three are shown together: YAML with its marks,
the grammar (`grammar.py`) with the constructors' signatures, and what phases say of one another (unique names,
`from:` and `start:` only of phases before). Whether a strategy fits a space is asked later, in `fitting.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.objectives import Constraint, Objective
from nasengine.search.language.components import read_component, without
from nasengine.search.language.forms import Reader, Tables
from nasengine.search.language.grammar import DATA, LAG, PHASES, TEXTS, TOP, ObjectiveForm, single_key
from nasengine.search.language.overrides import apply_overrides
from nasengine.search.language.settings import (
    DEFAULT_LAG,
    Component,
    DataSettings,
    Phase,
    PreparePhase,
    RetrainPhase,
    SearchPhase,
    Strategy,
)
from nasengine.search.language.sources import check_sources
from nasengine.search.language.tables import PLAIN_TRAINER, built_tables
from nasengine.search.language.values import check_values
from nasengine.space.language.yaml import (
    YamlFile,
    YamlMapping,
    YamlNode,
    YamlScalar,
    YamlSequence,
    from_plain,
    parse_yaml,
    read_text,
)
from nasengine.space.loading import find_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_TAKEN = ("best", "tensorboard")  # other things lie in RUN/ under these names


def load_strategy(path_or_name: str | Path, *, overrides: Iterable[str] = (), tables: Tables | None = None) -> Strategy:
    """Read a strategy file of one document.

    Args:
        path_or_name: a file, or the name of a shipped strategy.
        overrides: settings as `--set` takes them: "search.population=50".
        tables: the types it may name; those that are built unless given.

    Raises:
        InputError: no such file, or everything that is wrong with it or with the overrides.
    """
    path = find_file(path_or_name, "strategies")
    return parse_strategy(read_text(path), str(path), overrides=overrides, tables=tables)


def parse_strategy(text: str, file: str, *, overrides: Iterable[str] = (), tables: Tables | None = None) -> Strategy:
    """As `load_strategy`, from the text; `file` names it in messages."""
    parsed = parse_yaml(text, file)
    if len(parsed.documents) > 1:
        mark = parsed.documents[1].mark
        raise InputError(
            Problem(
                "a second strategy starts here", mark, "expected one strategy in a file", parsed.lines[mark.line - 1]
            )
        )
    return _read_document(parsed, 0, overrides, tables)


def check_strategy(path_or_name: str | Path, *, tables: Tables | None = None) -> list[Problem]:
    """Every problem of every document of a strategy file, in the order of the file; empty when it is right."""
    try:
        path = find_file(path_or_name, "strategies")
        parsed = parse_yaml(read_text(path), str(path))
    except InputError as error:
        return list(error.problems)
    problems: list[Problem] = []
    for index in range(max(1, len(parsed.documents))):
        try:
            strategy = _read_document(parsed, index, (), tables)
            problems += check_values(strategy)
            problems += check_sources(strategy)
        except InputError as error:
            problems += error.problems
    return problems


def strategy_from_mapping(
    plain: Mapping[str, Any], file: str = "run.yaml", *, overrides: Iterable[str] = (), tables: Tables | None = None
) -> Strategy:
    """The strategy that `Strategy.plain()` wrote down; equal to the one it came from.

    Raises:
        InputError: as `load_strategy`; marks can only name the file.
    """
    return _read_document(YamlFile(file, (), (from_plain(plain, file),)), 0, overrides, tables)


def _read_document(file: YamlFile, index: int, overrides: Iterable[str], tables: Tables | None) -> Strategy:
    reader = Reader({file.file: file.lines}, built_tables() if tables is None else tables)
    if not file.documents:
        raise InputError(f"{file.file} is empty: expected a strategy with objectives and phases")
    root: YamlNode = apply_overrides(file.documents[index], overrides, reader)
    strategy = _strategy(reader, root, file)
    reader.check()
    assert strategy is not None, "a strategy without problems was not read"
    return strategy


def _strategy(reader: Reader, root: YamlNode, file: YamlFile) -> Strategy | None:
    """The strategy below `root`; None (with problems noted) when something is wrong."""
    top = reader.mapping(root, "", "the strategy")
    if top is None:
        return None
    reader.unknown_keys(top, TOP, "the strategy")
    words = reader.fields(top, "", {**TEXTS, "data": DATA, "lag": LAG})
    data = _data(reader, top.entries.get("data"), DataSettings(), words.pop("data", {}))
    objectives, constraints = _objectives(reader, top)
    entries = _phase_entries(reader, top)
    _check_between(reader, entries)
    phases = [_phase(reader, entry, data) for entry in entries]
    if reader or not phases or any(phase is None for phase in phases):
        return None
    return Strategy(
        name=words.get("name", Path(file.file).stem),
        about=words.get("about", ""),
        source=words.get("source", ""),
        data=data,
        objectives=objectives,
        constraints=constraints,
        phases=tuple(phase for phase in phases if phase is not None),
        lag=words.get("lag", DEFAULT_LAG),
        file=file.file,
        marks=reader.marks,
        lines=file.lines,
    )


def _data(reader: Reader, node: YamlNode | None, base: DataSettings, given: Mapping[str, Any]) -> DataSettings:
    """The settings of `base` with those given instead; a share held out and a number a class exclude each other."""
    if isinstance(node, YamlMapping) and {"validation", "held_out_per_class"} <= set(node.entries):
        mark = node.key_marks["held_out_per_class"]
        reader.note(mark, "data gives both validation and held_out_per_class", "expected one of them")
    if "validation" in given:
        base = replace(base, held_out_per_class=None)
    return replace(base, **given)


def _objectives(reader: Reader, top: YamlMapping) -> tuple[tuple[Objective, ...], tuple[Constraint, ...]]:
    example = "expected at least one, such as {accuracy: maximize}"
    if "objectives" not in top.entries:
        reader.note(top.mark, "the strategy has no objectives", example)
        return (), ()
    node = reader.mapping(top.entries["objectives"], "objectives", "objectives")
    if node is None:
        return (), ()
    form = ObjectiveForm()
    read = reader.fields(node, "objectives", dict.fromkeys(node.entries, form))
    reader.marks |= {f"objectives.{name}": mark for name, mark in node.key_marks.items()}
    objectives = tuple(Objective(name, value["direction"]) for name, value in read.items() if "direction" in value)
    constraints = tuple(
        Constraint(name, value.get("min"), value.get("max"))
        for name, value in read.items()
        if "min" in value or "max" in value
    )
    if not objectives and len(read) == len(node.entries):
        reader.note(node.mark, "objectives has nothing to maximize or minimize", example)
    return objectives, constraints


@dataclass(frozen=True, slots=True)
class _Entry:
    """One item of `phases`, its own keys read."""

    kind: str
    node: YamlMapping
    path: str
    name: str
    given: dict[str, Any] = field(default_factory=dict)


def _phase_entries(reader: Reader, top: YamlMapping) -> list[_Entry]:
    expected = "expected a list of {prepare: …}, {search: …} and {retrain: …}"
    node = top.entries.get("phases")
    if not isinstance(node, YamlSequence) or not node.items:
        what = "has no phases" if node is None else "has phases that are no list, or an empty one"
        reader.note(top.mark if node is None else node.mark, f"the strategy {what}", expected)
        return []
    entries = []
    for index, item in enumerate(node.items):
        single = single_key(reader, item, f"phases.{index}")
        content = reader.mapping(single[1], f"phases.{index}", single[0]) if single else None
        if single is None or content is None:
            continue
        kind = single[0]
        named = content.entries.get("name")
        name = named.value if isinstance(named, YamlScalar) and isinstance(named.value, str) else kind
        path = f"phases.{name}"
        reader.marks.setdefault(path, content.mark)
        entries.append(_Entry(kind, content, path, name, reader.fields(content, path, PHASES[kind])))
    return entries


def _phase(reader: Reader, entry: _Entry, data: DataSettings) -> Phase | None:
    """The phase of an entry; None (with problems noted) when something is wrong with it."""
    given = dict(entry.given)
    common = {
        "name": entry.name,
        "data": _data(reader, entry.node.entries.get("data"), data, given.pop("data", {})),
        "origins": given.pop("from", ()),
        "budget": given.pop("budget", None),
        "network": given.pop("network", {}),
    }
    given.pop("name", None)
    if entry.kind == "search":
        reader.unknown_keys(entry.node, PHASES["search"], entry.path)
        _need(reader, entry, "algorithm", "what proposes candidates, such as random_search")
        if isinstance(given.get("algorithm"), Component) and measures(given["algorithm"], reader.tables):
            _need(reader, entry, "evaluator", "what measures a candidate, such as standalone")
        return None if reader else SearchPhase(**common, **given)
    trainer = _trainer(reader, entry)
    if entry.kind == "prepare":
        return None if reader or trainer is None else PreparePhase(**common, trainer=trainer)
    has_own_budget = "when" in entry.node.entries or "trainer" in entry.node.entries
    if not has_own_budget:
        _need(reader, entry, "budget", "how long to train, such as {epochs: 100}")
    return None if reader or trainer is None else RetrainPhase(**common, **given, trainer=trainer)


def measures(algorithm: Component, tables: Tables) -> bool:
    """Whether an algorithm has candidates measured; one that reads its answer off an artifact says so in its class
    (`needs_evaluator = False`).
    """
    return bool(getattr(tables["algorithm"][algorithm.type], "needs_evaluator", True))


def _trainer(reader: Reader, entry: _Entry) -> Component | None:
    """The trainer of a prepare or retrain phase: every key that is not the phase's own is its argument."""
    own = (*PHASES[entry.kind], "trainer")
    arguments = without(entry.node, own)
    name = entry.node.entries.get("trainer")
    if name is None and entry.kind == "prepare":
        expected = "expected `trainer:`, what is to be trained or measured"
        reader.missing(entry.node, "trainer", f"{entry.path} has no trainer", expected, own)
        return None
    if name is None:
        name = YamlScalar(PLAIN_TRAINER, entry.node.mark)
    read = read_component(reader, f"{entry.kind} trainer", name, arguments, entry.path, own)
    return read if isinstance(read, Component) else None


def _need(reader: Reader, entry: _Entry, key: str, what: str) -> None:
    if key not in entry.node.entries:
        reader.note(entry.node.mark, f"{entry.path} has no {key}", f"expected `{key}:`, {what}")


def _check_between(reader: Reader, entries: list[_Entry]) -> None:
    """Note what phases say wrongly of one another."""
    seen: dict[str, _Entry] = {}
    for entry in entries:
        mark = reader.marks.get(f"{entry.path}.name", entry.node.mark)
        if entry.name in seen:
            reader.note(mark, f"a second phase is called {entry.name!r}", "expected `name:` with a name of its own")
        elif not _NAME.fullmatch(entry.name) or entry.name in _TAKEN:
            reader.note(mark, f"a phase cannot be called {entry.name!r}", "expected letters, digits, _ and -")
        for key in ("from", "start"):
            node = entry.node.entries.get(key)
            _check_origin(reader, node, entry.path, seen, entries)
        evaluator = entry.node.entries.get("evaluator")
        if isinstance(evaluator, YamlMapping):
            _check_origin(reader, evaluator.entries.get("start"), f"{entry.path}.evaluator", seen, entries)
        if entry.kind == "retrain":
            _check_retrain(reader, entry, seen)
        seen[entry.name] = entry


def _check_origin(
    reader: Reader, node: YamlNode | None, path: str, seen: Mapping[str, _Entry], entries: list[_Entry]
) -> None:
    items = node.items if isinstance(node, YamlSequence) else (node,) if node is not None else ()
    for item in items:
        name = item.value if isinstance(item, YamlScalar) else None
        if not isinstance(name, str) or name in seen or "/" in name:
            continue
        later = any(entry.name == name for entry in entries)
        message = f"{path} names {name!r}, which is no phase before it" if later else f"{path} names no phase: {name!r}"
        expected = (
            f"expected {one_of(seen)}, or RUN/PHASE of another run" if seen else "no phase stands before this one"
        )
        reader.note(item.mark, message, f"{expected}{nearest(name, seen)}")


def _check_retrain(reader: Reader, entry: _Entry, seen: Mapping[str, _Entry]) -> None:
    given = entry.node.entries
    if "architecture" in given and "best" in given:
        reader.note(entry.node.key_marks["best"], f"{entry.path} gives both architecture and best", "expected one")
    searched = any(other.kind == "search" for other in seen.values())
    if not searched and "architecture" not in given and "from" not in given:
        expected = "expected a search phase before it, `architecture:`, or `from:` another run"
        reader.note(entry.node.mark, f"{entry.path} has nothing to train", expected)
