"""A filled cell as a graph: which node feeds which, by what operation, and what of it the output depends on.

Node 0 is the input. An edge that is absent or zero brings nothing and is left out; an edge is *used* if the input
reaches it and it leads to the output. What a normalisation makes of nothing is a constant, and counts as nothing:
so do the authors of NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326).
"""

from __future__ import annotations

from typing import Any

import networkx

from nasengine.errors import InputError, Problem
from nasengine.space.filling import ABSENT, Call

CELL, IDENTITY, ZERO = "cell", "identity", "zero"


def cell_graph(cell: Call) -> networkx.DiGraph:
    """The graph of one cell of a filled space.

    Returns: nodes 0 … n - 1, an order in which each edge leads forwards; `operation` of an edge is the Call that stands
        there (or the list of Calls in series); `graph.graph["outputs"]` are the nodes that the cell gives.

    Raises:
        InputError: it has no `nodes` and `edges`, or an edge is not "from-to" with from < to.
    """
    nodes, edges = cell.arguments.get("nodes"), cell.arguments.get("edges")
    if type(nodes) is not int or nodes < 2 or not isinstance(edges, dict):
        raise InputError(Problem(f"{cell.path} is no cell", cell.mark, "expected nodes (2 or more) and edges"))
    last = cell.arguments.get("output", "last") == "last"
    graph = networkx.DiGraph(outputs=(nodes - 1,) if last else tuple(range(1, nodes)))
    graph.add_nodes_from(range(nodes))
    for name, operation in edges.items():
        source, target = (int(end) if end.isdigit() else nodes for end in (name.partition("-")[::2]))
        if not source < target < nodes:
            expected = f"expected FROM-TO with 0 <= FROM < TO <= {nodes - 1}"
            raise InputError(Problem(f"{cell.path} has an edge {name!r}", cell.mark, expected))
        if not is_zero(operation):
            graph.add_edge(source, target, operation=operation)
    return graph


def used_edges(graph: networkx.DiGraph) -> list[tuple[int, int]]:
    """The edges on a way from the input to an output; each after those that lead to where it starts."""
    outputs = graph.graph["outputs"]
    used = {0, *networkx.descendants(graph, 0)} & {*outputs}.union(*(networkx.ancestors(graph, at) for at in outputs))
    return sorted(edge for edge in graph.edges if used.issuperset(edge))


def is_zero(operation: Any) -> bool:
    """Whether an edge brings nothing: absent, or zeros in the shape of what goes in."""
    if isinstance(operation, Call):
        return operation.type == ZERO and operation.arguments.get("stride", 1) == 1
    return operation is ABSENT or operation is None
