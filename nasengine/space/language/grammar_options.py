"""Reads the two holes that pick from listed options: `choice` and `subset`."""

from __future__ import annotations

import math
from typing import TypeAlias

from nasengine.errors import Mark, nearest, one_of
from nasengine.space.holes import HOLE_WORDS, Choice, Option, Scalar, Subset
from nasengine.space.language.checks import NAME, describe
from nasengine.space.language.grammar_reader import Reader, label_text
from nasengine.space.language.keys import SUBSET
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence, resolve_scalar

MAX_OPTIONS = 32_767  # of one decision: an encoded architecture stores the index of an option in 16 bits

Label: TypeAlias = Scalar | tuple[object, ...]


class _NoLabel:
    """Stands for a label that could not be read."""


def read_choice(reader: Reader, node: YamlMapping, where: str) -> Choice | None:
    """`{choice: options, weights: {option: number}}`; None after noting what makes it none."""
    options, named = _options(reader, node.entries["choice"], where, "choice")
    if options is None:
        return None
    if "weights" in node.entries:
        options = _weigh(reader, options, node.entries["weights"], where)
    return Choice(options, named, node.mark)


def _options(reader: Reader, node: YamlNode, where: str, hole: str) -> tuple[tuple[Option, ...] | None, bool]:
    """The options of a choice or the items of a subset, and whether they are named nodes."""
    named = isinstance(node, YamlMapping)
    expected = "a list of values, or a mapping of labels to nodes"
    if isinstance(node, YamlMapping):
        holes = [key for key in node.entries if key in HOLE_WORDS]
        if holes:
            _hole_for_options(reader, node, holes[0], where, hole)
            return None, True
        options = _named(reader, node, where)
    elif isinstance(node, YamlSequence):
        options = _plain(reader, node, where, hole)
    else:
        reader.wrong(node, f"{where}.{hole}", expected)
        return None, False
    written = len(node.items if isinstance(node, YamlSequence) else node.entries)
    if not written:
        reader.problems.add(f"the {hole} in {where} has nothing to choose from", node.mark, f"expected {expected}")
    if not options or (hole == "subset" and len(options) < written):  # a size says nothing about items that are wrong
        return None, named
    if len(options) > MAX_OPTIONS:
        reader.problems.add(f"the {hole} in {where} has more than {MAX_OPTIONS:,} options", node.mark)
        return None, named
    return options, named


def _hole_for_options(reader: Reader, node: YamlMapping, key: str, where: str, hole: str) -> None:
    if key == "use":
        target = node.entries["use"]
        name = target.value if isinstance(target, YamlScalar) else None
        if name in reader.shared:
            message = f"let.{name}, used as the options of {where}, holds holes itself"
            reader.problems.add(message, node.mark, "expected a plain list or a mapping of plain nodes under let")
        else:
            reader.read(node, where)
        return
    reader.problems.add(
        f"the options of the {hole} in {where} are themselves a {key}",
        node.key_marks[key],
        f"expected a list of values, or labels other than the hole words {', '.join(HOLE_WORDS)}",
    )


def _named(reader: Reader, node: YamlMapping, where: str) -> tuple[Option, ...]:
    options = []
    for label, below in node.entries.items():
        if not NAME.fullmatch(label):
            reader.problems.add(
                f"{label!r} is no label for an option of {where}",
                node.key_marks[label],
                "expected letters, digits, _, + and - (a dot would divide the path of a choice)",
            )
        options.append(Option(label, reader.read(below, f"{where}.{label}")))
    return tuple(options)


def _plain(reader: Reader, node: YamlSequence, where: str, hole: str) -> tuple[Option, ...]:
    options: list[Option] = []
    seen: dict[object, tuple[str, Mark]] = {}
    for i, item in enumerate(node.items):
        label = _plain_label(reader, item, f"{where}.{hole}.{i}", hole)
        if isinstance(label, _NoLabel):
            continue
        text = label_text(label)
        if label in seen:  # 1, 1.0 and true are equal to Python and would build the same network
            other, first = seen[label]
            twice = "stands twice" if other == text else f"equals the option {other}"
            place = f"it stands first in line {first.line}, column {first.column}"
            reader.problems.add(f"the option {text} of {where} {twice}", item.mark, place)
            continue
        seen[label] = text, item.mark
        options.append(Option(label, reader.read(item, f"{where}.{hole}.{i}")))
    return tuple(options)


