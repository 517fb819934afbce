"""The section of the best architecture: its network drawn, and what each of its blocks costs."""

from __future__ import annotations

from collections.abc import Mapping

from nasengine.errors import BuildError, InputError
from nasengine.report.blocks import Block, Cell, Columns, Drawing, Table, Text
from nasengine.report.drawing import draw, shape_text
from nasengine.report.labels import in_words
from nasengine.report.network_graph import Graph, network_graph
from nasengine.report.records import Winner
from nasengine.space import SearchSpace
from nasengine.wording import compact


def winner_blocks(winner: Winner, space: SearchSpace, names: Mapping[str, str]) -> list[Block]:
    """Its words, its drawing and its costs; or why it has no drawing."""
    words = Text(f"{winner.what}: {in_words(winner.architecture, names)}.")
    try:
        graph, cells = network_graph(space, winner.architecture, network=winner.network or None)
    except (InputError, BuildError) as error:
        reason = str(error).strip().splitlines()
        return [words, Text(f"It is not drawn: {reason[0] if reason else 'its network cannot be built'}")]
    drawings: list[Drawing | Table] = [_drawing(graph, "The network of the best architecture")]
    for title, cell in cells.items():
        drawings.append(_drawing(cell, f"{title[0].upper()}{title[1:]}, at the first place where it stands"))
    return [words, Columns([*drawings, _table(graph)])]


def _drawing(graph: Graph, what: str) -> Drawing:
    blocks = [node for node in graph.nodes if node.kind == "block"]
    return Drawing(
        draw(graph),
        f"{what}. Shapes are channels × height × width; the bar is a block's share of all MACs.",
        f"{what}, {len(blocks)} blocks: " + ", ".join(f"{node.title} {shape_text(node.shape)}" for node in blocks[:40]),
    )


def _table(graph: Graph) -> Table:
    whole = graph.costs
    rows: list[list[Cell]] = [
        [
            node.title + (f" × {node.times}" if node.times > 1 else ""),
            shape_text(node.shape),
            node.costs.params,
            node.costs.macs,
            share(node.costs.macs, whole.macs),
        ]
        for node in graph.nodes
        if node.kind == "block"
    ]
    if graph.between.macs or graph.between.params:
        between = graph.between
        rows.append(["between blocks", "", between.params, between.macs, share(between.macs, whole.macs)])
    rows.append(["whole network", "", whole.params, whole.macs, "100 %"])
    return Table(
        ["block", "output", "params", "MACs", "of MACs"],
        rows,
        f"Cost of every block for one image: {compact(whole.params)} parameters, {compact(whole.macs)} MACs in all.",
    )


def share(part: int, whole: int) -> str:
    """12.3 %."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
