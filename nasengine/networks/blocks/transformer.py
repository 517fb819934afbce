"""The block of a vision transformer: attention and a perceptron, each a residual branch behind its own norm.

The heads together may be wider or narrower than the tokens, so their number and the width of the tokens are
independent of each other.

Shapes:  N batch   T tokens   D width of a token   h heads   d width of a head   F hidden width of the perceptron
Source:  Dosovitskiy et al., ICLR 2021, arXiv 2010.11929; independent width of the heads: Liao, Karaman, Sze 2021,
         arXiv 2109.00642.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasengine.networks.blocks.drop_path import DropPath

NORM_EPSILON = 1e-6
INITIAL_DEVIATION = 0.02


def make_parameter(*shape: int) -> nn.Parameter:
    """A normally distributed parameter, as transformers begin.

    Differs from the code of most papers in words only: they cut the distribution at ±2, a hundred deviations away.
    """
    return nn.Parameter(torch.empty(shape).normal_(std=INITIAL_DEVIATION))


def make_linear(width: int, outputs: int) -> nn.Linear:
    """A linear layer that begins with such weights, and biases of zero."""
    linear = nn.Linear(width, outputs)
    with torch.no_grad():
        linear.weight.normal_(std=INITIAL_DEVIATION)
        linear.bias.zero_()
    return linear


class Attention(nn.Module):
    """Each token gathers from all tokens what its queries ask for (Vaswani et al. 2017, arXiv 1706.03762, section 3.2).

    Args:
        width: D, of what goes in and comes out.
        heads: h.
        head_dim: d.
    """

    # How the outputs of `qkv` are to be read: three parts, in each the heads, in each of these its channels.
    axes: ClassVar[dict[str, tuple[Any, ...]]] = {"qkv": (3, "heads", "head_dim")}

    def __init__(self, width: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.qkv = make_linear(width, 3 * heads * head_dim)
        self.project = make_linear(heads * head_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) to the same shape."""
        parts = self.qkv(x).unflatten(2, (3, self.heads, self.head_dim))  # (N, T, 3, h, d)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # (N, h, T, d) each
        gathered = F.scaled_dot_product_attention(queries, keys, values)  # (N, h, T, d), scaled by d^-1/2
        return self.project(gathered.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them, for each token by itself.

    Args:
        width: D, of what goes in and comes out.
        hidden: F.
    """

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.expand = make_linear(width, hidden)
        self.activation = nn.GELU()
        self.project = make_linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) to the same shape."""
        return self.project(self.activation(self.expand(x)))


class TransformerBlock(nn.Module):
    """Attention, then a perceptron; each normalises what it gets and adds what it finds.

    Args:
        width: D.
        heads: h.
        head_dim: d.
        mlp_width: F.
    """

    def __init__(self, width: int, *, heads: int, head_dim: int, mlp_width: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads=heads, head_dim=head_dim)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Perceptron(width, hidden=mlp_width)
        self.drop_path = DropPath()  # of each of the two branches; the network sets its rate by where the block stands

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) to the same shape."""
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))
