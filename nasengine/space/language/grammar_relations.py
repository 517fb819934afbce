"""Reads `relations:` (between choices) and `constraints:` (on costs)."""

from __future__ import annotations

from nasengine.space.holes import Bound, Relation
from nasengine.space.language.checks import Checks
from nasengine.space.language.grammar_reader import PATH
from nasengine.space.language.keys import BOUNDS, ORDER, SUM
from nasengine.space.language.yaml import YamlMapping, YamlNode
from nasengine.space.relations import ORDERS


def read_constraints(node: YamlNode, checks: Checks) -> tuple[Bound, ...]:
    """`{cost: {min: number, max: number}}`, one end at least."""
    bounds = []
    mapping = checks.mapping(node, "constraints", "{cost: {min: number, max: number}}")
    for cost, below in mapping.entries.items() if mapping else ():
        where = f"constraints.{cost}"
        ends = checks.mapping(below, where, "{min: number, max: number}")
        if ends is not None:
            low, high = _ends(ends, where, checks, BOUNDS.names)
            bounds.append(Bound(cost, low, high, ends.mark))
    return tuple(bounds)


def read_relations(node: YamlNode, checks: Checks) -> tuple[Relation, ...]:
    """A list of `{order: [paths], is: not_decreasing}` and `{sum: [paths], min: n, max: n}`."""
    relations = []
    forms = "{order: [paths], is: not_decreasing} or {sum: [paths], max: number}"
    sequence = checks.sequence(node, "relations", f"a list of {forms}")
    for i, item in enumerate(sequence.items if sequence else ()):
        where = f"relations.{i}"
        mapping = checks.mapping(item, where, forms)
        if mapping is None:
            continue
        if "order" in mapping.entries:
            checks.keys(mapping, where, ORDER.names, ORDER.required)
            paths = _paths(mapping.entries["order"], f"{where}.order", 2, checks)
            order = (
                checks.one_of(mapping.entries["is"], f"{where}.is", tuple(ORDERS)) if "is" in mapping.entries else None
            )
            if paths and order:
                relations.append(Relation("order", paths, mapping.mark, order=order))
        elif "sum" in mapping.entries:
            paths = _paths(mapping.entries["sum"], f"{where}.sum", 1, checks)
            low, high = _ends(mapping, where, checks, SUM.names)
            if paths:
                relations.append(Relation("sum", paths, mapping.mark, low=low, high=high))
        else:
            known = (*ORDER.names, *SUM.names)
            checks.keys(mapping, where, known)
            if all(key in known for key in mapping.entries):
                checks.problems.add(f"{where} is no relation", mapping.mark, f"expected {forms}")
    return tuple(relations)


def _ends(
    mapping: YamlMapping, where: str, checks: Checks, allowed: tuple[str, ...]
) -> tuple[float | None, float | None]:
    checks.keys(mapping, where, allowed)
    entries = mapping.entries
    low = checks.number(entries["min"], f"{where}.min") if "min" in entries else None
    high = checks.number(entries["max"], f"{where}.max") if "max" in entries else None
    if "min" not in entries and "max" not in entries:
        checks.problems.add(f"{where} has neither 'min' nor 'max'", mapping.mark, "expected at least one of the two")
    if low is not None and high is not None and low > high:
        checks.problems.add(
            f"{where} runs from {low:,.15g} to {high:,.15g}", mapping.key_marks["min"], "expected min before max"
        )
    return low, high


def _paths(node: YamlNode, where: str, least: int, checks: Checks) -> tuple[str, ...]:
    expected = "a list of paths of choices" if least == 1 else f"a list of at least {least} paths of choices"
    sequence = checks.sequence(node, where, expected)
    if sequence is None:
        return ()
    if len(sequence.items) < least:
        checks.problems.add(f"{where} names {len(sequence.items)} paths", sequence.mark, f"expected {expected}")
        return ()
    paths: dict[str, None] = {}
    for i, item in enumerate(sequence.items):
        word = checks.word(item, f"{where}.{i}", "the path of a choice, such as network.stages.0.width")
        if word is None:
            continue
        if not PATH.fullmatch(word):
            checks.wrong(item, f"{where}.{i}", "the path of a choice, such as network.stages.0.width")
        elif word in paths:
            checks.problems.add(f"the path {word} stands twice in {where}", item.mark, "expected each path once")
        else:
            paths[word] = None
    return tuple(paths) if len(paths) == len(sequence.items) else ()
