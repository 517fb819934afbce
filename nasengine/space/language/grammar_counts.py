"""Reads the holes that hold numbers of things: `range`, and `repeat` with its count."""

from __future__ import annotations

from collections.abc import Mapping

from nasengine.space.holes import Choice, Node, Range, Repeat, Use, Value
from nasengine.space.language.checks import describe
from nasengine.space.language.grammar_options import MAX_OPTIONS
from nasengine.space.language.grammar_reader import Reader, SharedCount, label_text
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence
from nasengine.space.options import counts_of, followed

MAX_COPIES = 1_000  # of one repeat


def read_range(reader: Reader, node: YamlMapping, where: str) -> Range | None:
    """`{range: [low, high, step]}`; None after noting what makes it none."""
    body = node.entries["range"]
    where = f"{where}.range"
    if not isinstance(body, YamlSequence) or len(body.items) not in (2, 3):
        reader.wrong(body, where, "three integers: [low, high, step]")
        return None
    numbers = [reader.integer(item, f"{where}.{i}", 1 if i == 2 else None) for i, item in enumerate(body.items)]
    if len(numbers) == 2:
        numbers.append(1)
    low, high, step = numbers
    if low is None or high is None or step is None:
        return None
    if low > high:
        reader.problems.add(f"the range at {where} runs from {low} to {high}", body.mark, "expected low before high")
        return None
    if (high - low) % step:
        last = high - (high - low) % step
        reader.problems.add(
            f"the range at {where} does not reach {high}: its last value is {last}",
            body.mark,
            f"expected both ends included: [{low}, {last}, {step}] or [{low}, {last + step}, {step}]",
        )
        return None
    if (high - low) // step >= MAX_OPTIONS:
        reader.problems.add(
            f"the range at {where} has {(high - low) // step + 1:,} values",
            body.mark,
            f"expected at most {MAX_OPTIONS:,}; take a larger step",
        )
        return None
    return Range(low, high, step, node.mark)


def read_count(
    reader: Reader, node: YamlNode, where: str, low: int, high: int | None = None
) -> Value | Choice | Range | Use | None:
    """A positive integer, a choice or range of integers of at least `low`, or a use of such (checked later).

    Args:
        high: the largest that a shared count may be; the caller checks any other.
    """
    if isinstance(node, YamlScalar):
        return Value(value, node.mark) if (value := reader.integer(node, where, max(low, 1))) is not None else None
    read = reader.read(node, where)
    expected = f"an integer, or a choice or range of integers of at least {low}"
    if isinstance(read, Range):
        if read.low >= low:
            return read
        reader.problems.add(f"the range at {where} begins at {read.low}", node.mark, f"expected {expected}")
        return None
    if isinstance(read, Choice) and not read.named:
        wrong = [o for o in read.options if type(o.label) is not int or o.label < low]
        for option in wrong:
            found = f"the option {label_text(option.label)} stands at {where}"
            reader.problems.add(found, option.node.mark, f"expected integers of at least {low}")
        return None if wrong else read
    if isinstance(read, Use):
        reader.counts.append(SharedCount(read, where, low, high))
        return read
    if not (isinstance(read, Value) and read.value is None):  # a null here is noted already
        reader.wrong(node, where, expected)
    return None


def check_shared_counts(reader: Reader, let: Mapping[str, Node]) -> None:
    """Note what a count uses that is no choice or range of integers; each entry of `let` is complained of once."""
    seen: set[tuple[str, int, int | None]] = set()
    for count in reader.counts:
        hole, path = followed(count.use, count.where, let)
        if (path, count.low, count.high) in seen:
            continue
        seen.add((path, count.low, count.high))
        expected = f"expected integers of at least {count.low}"
        if isinstance(hole, Choice) and not hole.named:
            numbers = [(option.label, option.node.mark) for option in hole.options]
        elif isinstance(hole, Range):
            numbers = [(hole.low, hole.mark)]
        else:
            if not (isinstance(hole, Value) and hole.value is None):  # a null is noted already
                reader.problems.add(
                    f"{path}, the count at {count.where}, is {describe(hole)}",
                    count.use.mark,
                    f"expected a choice or range of integers of at least {count.low}",
                )
            continue
        wrong = [(label, mark) for label, mark in numbers if type(label) is not int or label < count.low]
        for label, mark in wrong:
            found = "the range begins at" if isinstance(hole, Range) else "the options hold"
            message = f"{path} is the count at {count.where}, and {found} {label_text(label)}"
            reader.problems.add(message, mark, expected)
        if not wrong and count.high is not None and most(hole) > count.high:
            message = f"{path}, the count at {count.where}, makes up to {most(hole):,} copies"
            reader.problems.add(message, hole.mark, f"expected at most {count.high}")


def read_repeat(reader: Reader, node: YamlMapping, where: str) -> Repeat | None:
    """`{repeat: count, of: node}`; None after noting what makes it none."""
    count = read_count(reader, node.entries["repeat"], f"{where}.repeat", 0, MAX_COPIES)
    reader.has(node, f"the repeat in {where}", ("of",), ("repeat",))
    if "of" not in node.entries:
        return None
    of = reader.read(node.entries["of"], where)
    if count is None:
        return None
    if not isinstance(count, Use) and most(count) > MAX_COPIES:
        reader.problems.add(
            f"the repeat in {where} makes up to {most(count):,} copies",
            count.mark,
            f"expected at most {MAX_COPIES}",
        )
        return None
    return Repeat(count, of, node.mark)


def most(count: Node) -> int:
    """The largest number a count (no `use`) can be."""
    return count.high if isinstance(count, Range) else max(counts_of(count))
