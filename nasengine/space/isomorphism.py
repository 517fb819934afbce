"""When two architectures are one network: a key that is equal for cells that compute the same function.

What makes no difference in a cell, and so does not enter its key:
    edges that are zero or absent, and whatever the input does not reach or the output does not need (see `cells`);
    identities: a sum that hands on a sum is one sum;
    the order of a sum, not how often something is in it: x + x is not x;
    the numbers of the nodes.
What does: whether something is used twice or there twice. a(x) + a(x) with the weights of one convolution is not
a(x) + b(x) with those of two. Operations without weights give the same for the same input, so they are there once.

Each operation of a cell is thus a vertex whose input is a sum of vertices. Their numbering is made canonical by colour
refinement (vertices are told apart by what they do, what they read and who reads them); what is left alike is told
apart by choosing one. The key writes the numbered graph down, so equal keys always mean equal graphs. Only for graphs
whose alike vertices cannot be exchanged might equal graphs have different keys; those are then measured twice.
The rest of the tree enters the key as it is written, the nodes of a concatenation in their order.

Differs from the 6,466 classes published for NAS-Bench-201: see docs/decisions/0007-what-makes-cells-equal.md.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeAlias

from nasengine.space.cells import CELL, IDENTITY, ZERO, cell_graph, used_edges
from nasengine.space.filling import ABSENT, Call, Filled

# Nothing but functions of their input. Types that are not here (a user's, too) are taken to have weights of their own.
WITHOUT_WEIGHTS = frozenset({"average_pool", "max_pool", "subsample", "global_average_pool", "flatten"})
_ZERO, _IDENTITY = f"{ZERO}()", f"{IDENTITY}()"  # the texts of calls without arguments
_OF_THE_GRAPH = frozenset({"nodes", "edges", "output"})


def network_key(filled: Filled) -> str:
    """Equal for two filled spaces that are the same network on the same input."""
    text = f"{filled.input_shape} {_text(filled.root)}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _text(value: Any) -> str:
    """A value of a filled tree, its cells by their keys."""
    if isinstance(value, Call):
        if value.type == CELL:
            return _cell_text(value)
        return f"{value.type}({_arguments(value)})"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{_text(part)}" for key, part in sorted(value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, value))}]"
    return repr(value)  # tells True, 1, 1.0 and "1" apart


def _arguments(call: Call, leave_out: frozenset[str] = frozenset()) -> str:
    parts = sorted(call.arguments.items()) if len(call.arguments) > 1 else call.arguments.items()
    return ",".join([f"{name}={_text(part)}" for name, part in parts if name not in leave_out])


Sum: TypeAlias = dict[int, int]  # vertex -> how often it is in it


@dataclass(slots=True)
class _Vertex:
    """An operation and the sum that it reads."""

    operation: str
    reads: Sum


def _cell_text(cell: Call) -> str:
    """The canonical text of a cell: that of a zero or of an identity, or its numbered graph."""
    vertices, outputs = _vertices(cell)
    if outputs == [{}]:
        return _ZERO
    if outputs == [{0: 1}]:
        return _IDENTITY
    order = _canonical_order(vertices, outputs)
    number = {vertex: place for place, vertex in enumerate(order)}
    written = [f"{vertices[v].operation}<{_sum(vertices[v].reads, number)}" for v in order]
    given = "|".join(_sum(output, number) for output in outputs)
    others = _arguments(cell, leave_out=_OF_THE_GRAPH)
    return f"cell({';'.join([*written, given])}){others}"


def _sum(terms: Sum, number: dict[int, int]) -> str:
    return "+".join([f"{times}*{place}" for place, times in sorted([(number[v], n) for v, n in terms.items()])])


def _vertices(cell: Call) -> tuple[list[_Vertex], list[Sum]]:
    """The operations that the output needs, vertex 0 being the input, and the sums that the cell gives."""
    graph = cell_graph(cell)
    operations = {edge: _operation(graph.edges[edge]["operation"]) for edge in graph.edges}
    graph.remove_edges_from(
        [edge for edge, (text, _) in operations.items() if text == _ZERO]
    )  # cells that give nothing
    vertices = [_Vertex("input", {})]
    alike: dict[tuple[str, frozenset[tuple[int, int]]], int] = {}
    values: dict[int, Sum] = {0: {0: 1}}
    for source, target in used_edges(graph):
        read = values[source]
        total = values.setdefault(target, {})
        operation, has_weights = operations[source, target]
        if operation == _IDENTITY:
            for vertex, times in read.items():
                total[vertex] = total.get(vertex, 0) + times
            continue
        vertex = len(vertices)
        if not has_weights:
            vertex = alike.setdefault((operation, frozenset(read.items())), vertex)
        if vertex == len(vertices):
            vertices.append(_Vertex(operation, read))
        total[vertex] = total.get(vertex, 0) + 1
    return vertices, [values.get(node, {}) for node in graph.graph["outputs"]]


def _operation(value: Any) -> tuple[str, bool]:
    """The text of what stands at an edge, and whether it has weights."""
    if isinstance(value, (list, tuple)):  # a series, as a repeat makes it
        parts = [part for part in value if part is not ABSENT and _text(part) != _IDENTITY]
        if len(parts) == 1:
            return _operation(parts[0])
        return (_text(parts), any(_operation(part)[1] for part in parts)) if parts else (_IDENTITY, False)
    text = _text(value)
    return text, not (isinstance(value, Call) and value.type in WITHOUT_WEIGHTS)


def _canonical_order(vertices: list[_Vertex], outputs: list[Sum]) -> list[int]:
    """The vertices in an order that depends on the graph alone, not on how they were numbered."""
    readers: list[list[tuple[int, int]]] = [[] for _ in vertices]
    for number, vertex in enumerate(vertices):
        for read, times in vertex.reads.items():
            readers[read].append((number, times))
    given = [tuple([output.get(number, 0) for output in outputs]) for number in range(len(vertices))]
    colours = _ranks([(vertex.operation, given[number]) for number, vertex in enumerate(vertices)])
    while True:
        colours = _refined(colours, vertices, readers)
        several = [colour for colour, count in Counter(colours).items() if count > 1]
        if not several:
            return sorted(range(len(vertices)), key=colours.__getitem__)
        chosen = colours.index(min(several))
        colours = _ranks([(colour, number != chosen) for number, colour in enumerate(colours)])


def _refined(colours: list[int], vertices: list[_Vertex], readers: list[list[tuple[int, int]]]) -> list[int]:
    """Colours told apart by what vertices of equal colour read and who reads them, until nothing changes."""
    while True:
        signatures = [
            (
                colours[number],
                tuple(sorted((colours[read], times) for read, times in vertex.reads.items())),
                tuple(sorted((colours[reader], times) for reader, times in readers[number])),
            )
            for number, vertex in enumerate(vertices)
        ]
        finer = _ranks(signatures)
        if max(finer) == max(colours):
            return finer
        colours = finer


def _ranks(values: list[Any]) -> list[int]:
    """For each value its place among the different ones, in their order."""
    place = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [place[value] for value in values]
