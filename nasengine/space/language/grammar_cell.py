"""Reads `{type: cell}`: a directed acyclic graph whose edges are nodes of the space."""

from __future__ import annotations

from collections.abc import Mapping

from nasengine.errors import Mark, nearest
from nasengine.space.holes import MapOf, Node
from nasengine.space.language.grammar_reader import Reader
from nasengine.space.language.keys import CELL
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar

MAX_CELL_NODES = 64
OUTPUTS = ("last", "concat")


def read_cell(reader: Reader, node: YamlMapping, where: str) -> MapOf:
    """A cell, with `edges: {all: node}` spelt out to one copy for each pair of nodes."""
    entries = {key: reader.read(value, f"{where}.{key}") for key, value in node.entries.items() if key != "edges"}
    whole = MapOf(entries, node.mark, dict(node.key_marks))
    reader.has(node, f"the cell in {where}", CELL.required)
    output = node.entries.get("output")
    if output is not None:
        reader.one_of(output, f"{where}.output", OUTPUTS)
    nodes = None
    if "nodes" in node.entries:
        nodes = reader.integer(node.entries["nodes"], f"{where}.nodes", 2, MAX_CELL_NODES)
    if nodes is None or "edges" not in node.entries:
        return whole
    body = reader.mapping(node.entries["edges"], f"{where}.edges", 'edges such as "0-1", or all')
    if body is None:
        return whole
    edges: dict[str, Node] = {}
    marks: dict[str, Mark] = {}
    written: dict[str, Node] = {}
    names = [f"{i}-{j}" for j in range(nodes) for i in range(j)]
    for key, below in body.entries.items():
        if key != "all" and key not in names:
            turned = "-".join(reversed(key.split("-")))
            meant = f"; did you mean {turned!r}?" if turned in names else nearest(key, ["all", *names])
            reader.problems.add(
                f"unknown edge {key!r} in {where}.edges",
                body.key_marks[key],
                f"expected 'all' or FROM-TO with 0 <= FROM < TO <= {nodes - 1}{meant}",
            )
            continue
        written[key] = reader.read(below, f"{where}.edges.{key}")
    for name in names:
        source = name if name in written else "all"
        if source in written:
            edges[name], marks[name] = written[source], body.key_marks[source]
    if len(written) == len(body.entries):
        _check_connected(reader, edges, nodes, output, body, where)
    entries["edges"] = MapOf(edges, body.mark, marks)
    order = {key: entries[key] for key in node.entries if key in entries}
    return MapOf(order, node.mark, dict(node.key_marks))


def _check_connected(
    reader: Reader, edges: Mapping[str, Node], nodes: int, output: YamlNode | None, body: YamlMapping, where: str
) -> None:
    sources = {int(name.split("-")[0]) for name in edges}
    targets = {int(name.split("-")[1]) for name in edges}
    for i in range(1, nodes):
        if i not in targets:
            reader.problems.add(f"no edge of {where}.edges leads to node {i}", body.mark, f"expected an edge to {i}")
    concatenates = isinstance(output, YamlScalar) and output.value == "concat"
    for i in range(nodes - 1):
        if i not in sources and not concatenates:
            reader.problems.add(f"no edge of {where}.edges leaves node {i}", body.mark, f"expected an edge from {i}")