def _plain_label(reader: Reader, node: YamlNode, where: str, hole: str) -> Label | _NoLabel:
    """A scalar, or tuples of scalars for lists of them; anything else is noted."""
    if isinstance(node, YamlScalar):
        return node.value
    if isinstance(node, YamlSequence):
        labels = tuple(_plain_label(reader, item, f"{where}.{i}", hole) for i, item in enumerate(node.items))
        return _NoLabel() if any(isinstance(label, _NoLabel) for label in labels) else labels
    reader.problems.add(
        f"{describe(node)} stands in the list of options at {where}",
        node.mark,
        f"expected plain values; nodes need labels: write `{hole}` with {{label: node, …}} instead of a list",
    )
    return _NoLabel()


def _weigh(reader: Reader, options: tuple[Option, ...], node: YamlNode, where: str) -> tuple[Option, ...]:
    mapping = reader.mapping(node, f"{where}.weights", "a mapping of options to positive numbers")
    if mapping is None:
        return options
    index_of = {label_text(option.label): i for i, option in enumerate(options)}
    weights = [option.weight for option in options]
    for key, below in mapping.entries.items():
        index = index_of.get(key, index_of.get(_canonical_key(key)))
        if index is None:
            reader.problems.add(
                f"the weight in {where} is for an unknown option {key!r}",
                mapping.key_marks[key],
                f"expected {one_of(index_of)}{nearest(key, index_of)}",
            )
            continue
        weight = reader.number(below, f"{where}.weights.{key}")
        if weight is not None and weight <= 0:
            reader.problems.add(
                f"the weight of {key!r} in {where} is {weight:g}",
                below.mark,
                "expected a number above 0; leave the option out to never draw it",
            )
        elif weight is not None:
            weights[index] = weight
    return tuple(Option(o.label, o.node, weight) for o, weight in zip(options, weights, strict=True))


def read_subset(reader: Reader, node: YamlMapping, where: str) -> Subset | None:
    """`{subset: {of: items, size: k or [low, high]}}`; None after noting what makes it none."""
    body = reader.mapping(node.entries["subset"], f"{where}.subset", "{of: items, size: k or [low, high]}")
    if body is None:
        return None
    reader.keys(body, f"{where}.subset", SUBSET.names, SUBSET.required)
    if "of" not in body.entries:
        return None
    items, named = _options(reader, body.entries["of"], where, "subset")
    if items is None or "size" not in body.entries:
        return None
    sizes = _sizes(reader, body.entries["size"], len(items), where)
    if sizes is None:
        return None
    low, high = sizes
    count = sum(math.comb(len(items), size) for size in range(low, high + 1))
    if count > MAX_OPTIONS:
        reader.problems.add(
            f"the subset in {where} has {count:,} selections",
            node.mark,
            f"expected at most {MAX_OPTIONS:,}; divide it into several subsets, or make items optional",
        )
        return None
    return Subset(items, named, low, high, node.mark)


def _sizes(reader: Reader, node: YamlNode, items: int, where: str) -> tuple[int, int] | None:
    where = f"{where}.subset.size"
    if isinstance(node, YamlSequence):
        if len(node.items) != 2:
            reader.wrong(node, where, "an integer, or [low, high]")
            return None
        low = reader.integer(node.items[0], f"{where}.0", 0, items)
        high = reader.integer(node.items[1], f"{where}.1", 1, items)
        if low is None or high is None:
            return None
        if low > high:
            reader.problems.add(f"the sizes at {where} run from {low} to {high}", node.mark, "expected [low, high]")
            return None
        return low, high
    size = reader.integer(node, where, 1, items)
    return None if size is None else (size, size)


def _canonical_key(text: str) -> str:
    """A key that is a number, as `label_text` writes it: 1.0e-4 for the option 0.0001."""
    try:
        value: Scalar = resolve_scalar(text)
    except ValueError:
        return text
    return label_text(value)
