"""The second pass over a space: its types and their arguments, then the shapes of the networks it describes.

The first pass (the grammar) knows no network. This one reports what it finds at the same marks and all at once:
unknown types, unknown, missing and wrong arguments in every option of every hole; and if there are none, what goes
wrong when networks that cover all options are put together and run on tensors without memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nasengine.build.coverage import cover
from nasengine.build.inference import INFERRED, infer
from nasengine.build.module_call import NodeError
from nasengine.build.network import task_of
from nasengine.build.places import declares_places
from nasengine.build.shapes import Shape, write_shape
from nasengine.build.types import look_up_type
from nasengine.errors import InputError, Mark, Problem
from nasengine.records import Architecture
from nasengine.space.holes import Choice, ListOf, MapOf, Maybe, Node, Repeat, Subset
from nasengine.space.language.calls import check_call
from nasengine.space.options import option_path, shown
from nasengine.space.problems import Problems
from nasengine.space.space import SearchSpace

# kind of a task -> the setting that says how large the output is, what that is, and its shape by input and setting
EXPECTED_OUTPUT: dict[str, tuple[str, str, Callable[[Shape, int], Shape]]] = {
    "image_classification": ("classes", "class scores", lambda shape, classes: (classes,)),
    "super_resolution": (
        "scale",
        "an enlarged image",
        lambda shape, scale: (shape[0], shape[1] * scale, shape[2] * scale),
    ),
}


def check_space(space: SearchSpace) -> list[Problem]:
    """Everything wrong with the networks of a space, each with its mark and source line; empty if nothing is.

    A space whose root is no network has no networks to check.
    """
    if space.tree.root_key != "network":
        return []
    problems = Problems(space.tree.lines)
    found = _check_task(space)
    found += [problem for name, node in space.tree.let.items() for problem in _check_node(node, f"let.{name}", space)]
    found += _check_node(space.tree.root, "network", space)
    # An alias stands at several paths; what is wrong with it is written once, and said of the first of them.
    problems.extend(list({(problem.mark, problem.expected): problem for problem in reversed(found)}.values())[::-1])
    if not problems:
        problems.extend(_check_shapes(space))
    return list(problems.found)


def _check_task(space: SearchSpace) -> list[Problem]:
    """A task whose kind fixes the shape of the output must say how large that is."""
    task = space.task
    if task is None or task.kind not in EXPECTED_OUTPUT:
        return []
    setting = EXPECTED_OUTPUT[task.kind][0]
    value = task.settings.get(setting)
    if type(value) is int and value > 0:
        return []
    found = f"task.{setting} is {shown(value)}" if setting in task.settings else f"the task has no {setting!r}"
    return [Problem(found, task.mark, f"expected {setting}: an integer of at least 1")]


def _check_node(node: Node, path: str, space: SearchSpace) -> list[Problem]:
    found: list[Problem] = []
    if isinstance(node, MapOf) and node.type_name is not None:
        found += _check_call(node, node.type_name, path, space)
    for below, place in _below(node, path):
        found += _check_node(below, place, space)
    return found


def _check_call(node: MapOf, name: str, path: str, space: SearchSpace) -> list[Problem]:
    try:
        target = look_up_type(name)
    except InputError as error:
        mark = node.entries["type"].mark
        return [Problem(f"{problem.message} (in {path})", mark, problem.expected) for problem in error.problems]
    return check_call(
        node, target, where=path, name=name, inferred=INFERRED, let=space.tree.let, has_places=declares_places(target)
    )


def _below(node: Node, path: str) -> Iterator[tuple[Node, str]]:
    """The nodes directly below one, with their paths; what `let` holds is checked where it is written."""
    match node:
        case ListOf():
            yield from ((item, f"{path}.{index}") for index, item in enumerate(node.items))
        case MapOf():
            yield from ((entry, f"{path}.{key}") for key, entry in node.entries.items())
        case Choice():
            for index, option in enumerate(node.options):
                yield option.node, option_path(path, node.named, option, index)
        case Subset():
            for index, option in enumerate(node.items):
                yield option.node, option_path(path, node.named, option, index)
        case Repeat() | Maybe():
            yield node.of, path


@dataclass
class _Failure:
    problem: Problem
    example: Architecture
    count: int = 1


def _check_shapes(space: SearchSpace) -> list[Problem]:
    """Put networks together that cover all options; one problem for each node and kind of failure."""
    failures: dict[tuple[Mark | None, str], _Failure] = {}

    def works(architecture: Architecture) -> bool:
        problem = _try(space, architecture)
        if problem is None:
            return True
        kind = (problem.mark, re.sub(r"\d+", "#", problem.message))
        if kind in failures:
            failures[kind].count += 1
        else:
            failures[kind] = _Failure(problem, architecture)
        return False

    try:
        tried = cover(space, works)
    except InputError as error:  # the relations leave nothing to sample
        mark = space.relations[0].mark if space.relations else space.tree.root.mark
        return [Problem(problem.message, problem.mark or mark, problem.expected) for problem in error.problems]
    return [_describe(failure, tried) for failure in failures.values()]


def _try(space: SearchSpace, architecture: Architecture) -> Problem | None:
    try:
        filled = space.fill(architecture)
        shape, settings = task_of(filled)
        _, output = infer(filled.root, shape, settings)
    except NodeError as error:
        return error.problem
    except InputError as error:
        return error.problems[0]
    assert filled.task is not None
    if filled.task.kind not in EXPECTED_OUTPUT:
        return None
    setting, what, expected = EXPECTED_OUTPUT[filled.task.kind]
    wanted = expected(shape, settings[setting])
    if output == wanted:
        return None
    message = f"the network gives {write_shape(output)} for an input of {write_shape(shape)}"
    return Problem(message, filled.root.mark, f"expected {write_shape(wanted)}, {what} for the task")


def _describe(failure: _Failure, tried: int) -> Problem:
    """The problem, with an example where only some architectures have it."""
    problem = failure.problem
    if failure.count == tried:
        return problem
    text = failure.example.key
    text = text if len(text) <= 300 else text[:299] + "…"
    hint = f"{problem.expected}; " if problem.expected else ""
    return Problem(problem.message, problem.mark, f"{hint}so it is in some architectures, for example {text}")
