"""The parts of a space as plain JSON values: what `nasengine describe` prints and what a script may read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nasengine.space.decisions import Decision, Site
from nasengine.space.holes import Bound, Node, QuantizationRule, Relation, Task, Value
from nasengine.space.known import Known
from nasengine.space.options import followed

MOST_OPTIONS = 100  # shown of one choice
MOST_BITS = 10_000  # of a size shown in full; Python refuses to print more than 4,300 digits


def describe_decisions(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """One entry a decision: path, kind, number of options, the first hundred, weights that differ, when active.

    `active_when` lists alternatives (any one is enough): the path above and the options of it, and under `and` what
    else must hold.
    """
    described = []
    for decision in decisions:
        entry: dict[str, Any] = {
            "path": decision.path,
            "kind": decision.kind,
            "count": len(decision.options),
            "options": [_plain(option) for option in decision.options[:MOST_OPTIONS]],
        }
        if len(set(decision.weights)) > 1:
            entry["weights"] = list(decision.weights[:MOST_OPTIONS])
        if decision.conditional:
            entry["active_when"] = [_site(decisions, site) for site in decision.sites]
        described.append(entry)
    return described


def _site(decisions: Sequence[Decision], site: Site) -> dict[str, Any]:
    first, *also = [
        {
            "path": decisions[parent].path,
            "options": [_plain(decisions[parent].options[i]) for i in sorted(taken)[:MOST_OPTIONS]],
        }
        for parent, taken in site
    ]
    return {**first, "and": also} if also else first


def describe_task(task: Task, let: Mapping[str, Node]) -> dict[str, Any]:
    """Kind, input shape and settings; a resolution that is a choice is named by its path."""
    node, path = followed(task.height, "task.resolution", let)
    height = node.value if isinstance(node, Value) else path
    width = height if task.width is None else task.width.value
    return {"kind": task.kind, "input": [task.channels, height, width], **task.settings}


def describe_bounds(bounds: Sequence[Bound]) -> dict[str, dict[str, float]]:
    """cost -> {min, max}, as far as given."""
    ends = {bound.cost: {"min": bound.low, "max": bound.high} for bound in bounds}
    return {cost: {end: value for end, value in both.items() if value is not None} for cost, both in ends.items()}


def describe_relation(relation: Relation) -> dict[str, Any]:
    """The relation as it is written."""
    if relation.kind == "order":
        return {"order": list(relation.paths), "is": relation.order}
    ends = {"min": relation.low, "max": relation.high}
    return {"sum": list(relation.paths), **{end: value for end, value in ends.items() if value is not None}}


def describe_known(known: Mapping[str, Known]) -> dict[str, dict[str, Any]]:
    """name -> {architecture, costs, about}."""
    return {
        name: {
            "architecture": {**entry.architecture.to_json(), **entry.formats},
            "costs": dict(entry.costs),
            "about": entry.about,
        }
        for name, entry in known.items()
    }


def describe_size(size: int) -> int | str:
    """The size itself, or "about 10^n" where it has more digits than JSON readers and Python like to print."""
    return size if size.bit_length() <= MOST_BITS else f"about 10^{int(size.bit_length() * math.log10(2))}"


def describe_rules(rules: Sequence[QuantizationRule]) -> list[dict[str, str]]:
    """Which rules decide something per layer or block, once a network is built."""
    return [{"at": rule.at, "per": rule.per} for rule in rules]


def _plain(option: Any) -> Any:
    return [_plain(item) for item in option] if isinstance(option, tuple) else option
