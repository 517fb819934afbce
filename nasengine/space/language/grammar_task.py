"""Reads `task:`: its kind, the shape of its input (whose resolution may be a choice) and its own settings."""

from __future__ import annotations

from typing import TypeAlias

from nasengine.errors import nearest
from nasengine.space.holes import Choice, Range, Scalar, Task, Use, Value
from nasengine.space.language.grammar_counts import read_count
from nasengine.space.language.grammar_reader import Reader
from nasengine.space.language.keys import TASK
from nasengine.space.language.yaml import YamlNode, YamlScalar, YamlSequence

_Shape: TypeAlias = tuple[int, Value | Choice | Range | Use, Value | None]  # channels, height, width


def read_task(node: YamlNode, reader: Reader) -> Task | None:
    """The task, or None after noting why it is none."""
    mapping = reader.mapping(node, "task", "{kind: …, input: [channels, height, width], …}")
    if mapping is None:
        return None
    reader.has(mapping, "the task", TASK.required)
    kind = reader.name(mapping.entries["kind"], "task.kind") if "kind" in mapping.entries else None
    shape = _read_input(mapping.entries["input"], reader) if "input" in mapping.entries else None
    settings: dict[str, Scalar] = {}
    for key, below in mapping.entries.items():
        if key in TASK.table:
            continue
        if isinstance(below, YamlScalar):
            settings[key] = below.value
        else:
            reader.wrong(below, f"task.{key}", "a plain value; only the resolution of the input may be a choice")
    if kind is None or shape is None:
        return None
    channels, height, width = shape
    return Task(kind, channels, height, width, settings, mapping.mark)


def _read_input(node: YamlNode, reader: Reader) -> _Shape | None:
    expected = "three sizes: [channels, height, width], the width perhaps the word same"
    if not isinstance(node, YamlSequence) or len(node.items) != 3:
        reader.wrong(node, "task.input", expected)
        return None
    channels = reader.integer(node.items[0], "task.input.0", 1)
    height = read_count(reader, node.items[1], "task.input.1", 1)
    width: Value | None = None
    last = node.items[2]
    if isinstance(last, YamlScalar) and last.value == "same":
        pass
    elif isinstance(last, YamlScalar):
        if isinstance(last.value, str):
            reader.wrong(last, "task.input.2", f"an integer, or the word same{nearest(last.value, ['same'])}")
            return None
        number = reader.integer(last, "task.input.2", 1)
        if number is None:
            return None
        width = Value(number, last.mark)
    else:
        reader.wrong(last, "task.input.2", "an integer, or the word same (the height may be a choice, the width not)")
        return None
    return None if channels is None or height is None else (channels, height, width)
