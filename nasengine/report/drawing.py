"""A network's graph as SVG: a box for every block with its shape, its settings and its share of the MACs."""

from __future__ import annotations

from collections.abc import Sequence

from nasengine.report.blocks import escaped
from nasengine.report.layers import Point, place
from nasengine.report.network_graph import Graph, Node
from nasengine.wording import compact

BLOCK, INPUT, MARGIN, LINES = 244.0, (150.0, 26.0), 10.0, 15.0
LETTER = 5.9  # width of one, in the small text
LINE = int((BLOCK - 24) / LETTER)


def draw(graph: Graph) -> str:
    """The SVG of a graph; its look is in page.css."""
    sizes = [_size(node) for node in graph.nodes]
    placed = place(sizes, graph.edges)
    macs = max(graph.costs.macs, 1)
    lines = "".join(f'<path d="{_path(placed.routes[edge])}"/>{_tip(placed.routes[edge][-1])}' for edge in graph.edges)
    boxes = "".join(
        _box(node, placed.centres[number], sizes[number], node.costs.macs / macs)
        for number, node in enumerate(graph.nodes)
    )
    room = 60.0 if any(node.kind == "join" for node in graph.nodes) else 0.0  # for the shapes beside sums
    width, height = placed.width + 2 * MARGIN + room, placed.height + 2 * MARGIN
    return (
        f'<svg class="network" width="{width:.0f}" height="{height:.0f}" aria-hidden="true" '
        f'viewBox="{-MARGIN:.0f} {-MARGIN:.0f} {width:.0f} {height:.0f}">'
        f'<g class="edges">{lines}</g>{boxes}</svg>'
    )


def shape_text(shape: Sequence[int]) -> str:
    """64×8×8."""
    return "×".join(map(str, shape))


def _size(node: Node) -> tuple[float, float]:
    if node.kind == "join":
        return 20.0 + 7.5 * len(_join_words(node)), 26.0
    return INPUT if node.kind == "input" else (BLOCK, 45.0 + LINES * bool(node.settings))


def _join_words(node: Node) -> str:
    return ", ".join(filter(None, (node.title, node.settings)))


def _path(points: Sequence[Point]) -> str:
    """A smooth line down through the points; straight where two are above one another."""
    (x, y), *rest = points
    text = f"M{x:.1f},{y:.1f}"
    for next_x, next_y in rest:
        if abs(next_x - x) < 0.5:
            text += f"L{next_x:.1f},{next_y:.1f}"
        else:
            middle = (y + next_y) / 2
            text += f"C{x:.1f},{middle:.1f} {next_x:.1f},{middle:.1f} {next_x:.1f},{next_y:.1f}"
        x, y = next_x, next_y
    return text


def _tip(end: Point) -> str:
    """The head of an arrow that points down at its end."""
    x, y = end
    return f'<path class="tip" d="M{x - 3.5:.1f},{y - 6:.1f}h7L{x:.1f},{y:.1f}z"/>'


def _box(node: Node, centre: Point, size: tuple[float, float], share: float) -> str:
    width, height = size
    left, top = centre[0] - width / 2, centre[1] - height / 2
    where = f'transform="translate({left:.1f},{top:.1f})"'
    if node.kind != "block":
        words = _join_words(node) if node.kind == "join" else f"{node.title} {shape_text(node.shape)}"
        beside = (
            f'<text class="small" x="{width + 6:.1f}" y="17">{shape_text(node.shape)}</text>'
            if node.kind == "join"
            else ""
        )
        return (
            f'<g class="{node.kind}" {where}><rect width="{width:.1f}" height="{height:.1f}" rx="{height / 2:.1f}"/>'
            f'<text x="{width / 2:.1f}" y="17" text-anchor="middle">{escaped(words)}</text>{beside}</g>'
        )
    behind = f'<rect x="4" y="-4" width="{width:.1f}" height="{height:.1f}" rx="5"/>' if node.times > 1 else ""
    many = f" × {node.times}" if node.times > 1 else ""
    cost = f"{compact(node.costs.params)} params" + (f" · {compact(node.costs.macs)} MACs" if node.costs.macs else "")
    settings = node.settings if len(node.settings) <= LINE else node.settings[: LINE - 1].rstrip(", ") + "…"
    said = f'<text class="small" x="12" y="35">{escaped(settings)}</text>' if settings else ""
    return (
        f'<g class="block" {where}>{behind}<rect width="{width:.1f}" height="{height:.1f}" rx="5"/>'
        f"<title>{escaped(f'{node.title}{many}: {node.settings}')}</title>"
        f'<text class="strong" x="12" y="19">{escaped(node.title + many)}</text>'
        f'<text class="small" x="{width - 12:.1f}" y="19" text-anchor="end">{shape_text(node.shape)}</text>'
        f"{said}"
        f'<text class="small" x="12" y="{height - 10:.0f}">'
        f"{cost if node.costs.params or node.costs.macs else 'no parameters'}</text>"
        f'<rect class="share" y="{height - 4:.1f}" width="{max(share * width, 0):.1f}" height="4" rx="2"/></g>'
    )
