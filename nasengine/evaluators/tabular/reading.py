"""Reads the description of a table from YAML, every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nasengine.errors import Mark, nearest, one_of
from nasengine.evaluators.tabular.columns import Join
from nasengine.evaluators.tabular.description import (
    ChoiceColumns,
    CodeColumn,
    Encoding,
    JsonColumn,
    Measurement,
    TableDescription,
)
from nasengine.evaluators.tabular.keys import CODE, COLUMNS, JOIN, JSON, MEASUREMENT, TABLE
from nasengine.objectives import DIRECTIONS, Direction
from nasengine.space.language.checks import Checks
from nasengine.space.language.yaml import YamlMapping, YamlNode, parse_document, plain, read_text
from nasengine.space.problems import Problems


def read_description(path: Path) -> TableDescription:
    """Read a description in YAML.

    Raises:
        InputError: every problem found, with its place.
    """
    text = read_text(path)
    parsed = parse_document(text, str(path))
    problems = Problems({str(path): parsed.lines})
    made = _Reader(Checks(problems), path).table(parsed.documents[0], parsed.lines)
    problems.check()
    assert made is not None, "a description without problems was not read"
    return made


class _Reader:
    """Reads one description, noting problems."""

    def __init__(self, checks: Checks, path: Path) -> None:
        self.checks, self.path = checks, path
        self.marks: dict[str, Mark] = {}

    def table(self, node: YamlNode, lines: tuple[str, ...]) -> TableDescription | None:
        top = self.checks.mapping(node, "the table", "a mapping with data and measurements")
        if top is None:
            return None
        self.checks.keys(top, "the table", TABLE.names, TABLE.required)
        words = {key: self.word(top, key) for key in ("name", "about", "source", "space", "data")}
        joins = self.joins(top.entries.get("join"))
        encoding = self.encoding(top.entries.get("architecture"))
        report = self.measurements(top.entries.get("report"), "report")
        measurements = self.measurements(top.entries.get("measurements"), "measurements")
        for name, measurement in measurements.items():
            self.check_truth(name, measurement, report)
        if self.checks.problems:
            return None
        return TableDescription(
            name=words["name"] or self.path.stem,
            file=self.path,
            data=words["data"] or "",
            about=words["about"] or "",
            source=words["source"] or "",
            space=words["space"],
            joins=joins,
            encoding=encoding,
            measurements=measurements,
            report=report,
            marks=self.marks,
            lines=lines,
        )

    def word(self, mapping: YamlMapping, key: str, where: str = "") -> str | None:
        if key not in mapping.entries:
            return None
        path = f"{where}.{key}" if where else key
        self.marks[path] = mapping.entries[key].mark
        return self.checks.word(mapping.entries[key], path)

    def joins(self, node: YamlNode | None) -> tuple[Join, ...]:
        form = "a list of {data: FILE, on: COLUMN}"
        sequence = None if node is None else self.checks.sequence(node, "join", form)
        joins = []
        for index, item in enumerate(sequence.items if sequence else ()):
            where = f"join.{index}"
            self.marks[where] = item.mark
            mapping = self.checks.mapping(item, where, "{data: FILE, on: COLUMN}")
            if mapping is None:
                continue
            self.checks.keys(mapping, where, JOIN.names, JOIN.required)
            data, on, prefix = (self.word(mapping, key, where) for key in ("data", "on", "prefix"))
            if data and on:
                joins.append(Join(data, on, prefix or ""))
        return tuple(joins)

    def encoding(self, node: YamlNode | None) -> Encoding:
        if node is None:
            return None
        forms = "{code: COLUMN, choices: […]}, {json: COLUMN} or {columns: {CHOICE: COLUMN}}"
        mapping = self.checks.mapping(node, "architecture", forms)
        if mapping is None:
            return None
        if "code" in mapping.entries:
            return self.code(mapping)
        if "json" in mapping.entries:
            self.checks.keys(mapping, "architecture", JSON.names)
            return JsonColumn(self.word(mapping, "json", "architecture") or "")
        if "columns" in mapping.entries:
            self.checks.keys(mapping, "architecture", COLUMNS.names)
            return ChoiceColumns(self.words(mapping.entries["columns"], "architecture.columns"))
        self.checks.keys(mapping, "architecture", (*CODE.names, *JSON.names, *COLUMNS.names))
        self.checks.problems.add("architecture has no code, json or columns", mapping.mark, f"expected {forms}")
        return None

    def code(self, mapping: YamlMapping) -> Encoding:
        self.checks.keys(mapping, "architecture", CODE.names, CODE.required)
        choices = []
        node = mapping.entries.get("choices")
        sequence = None if node is None else self.checks.sequence(node, "architecture.choices", "a list of choices")
        for index, item in enumerate(sequence.items if sequence else ()):
            where = f"architecture.choices.{index}"
            self.marks[where] = item.mark
            choices.append(self.checks.word(item, where, "the path of a choice") or "")
        options = None
        if "options" in mapping.entries:
            node = mapping.entries["options"]
            self.marks["architecture.options"] = node.mark
            entries = self.checks.mapping(node, "architecture.options", "{part of the code: option}")
            options = {} if entries is None else {key: plain(value) for key, value in entries.entries.items()}
            self.marks |= {
                f"architecture.options.{key}": mark for key, mark in (entries.key_marks if entries else {}).items()
            }
        separator = self.word(mapping, "separator", "architecture") or ""
        return CodeColumn(self.word(mapping, "code", "architecture") or "", tuple(choices), options, separator)

    def words(self, node: YamlNode, where: str) -> dict[str, str]:
        mapping = self.checks.mapping(node, where, "{CHOICE: COLUMN}")
        return {} if mapping is None else {key: self.word(mapping, key, where) or "" for key in mapping.entries}

    def measurements(self, node: YamlNode | None, where: str) -> dict[str, Measurement]:
        form = "{NAME: maximize | minimize} or {NAME: {column: COLUMN, direction: …}}"
        mapping = None if node is None else self.checks.mapping(node, where, form)
        found = {}
        for name, below in mapping.entries.items() if mapping else ():
            self.marks[f"{where}.{name}"] = mapping.key_marks[name] if mapping else below.mark
            one = self.measurement(name, below, f"{where}.{name}")
            if one is not None:
                found[name] = one
        if mapping is not None and not mapping.entries:
            self.checks.problems.add(f"{where} is empty", mapping.mark, f"expected {form}")
        return found

    def measurement(self, name: str, node: YamlNode, where: str) -> Measurement | None:
        if not isinstance(node, YamlMapping):
            direction = self.direction(node, where)
            return None if direction is None else Measurement(name, direction, ((0.0, name),))
        self.checks.keys(node, where, MEASUREMENT.names, MEASUREMENT.required)
        entries = node.entries
        direction = self.direction(entries["direction"], f"{where}.direction") if "direction" in entries else None
        scale, missing = (
            self.checks.number(entries[key], f"{where}.{key}") if key in entries else None
            for key in ("scale", "missing")
        )
        truth, unit = self.word(node, "truth", where), self.word(node, "by", where)
        columns = self.columns(node, name, where)
        if direction is None:
            return None
        return Measurement(name, direction, columns, unit, "1" if scale is None else repr(scale), missing, truth)

    def columns(self, node: YamlMapping, name: str, where: str) -> tuple[tuple[float, str], ...]:
        problems = self.checks.problems
        if "columns" not in node.entries:
            if "by" in node.entries:
                problems.add(f"{where} has `by` without `columns`", node.mark, "expected columns: {BUDGET: COLUMN}")
            return ((0.0, self.word(node, "column", where) or name),)
        if "column" in node.entries:
            problems.add(f"{where} gives both column and columns", node.key_marks["columns"], "expected one of them")
        if "by" not in node.entries:
            problems.add(f"{where} has `columns` without `by`", node.mark, "expected the unit of a budget: by: epochs")
        mapping = self.checks.mapping(node.entries["columns"], f"{where}.columns", "{BUDGET: COLUMN}")
        found = []
        for key in mapping.entries if mapping else ():
            column = self.word(mapping, key, f"{where}.columns") if mapping else None
            try:
                budget = float(key)
            except ValueError:
                budget = -1.0
            if not 0 < budget < float("inf"):
                mark = mapping.key_marks[key] if mapping else node.mark
                problems.add(f"the budget {key!r} of {where} is no number above 0", mark, "expected such as 12: COLUMN")
            found.append((budget, column or ""))
        return tuple(sorted(found))

    def direction(self, node: YamlNode, where: str) -> Direction | None:
        word = self.checks.one_of(node, where, DIRECTIONS)
        return None if word is None else next(direction for direction in DIRECTIONS if direction == word)

    def check_truth(self, name: str, measurement: Measurement, report: Mapping[str, Measurement]) -> None:
        truth = measurement.truth
        if truth is None:
            return
        mark = self.marks.get(f"measurements.{name}.truth")
        if truth not in report:
            expected = f"expected {one_of(report)}{nearest(truth, report)}"
            self.checks.problems.add(f"the truth of {name} is {truth!r}, which is not in `report`", mark, expected)
        elif report[truth].direction != measurement.direction:
            found = f"{name} is to {measurement.direction}, but its truth {truth} to {report[truth].direction}"
            self.checks.problems.add(found, mark, "expected the same direction")
