"""How networks are put together: in series, in parallel, around a shortcut, as a cell of nodes and edges.

Each takes modules that are already built. None stands for one that was left out: it is the identity in
series and nothing in parallel, and the others keep the names they would have beside it.

Shapes:  N batch   C channels   H, W height, width
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nasengine.networks.blocks.activation import make_activation


class Sequential(nn.Module):
    """One layer after the other.

    Args:
        layers: in order; None is passed over, and layer 2 is called "2" whether or not layer 1 is there.
    """

    def __init__(self, layers: Sequence[nn.Module | None]) -> None:
        super().__init__()
        for index, layer in enumerate(layers):
            if layer is not None:
                self.add_module(str(index), layer)

    def forward(self, x: Tensor) -> Tensor:
        """What the first layer takes to what the last one gives."""
        for layer in self.children():
            x = layer(x)
        return x


class Parallel(nn.Module):
    """Branches that see the same input, and whose outputs are joined.

    Args:
        branches: in the order of joining, perhaps by name; None is left out.
        join: "concat" (along the channels) or "add".

    Raises:
        ValueError: no branch is left, or an unknown join.
    """

    def __init__(
        self,
        branches: Sequence[nn.Module | None] | Mapping[str, nn.Module | None],
        *,
        join: Literal["concat", "add"] = "concat",
    ) -> None:
        super().__init__()
        if join not in ("concat", "add"):
            raise ValueError(f"join must be 'concat' or 'add', got {join!r}")
        named = branches.items() if isinstance(branches, Mapping) else enumerate(branches)
        present = {str(name): branch for name, branch in named if branch is not None}
        if not present:
            raise ValueError("no branch is left to join; at least one must always be there")
        self.branches = nn.ModuleDict(present)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) to (N, sum of the branches' channels, …), or to the shape of each branch for "add"."""
        outputs = [branch(x) for branch in self.branches.values()]
        if self.join == "concat":
            return torch.cat(outputs, dim=1)
        total = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total


class Residual(nn.Module):
    """The sum of a body and a shortcut.

    Args:
        body: the branch with the weights; None for the shortcut alone.
        shortcut: None for the identity. (In YAML, a shortcut that is not written is the identity where the body
            keeps the shape, subsampling where it only strides, and a 1x1 projection where it changes the width.)
        activation: name of the activation after the sum; "identity" for none.
    """

    def __init__(
        self, body: nn.Module | None, shortcut: nn.Module | None = None, *, activation: str = "identity"
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """What the body takes to what it gives."""
        y = x if self.shortcut is None else self.shortcut(x)
        if self.body is not None:
            y = self.body(x) + y
        return self.activation(y)


class Cell(nn.Module):
    """A directed acyclic graph: node 0 is the input, every other node the sum of what its edges bring.

    Sources: Dong and Yang, ICLR 2020, arXiv 2001.00326 (output "last");
             Liu, Simonyan, Yang, ICLR 2019, arXiv 1806.09055 (output "concat").

    Args:
        edges: "from-to" -> module, from < to; None for an edge that is left out. A node that no edge reaches is
            zero, in the shape of the input.
        nodes: number of nodes, the input included.
        output: "last" (the last node) or "concat" (nodes 1 … nodes - 1, along the channels).

    Raises:
        ValueError: a name that is no edge of such a graph, or an unknown output.
    """

    def __init__(
        self, edges: Mapping[str, nn.Module | None], *, nodes: int, output: Literal["last", "concat"] = "last"
    ) -> None:
        super().__init__()
        if output not in ("last", "concat"):
            raise ValueError(f"output must be 'last' or 'concat', got {output!r}")
        possible = [f"{source}-{target}" for target in range(1, nodes) for source in range(target)]
        unknown = [name for name in edges if name not in possible]
        if unknown:
            shown = ", ".join(possible[:10]) + (", …" if len(possible) > 10 else "")
            raise ValueError(f"a cell of {nodes} nodes has no edge {', '.join(unknown)}; it has {shown}")
        self.nodes = nodes
        self.output = output
        present = {name: edges[name] for name in possible if edges.get(name) is not None}
        self.edges = nn.ModuleDict({name: edge for name, edge in present.items() if edge is not None})

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the shape of the last node, or of all nodes concatenated."""
        values = [x]
        for target in range(1, self.nodes):
            total: Tensor | None = None
            for source in range(target):
                name = f"{source}-{target}"
                if name in self.edges:
                    brought = self.edges[name](values[source])
                    total = brought if total is None else total + brought
            values.append(torch.zeros_like(x) if total is None else total)
        return values[-1] if self.output == "last" else torch.cat(values[1:], dim=1)
