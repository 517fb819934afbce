"""Reads `quantization:`, a list of rules of which the first that matches a node wins.

What formats and quantizers mean is the quantization package's; here stands what a rule may look like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nasengine.errors import Mark
from nasengine.space.holes import HOLE_WORDS, Choice, Node, QuantizationRule, Value
from nasengine.space.language.grammar_reader import Reader, label_text
from nasengine.space.language.keys import RULE
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, walk

SCOPES = ("choice", "layer", "block", "network")
_SEGMENT = re.compile(r"[A-Za-z0-9_+*-]+")


def read_quantization(node: YamlNode, reader: Reader) -> tuple[QuantizationRule, ...]:
    """The rules that are right; what is wrong in the others is noted."""
    rules: list[QuantizationRule] = []
    sequence = reader.sequence(node, "quantization", "a list of rules: - {at: pattern, per: layer, format: int8}")
    catch_all: Mark | None = None
    for i, item in enumerate(sequence.items if sequence else ()):
        where = f"quantization.{i}"
        mapping = reader.mapping(item, where, "a rule: {at: pattern, per: layer, format: int8}")
        if mapping is None:
            continue
        if catch_all is not None:
            reader.problems.add(
                f"the rule {where} is never reached",
                mapping.mark,
                f"the rule in line {catch_all.line} matches everything, and the first match wins; put it last",
            )
        rule = _read_rule(mapping, where, reader)
        if rule is not None:
            rules.append(rule)
            catch_all = mapping.mark if rule.at == "**" and catch_all is None else catch_all
    return tuple(rules)


def _read_rule(mapping: YamlMapping, where: str, reader: Reader) -> QuantizationRule | None:
    reader.keys(mapping, where, RULE.names, RULE.required)
    entries = mapping.entries
    at = (
        reader.word(entries["at"], f"{where}.at", 'a pattern such as "**" or network.stem') if "at" in entries else None
    )
    if at is not None and not _is_pattern(at):
        reader.wrong(
            entries["at"],
            f"{where}.at",
            'names divided by dots, * for any text in a name, ** for any names: "network.layers.*", "**.head"',
        )
        at = None
    per = reader.one_of(entries["per"], f"{where}.per", SCOPES) if "per" in entries else "layer"
    parts = [key for key in ("weight_format", "activation_format") if key in entries]
    if "format" in entries and parts:
        reader.problems.add(
            f"the rule {where} has a format and a {parts[0]}",
            mapping.key_marks[parts[0]],
            "expected `format` (of both), or `weight_format` and `activation_format`",
        )
    if "format" not in entries and not parts:
        reader.problems.add(
            f"the rule {where} has no format",
            mapping.mark,
            "expected `format`, or `weight_format` and `activation_format`",
        )
    formats: dict[str, Node] = {}
    for key in ("format", *parts):
        if key in entries:
            read = _read_format(entries[key], f"{where}.{key}", reader)
            if read is not None:
                formats[key] = read
    settings: dict[str, Node] = {}
    for key in ("weights", "activations"):
        if key in entries:
            _check_quantizer(entries[key], f"{where}.{key}", reader)
            settings[key] = reader.read(entries[key], f"{where}.{key}")
    if at is None or per is None:
        return None
    return QuantizationRule(at, per, formats, settings, mapping.mark)


def _is_pattern(text: str) -> bool:
    segments = text.split(".")
    return all(_SEGMENT.fullmatch(part) and ("**" not in part or part == "**") for part in segments)


def _read_format(node: YamlNode, where: str, reader: Reader) -> Node | None:
    expected = "the name of a number format such as int8, or a choice of names"
    read = reader.read(node, where)
    if isinstance(read, Choice) and not read.named:
        wrong = [option for option in read.options if not isinstance(option.label, str)]
        for option in wrong:
            reader.problems.add(
                f"the option {label_text(option.label)} stands at {where}", option.node.mark, f"expected {expected}"
            )
        return None if wrong else read
    if isinstance(read, Value) and isinstance(read.value, str) and read.value:
        return read
    if isinstance(node, YamlScalar) or not isinstance(read, Value):  # otherwise noted while reading the hole
        reader.wrong(node, where, expected)
    return None


def _check_quantizer(node: YamlNode, where: str, reader: Reader) -> None:
    """The name of a quantizer, or a mapping of plain settings."""
    if isinstance(node, YamlScalar):
        reader.word(node, where, "the name of a quantizer, or its settings")
        return
    if reader.mapping(node, where, "the name of a quantizer, or its settings") is None:
        return
    for below in walk(node):
        hole = _hole_word(below.entries) if isinstance(below, YamlMapping) else None
        if hole is not None:
            reader.problems.add(
                f"a {hole} stands inside {where}", below.mark, "expected plain settings: only formats may be chosen"
            )


def _hole_word(entries: Mapping[str, YamlNode]) -> str | None:
    return next((key for key in entries if key in HOLE_WORDS), None)
