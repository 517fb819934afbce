"""Places the nodes of a directed acyclic graph in layers, so that all edges point down and few of them cross.

Layers by longest path; an edge that passes a layer has a *bend* in it, which takes part like a narrow node; the
order inside layers by barycentres; then places across by least squares with the distances kept.
Sources: Sugiyama, Tagawa, Toda, IEEE SMC 11(2), 1981; the last step is isotonic regression (Barlow et al., 1972).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

Point = tuple[float, float]
SWEEPS = 8
NODE_WEIGHT = 1e4  # against 1 of a bend, so that bends give way


@dataclass(frozen=True)
class Placed:
    """Where things go.

    Args:
        centres: of each node.
        routes: of each edge: the points it passes, its ends (middle of the lower and of the upper border) included.
        width, height: of the whole, which begins at (0, 0).
    """

    centres: Mapping[int, Point]
    routes: Mapping[tuple[int, int], Sequence[Point]]
    width: float
    height: float


def place(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    *,
    gap_x: float = 24,
    gap_y: float = 26,
    bend: float = 14,
) -> Placed:
    """Place nodes of these (width, height) so that every edge points down.

    Args:
        sizes: of the nodes.
        edges: from, to; without cycles.
        gap_x, gap_y: between neighbours in a layer, between layers.
        bend: width of a bend.
    """
    layer_of = _layers(len(sizes), edges)
    layers: list[list[Hashable]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node, layer in layer_of.items():
        layers[layer].append(node)
    chain: nx.DiGraph = nx.DiGraph()
    chain.add_nodes_from(layer_of)
    bends: dict[tuple[int, int], list[Hashable]] = {}
    for edge in edges:
        between: list[Hashable] = [(edge, layer) for layer in range(layer_of[edge[0]] + 1, layer_of[edge[1]])]
        for item, layer in zip(between, range(layer_of[edge[0]] + 1, layer_of[edge[1]]), strict=True):
            layers[layer].append(item)
        bends[edge] = between
        nx.add_path(chain, [edge[0], *between, edge[1]])
    _order(layers, chain)
    widths = {item: sizes[item][0] if isinstance(item, int) else bend for layer in layers for item in layer}
    across = _across(layers, chain, widths, gap_x)
    left = min((across[item] - widths[item] / 2 for item in across), default=0.0)
    right = max((across[item] + widths[item] / 2 for item in across), default=0.0)
    heights = [max((sizes[item][1] for item in layer if isinstance(item, int)), default=0.0) for layer in layers]
    tops = [sum(heights[:layer]) + gap_y * layer for layer in range(len(layers))]
    down = {node: tops[layer] + heights[layer] / 2 for node, layer in layer_of.items()}
    centres = {node: (across[node] - left, down[node]) for node in layer_of}
    routes = {
        (a, b): [
            (centres[a][0], centres[a][1] + sizes[a][1] / 2),
            *(
                point
                for layer, item in enumerate(bends[a, b], start=layer_of[a] + 1)
                for point in (
                    (across[item] - left, tops[layer]),
                    (across[item] - left, tops[layer] + heights[layer]),
                )
            ),
            (centres[b][0], centres[b][1] - sizes[b][1] / 2),
        ]
        for a, b in edges
    }
    height = tops[-1] + heights[-1] if layers else 0.0
    return Placed(centres, routes, right - left, height)


def _layers(nodes: int, edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The length of the longest path to each node."""
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(edges)
    layer: dict[int, int] = {}
    for node in nx.lexicographical_topological_sort(graph):
        layer[node] = max((layer[before] + 1 for before in graph.predecessors(node)), default=0)
    return dict(sorted(layer.items()))


def _order(layers: list[list[Hashable]], chain: nx.DiGraph) -> None:
    """Sort each layer by the mean place of its neighbours above, then below, some times over."""
    for sweep in range(SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            for_place = {item: number for row in layers for number, item in enumerate(row)}
            means = {}
            for item in layer:
                near = list(chain.predecessors(item) if downwards else chain.successors(item))
                means[item] = sum(for_place[other] for other in near) / len(near) if near else for_place[item]
            # Of equals, nodes come first, so that shortcuts run on the right.
            layer.sort(key=lambda item: (means[item], not isinstance(item, int), for_place[item]))


def _across(
    layers: Sequence[Sequence[Hashable]], chain: nx.DiGraph, widths: Mapping[Hashable, float], gap: float
) -> dict[Hashable, float]:
    """The middle of every item, near the mean of its neighbours', items of a layer kept apart."""
    across = {item: 0.0 for layer in layers for item in layer}
    for layer in layers:
        _set_apart(layer, [0.0] * len(layer), across, widths, gap)
    for sweep in range(2 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for item in layer:
                near = [*chain.predecessors(item), *chain.successors(item)]
                wanted.append(sum(across[other] for other in near) / len(near) if near else across[item])
            _set_apart(layer, wanted, across, widths, gap)
    for layer in layers:  # a chain is straight
        above = [across[other] for item in layer for other in chain.predecessors(item)]
        if len(layer) == 1 and above:
            across[layer[0]] = sum(above) / len(above)
    return across


def _set_apart(
    layer: Sequence[Hashable],
    wanted: Sequence[float],
    across: dict[Hashable, float],
    widths: Mapping[Hashable, float],
    gap: float,
) -> None:
    """Give each item the place it wants, as nearly as the distances allow (pool adjacent violators)."""
    offsets, offset = [], 0.0
    for number, item in enumerate(layer):
        if number:
            offset += (widths[layer[number - 1]] + widths[item]) / 2 + gap
        offsets.append(offset)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for item, place, shift in zip(layer, wanted, offsets, strict=True):
        blocks.append((place - shift, NODE_WEIGHT if isinstance(item, int) else 1.0, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, weight, many), (other, more, others) = blocks[-2], blocks.pop()
            blocks[-1] = ((one * weight + other * more) / (weight + more), weight + more, many + others)
    places = [mean for mean, _, many in blocks for _ in range(many)]
    for item, place, shift in zip(layer, places, offsets, strict=True):
        across[item] = place + shift
