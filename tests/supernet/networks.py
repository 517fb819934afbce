"""Networks as a user would bring them: plain modules that know nothing of nasengine, with one trick each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasengine.build import allow_modules
from nasengine.space import SearchSpace, parse_space


class DenseNet(nn.Module):
    """Every layer sees all before it, newest first; a depthwise convolution and a group norm follow."""

    def __init__(self, in_channels: int, classes: int, *, growth: list[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.layers = nn.ModuleList()
        width = 8
        for each in growth:
            depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
            self.layers.append(
                nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), depthwise, nn.Conv2d(width, each, 3, padding=1))
            )
            width += each
        self.norm = nn.GroupNorm(width // 2, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([layer(x), x], 1)
        return self.head(F.silu(self.norm(x)).mean((2, 3)))


class Block(nn.Module):
    """A transformer block of its own making; queries, keys and values are one linear layer."""

    axes = {"qkv": (3, "heads", "head_dim")}  # noqa: RUF012 - a user would write it like this

    def __init__(self, dim: int, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim)
        self.project = nn.Linear(heads * head_dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.gamma = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, -1)
        x = x + self.project(y)
        return x + self.gamma * self.mlp(x)


class Looking(nn.Module):
    """A network made of a module, of which it asks how wide it is."""

    def __init__(self, body: nn.Module, classes: int, *, first: bool = True) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.out_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Setting(nn.Module):
    """A network made of modules, one of which it changes."""

    def __init__(self, body: nn.Module, classes: int, *, rate: float) -> None:
        super().__init__()
        self.body = body
        self.drop = nn.Dropout(0.0)
        body.rate = rate
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)) * self.body.rate)


class Counting(nn.Module):
    """A network made of modules, of which some may be absent; it minds how many are there, or does not."""

    constructed = 0

    def __init__(self, blocks: list[nn.Module | None], classes: int, *, mind: bool) -> None:
        super().__init__()
        Counting.constructed += 1
        self.scale = 1 / (1 + sum(block is not None for block in blocks)) if mind else 1.0
        self.blocks = nn.Sequential(*[nn.Identity() if block is None else block for block in blocks])
        self.head = nn.Linear(3, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean((2, 3)) * self.scale)


class UndeclaredBlock(Block):
    """The same without saying what `qkv` is made of."""

    axes = None


class TorchBlock(nn.Module):
    """A block around PyTorch's own attention."""

    def __init__(self, dim: int, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


class Transformer(nn.Module):
    """Patches, a class token, position embeddings, blocks whose number is an argument."""

    kind: type[nn.Module] = Block

    def __init__(self, in_channels: int, classes: int, *, heads: int, inner: int = 0, depth: int, ratio: float) -> None:
        super().__init__()
        dim = 16 * heads
        self.patches = nn.Conv2d(in_channels, dim, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, 5, dim))
        self.blocks = nn.ModuleList(self.kind(dim, inner or heads, 16, int(dim * ratio)) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class UndeclaredTransformer(Transformer):
    kind = UndeclaredBlock


class TorchTransformer(Transformer):
    kind = TorchBlock


class Trick(nn.Module):
    """A convolution, one unusual thing, a head."""

    def __init__(self, in_channels: int, classes: int, *, width: int, trick: str) -> None:
        super().__init__()
        self.trick = trick
        self.width = width
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
        flat = {"flatten": width * 16, "reshape": width * 4, "shuffle": width // 4}.get(trick, width)
        match trick:
            case "lstm":
                self.extra: nn.Module = nn.LSTM(width, width, batch_first=True)
            case "group_width":
                self.extra = nn.Conv2d(width, width, 3, padding=1, groups=width // 4)
            case "group_number":
                self.extra = nn.Conv2d(width, width, 3, padding=1, groups=4)
            case "group_norm":
                self.extra = nn.GroupNorm(4, width)
            case "instance_norm":
                self.extra = nn.InstanceNorm2d(width, affine=True)
            case "transposed":
                self.extra = nn.ConvTranspose2d(width, width, 2, 2)
            case "hidden_weight" | "tied":
                self.extra = nn.Conv2d(width, width, 1)
            case "weight_norm":
                self.extra = nn.utils.parametrizations.weight_norm(nn.Conv2d(width, width, 1))
            case "prelu":
                self.extra = nn.PReLU(width)
            case "window":
                self.extra = nn.LayerNorm(width)
            case "direct":
                self.offset = nn.Parameter(torch.randn(width))
                self.matrix = nn.Parameter(torch.randn(width, classes) / 4)
            case "product":
                self.matrix = nn.Parameter(torch.randn(width, width) / 4)
            case "table":
                self.register_buffer("table", torch.linspace(0, 1, width))
                self.grid = torch.arange(8.0)
            case "drawn":
                self.rates = [float(rate) for rate in torch.linspace(0, 0.1, 3)]
        if trick == "tied":
            self.again = nn.Conv2d(width, width, 1)
            self.again.weight = self.extra.weight
        self.head = nn.Linear(flat, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        match self.trick:
            case "flatten":
                return self.head(F.adaptive_avg_pool2d(x, 4).flatten(1))
            case "reshape":
                return self.head(F.adaptive_avg_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1))
            case "shuffle":
                x = F.pixel_shuffle(x, 2)
            case "channel_shuffle":
                x = F.channel_shuffle(x, 4)
            case "lstm":
                return self.head(self.extra(x.flatten(2).transpose(1, 2))[0].mean(1))
            case "softmax":
                x = x.softmax(1)
            case "l2_norm":
                x = F.normalize(x, dim=1)
            case "hidden_weight":
                x = F.conv2d(x, self.extra.weight, self.extra.bias)
            case "tied":
                x = self.again(self.extra(x).relu())
            case "direct":
                x = (x + self.offset.view(1, -1, 1, 1)).sigmoid()
                return self.head(x.mean((2, 3))) + x.mean((2, 3)) @ self.matrix
            case "product":
                x = torch.einsum("nchw,cd->ndhw", x, self.matrix)
            case "table":
                x = x * self.table.view(1, -1, 1, 1) + self.grid
            case "scale":
                x = x / math.sqrt(self.width)
            case "window":
                n, c, h, w = x.shape
                windows = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
                return self.head(self.extra(windows)).view(n, -1, self.head.out_features).mean(1)
            case "group_width" | "group_number" | "group_norm" | "instance_norm":
                x = self.extra(x)
            case "transposed" | "prelu" | "weight_norm":
                x = self.extra(x)
        return self.head(x.mean((2, 3)))


SPACE = """
name: {name}
about: a user's own module
task: {{kind: image_classification, input: [3, 8, 8], classes: 5}}
network: {network}
"""


def space_of(
    network: str, name: str = "own", *, text: str = SPACE, more: str = "", modules: Sequence[str] = ()
) -> SearchSpace:
    """The space of a network written as one node; `own:` stands for this module."""
    allow_modules([__name__, *modules])
    written = text.format(name=name, network=network.replace("own:", f"{__name__}:")) + more
    return SearchSpace(parse_space(written, "own.yaml"))


def trick(name: str) -> SearchSpace:
    """The space of widths around one trick."""
    widths = "[16, 32, 48]" if name == "shuffle" else "[8, 12, 16]"
    return space_of(f"{{type: 'own:Trick', width: {{choice: {widths}}}, trick: {name}}}", name)


GROWTHS = ", ".join(["{choice: [4, 8, 12]}"] * 3)
OWN = {
    "dense_net": f"{{type: 'own:DenseNet', growth: [{GROWTHS}]}}",
    "transformer": (
        "{type: 'own:Transformer', heads: {choice: [2, 3]}, inner: {choice: [1, 2, 4]}, depth: {choice: [1, 2, 3]},"
        " ratio: {choice: [1.0, 2.0]}}"
    ),
    "torch_transformer": (
        "{type: 'own:TorchTransformer', heads: {choice: [1, 2, 3]}, depth: {choice: [1, 2]}, "
        "ratio: {choice: [1.0, 2.0]}}"
    ),
}
TRICKS = (
    "flatten", "reshape", "shuffle", "channel_shuffle", "group_width", "group_norm", "instance_norm", "transposed",
    "tied", "weight_norm", "direct", "prelu", "table", "drawn", "scale", "window",
)  # fmt: skip
COMPOSED = {
    "concatenation": (
        "{type: sequential, layers: [{type: conv, width: {choice: [4, 8]}}, {type: parallel, join: concat, branches: "
        "{subset: {size: [1, 3], of: {a: {type: conv_norm_activation, width: {choice: [4, 6, 8]}}, b: {type: conv, "
        "width: {choice: [2, 4]}, kernel: 1}, c: {type: max_pool}}}}}, {type: conv_norm_activation, width: 6, norm: "
        "{kind: group, groups: 2}}, {type: global_average_pool}, {type: linear_head}]}"
    ),
    "optional": (
        "{type: sequential, layers: [{type: conv, width: 8}, {optional: {type: basic_block, width: 8}}, {optional: "
        "{type: conv_norm_activation, width: {choice: [8, 12]}}}, {type: batch_norm}, {type: global_average_pool}, "
        "{type: linear_head, hidden: {choice: [0, 6]}}]}"
    ),
    "typed": (
        "{type: sequential, layers: [{type: conv, width: {choice: [8, 16]}}, {choice: {conv: {type: conv, kernel: "
        "{choice: [1, 3, 5]}}, depthwise: {type: depthwise_separable, width: {choice: [4, 8]}}, pool: {type: max_pool},"
        " none: {type: identity}}}, {repeat: {choice: [0, 1, 2]}, of: {type: group_norm, groups: 2}}, "
        "{type: global_average_pool}, {type: linear_head}]}"
    ),
}
