"""Named architectures of a space file, and the check that says everything wrong with an architecture at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasengine.errors import Mark, nearest, one_of
from nasengine.records import Architecture
from nasengine.space.decisions import Decision
from nasengine.space.encoding import INACTIVE, Encoding
from nasengine.space.holes import SpaceTree
from nasengine.space.options import option_key, shown
from nasengine.space.problems import Problems


@dataclass(frozen=True, slots=True)
class Known:
    """A named architecture with what was published about it.

    Args:
        name: as in the file.
        architecture: complete.
        costs: name of a cost -> published value.
        about: for people.
        formats: path -> format of layers that only `build` can spell out (quantization rules `per: layer`).
    """

    name: str
    architecture: Architecture
    costs: Mapping[str, float]
    about: str
    formats: Mapping[str, Any]


def checked_row(
    encoding: Encoding,
    options: Mapping[str, Any],
    problems: Problems,
    mark: Mark | None = None,
    marks: Mapping[str, Mark] | None = None,
) -> list[int]:
    """The row of an assignment path -> option; unknown, invalid, inactive and missing ones go to `problems`.

    Args:
        options: lists are taken for tuples.
        mark: of the whole; `marks` of its entries.
    """
    marks = marks or {}
    decisions = encoding.decisions
    columns = {decision.path: column for column, decision in enumerate(decisions)}
    for path in options:
        if path not in columns:
            expected = f"expected {one_of(columns)}{nearest(path, columns)}"
            problems.add(f"no choice has the path {path}", marks.get(path, mark), expected)
    row = [INACTIVE] * len(decisions)
    unsure: set[int] = set()  # missing or invalid: what depends on them is neither missing nor inactive
    for column, decision in enumerate(decisions):
        given, where = decision.path in options, marks.get(decision.path, mark)
        if not decision.is_active(row):
            if not decision.above.isdisjoint(unsure):
                unsure.add(column)
            elif given:
                reason = _why(decisions, row, decision)
                problems.add(f"{decision.path} is inactive here", where, f"expected nothing, since {reason}")
        elif not given:
            unsure.add(column)
            problems.add(f"{decision.path} is missing", mark, _expected(decision))
        else:
            row[column] = _index(decision, options[decision.path], where, problems)
            if row[column] == INACTIVE:
                unsure.add(column)
    return row


def _index(decision: Decision, option: Any, mark: Mark | None, problems: Problems) -> int:
    """The index of an option, or -1 and a problem."""
    wanted = option_key(option)
    for index, known in enumerate(decision.options):
        if option_key(known) == wanted:
            return index
    near = nearest(shown(option), map(shown, decision.options)) if len(decision.options) <= 1000 else ""
    problems.add(f"{decision.path} has no option {shown(option)}", mark, _expected(decision) + near)
    return INACTIVE


def _expected(decision: Decision) -> str:
    first = [shown(option) for option in decision.options[:12]]
    more = f", … ({len(decision.options) - 12} more)" if len(decision.options) > 12 else ""
    return f"expected one of {', '.join(first)}{more}"


def _why(decisions: Sequence[Decision], row: Sequence[int], decision: Decision) -> str:
    """Name the first choice above an inactive decision that forbids it, and what it took instead."""
    above, taken = next((index, row[index]) for index, allowed in decision.sites[0] if row[index] not in allowed)
    parent = decisions[above]
    return f"{parent.path} is {shown(parent.options[taken]) if taken >= 0 else 'inactive'}"


def known_architectures(tree: SpaceTree, encoding: Encoding, unexpanded: bool, problems: Problems) -> dict[str, Known]:
    """The entries of `known:`, checked; what is wrong with them is added to `problems`.

    Args:
        unexpanded: whether formats of layers are still to come, which cannot be checked yet.
    """
    known = {}
    paths = {decision.path for decision in encoding.decisions}
    for name, entry in tree.known.items():
        options = dict(entry.options)
        later = [path for path in options if unexpanded and path.startswith("quantization.") and path not in paths]
        formats = {path: options.pop(path) for path in later}
        row = checked_row(encoding, options, problems, entry.mark, entry.option_marks)
        known[name] = Known(name, encoding.architecture(row), dict(entry.costs), entry.about, formats)
    return known
