"""One small space for each entry of NETWORK_TYPES: between a convolution and a head, or, for a network, alone."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Sequence
from typing import Literal

from torch import nn

from nasengine.build.inference import INFERRED
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace, parse_space

# How YAML may use a type on a feature map of 12×8×8 (or, for those that take one, a vector of 12). A new type needs no
# line here: it is tried with its defaults, and where an argument has none with one of its kind. Only a type that takes
# other modules, or that such an argument does not suit, is written out; so are those with arguments worth trying.
MAP, VECTOR, ROOT = "map", "vector", "root"
BLOCK = "{type: transformer_block, width: 6, heads: 3, head_dim: 2, mlp_width: 9}"
TOKENS = (
    "{{type: vit_resnas, patch: 2, stem_width: 4, stem_stride: 1, stages: [{{width: 6, blocks: [{{type: "
    "transformer_block, width: 6, heads: 2, head_dim: 4, mlp_width: 8}}, {}]}}, {{width: 8, blocks: []}}]}}"
)
EXAMPLES: dict[str, tuple[str, str]] = {
    "sequential": (MAP, "{type: sequential, layers: [{type: conv, width: 6}, {optional: {type: identity}}]}"),
    "parallel": (MAP, "{type: parallel, join: concat, branches: [{type: conv, width: 6}, {type: max_pool}]}"),
    "residual": (MAP, "{type: residual, body: {type: conv, width: 6, stride: 2}, activation: relu}"),
    "cell": (MAP, "{type: cell, nodes: 3, edges: {all: {choice: {a: {type: conv}, b: {type: identity}}}}}"),
    "conv": (MAP, "{type: conv, width: 6, kernel: 5, stride: 2, groups: 3}"),
    "conv_norm_activation": (MAP, "{type: conv_norm_activation, width: 6, norm: {kind: group, groups: 2}}"),
    "depthwise_separable": (MAP, "{type: depthwise_separable, width: 6, stride: 2}"),
    "basic_block": (MAP, "{type: basic_block, width: 6, stride: 2}"),
    "bottleneck": (MAP, "{type: bottleneck, width: 6, pool: 2}"),
    "mbconv": (MAP, "{type: mbconv, width: 12, expansion: 3, squeeze_excite: true}"),
    "max_pool": (MAP, "{type: max_pool, kernel: 2, stride: 2}"),
    "subsample": (MAP, "{type: subsample, stride: 2}"),
    "group_norm": (MAP, "{type: group_norm, groups: 4}"),
    "activation": (MAP, "{type: activation, kind: hardswish}"),
    "dropout": (MAP, "{type: dropout, probability: 0.1}"),
    "zero": (MAP, "{type: parallel, join: add, branches: [{type: zero}, {type: identity}]}"),
    "linear_head": (VECTOR, "{type: linear_head, hidden: 6, dropout: 0.1}"),
    "residual_network": (ROOT, "{type: residual_network, stem_width: 8, widths: [8, 12], downsample_at: [2]}"),
    "nas_bench_201_network": (ROOT, "{type: nas_bench_201_network, width: 4, cells_per_stage: 1, cell: {type: conv}}"),
    "vit_resnas": (ROOT, TOKENS.format(f"{{optional: {BLOCK}}}")),
    "transformer_block": (ROOT, TOKENS.format(BLOCK)),
}  # fmt: skip

SPACE = """
name: example
about: one entry of the table between a convolution and a head
task: {{kind: image_classification, input: [3, 8, 8], classes: 5}}
network: {root}
"""

SERIES = "{{type: sequential, layers: [{{type: conv, width: 12}}, {before}{node}, {after}{{type: linear_head}}]}}"


# What stands for a required argument of a kind.
SIZES = "[4, 8]"
ARGUMENTS: dict[object, str] = {
    int: "3",
    float: "0.5",
    bool: "true",
    str: "relu",
    list[int]: SIZES,
    Sequence[int]: SIZES,
    tuple[int, ...]: SIZES,
}


def example(name: str) -> tuple[str, str]:
    """Where a type can stand, and how it is written."""
    if name in EXAMPLES:
        return EXAMPLES[name]
    return derived_example(name, NETWORK_TYPES[name])


def derived_example(name: str, target: type[nn.Module]) -> tuple[str, str]:
    """The same for a type that nobody has written out, from its signature."""
    parameters = inspect.signature(target).parameters
    kinds = typing.get_type_hints(target.__init__)
    required = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
    written = ""
    for key in required:
        if key in INFERRED:
            continue
        kind = kinds.get(key)
        value = "12" if key == "width" else ARGUMENTS.get(kind)
        if typing.get_origin(kind) is Literal:
            value = str(typing.get_args(kind)[0])
        if value is None:
            raise LookupError(
                f"nothing is known to suit the argument {key!r} ({kind}) of {name}: write one line of YAML for it in "
                "EXAMPLES of tests/contracts/examples.py"
            )
        written += f", {key}: {value}"
    place = VECTOR if "in_features" in parameters else ROOT if "classes" in parameters else MAP
    return place, f"{{type: {name}{written}}}"


def space_with(name: str) -> SearchSpace:
    """The space in which a type is tried."""
    place, node = example(name)
    if place == ROOT:
        return parse(SPACE.format(root=node))
    before = "{type: global_average_pool}, " if place == VECTOR else ""
    after = "" if place == VECTOR or name in ("global_average_pool", "flatten") else "{type: global_average_pool}, "
    return parse(SPACE.format(root=SERIES.format(before=before, node=node, after=after)))


def parse(text: str) -> SearchSpace:
    return SearchSpace(parse_space(text, "example.yaml"))
