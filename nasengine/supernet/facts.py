"""Facts of an architecture: what a masked pass must know of its network, and what it cannot express by masks.

`inputs`, `kernel`, `group` and `there` may differ within a pass: which input channels of a layer are on, the size of
its kernel, the channels of a group of its norm, whether it is there at all. `form` may not: the class of a module and
its settings that are no widths. Whole numbers that a module of the user's keeps for itself say nothing here, since
they may be widths; whether they matter is found by running masks beside views (`proof`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from torch import nn

from nasengine.supernet.cuts import Axis, Cut
from nasengine.supernet.keys import layers
from nasengine.supernet.masked_layers import BatchNorm, Convolution, base_of

Fact = tuple[str, str]  # what, and of which layer (its key)
Facts = Mapping[Fact, Hashable]

NOT_SETTINGS = frozenset(["training", "node_path", "inplace"])
WIDTHS = frozenset(
    [
        *("in_channels", "out_channels", "in_features", "out_features", "num_features", "normalized_shape"),
        *("embed_dim", "kdim", "vdim", "num_heads", "num_channels", "num_groups", "groups", "kernel_size", "padding"),
        *("momentum", "num_parameters", "num_embeddings", "embedding_dim"),
    ]
)


def read_facts(network: nn.Module, cuts: Mapping[str, Cut]) -> dict[Fact, Hashable]:
    """All facts of a network.

    Args:
        cuts: key of a tensor -> the part of the shared tensor that it is.
    """
    found: dict[Fact, Hashable] = {}
    for layer in layers(network):
        key, module = layer.key, layer.module
        if type(module) is nn.Identity:
            continue  # as if it were not there
        found["there", key] = 1
        found["form", key] = form_of(module, cuts, key)
        inputs = inputs_of(module, cuts, key)
        if inputs is not None:
            found["inputs", key] = _channels(inputs)
        if isinstance(module, Convolution):
            found["kernel", key] = module.kernel_size, module.padding
        elif isinstance(module, nn.GroupNorm):
            found["group", key] = module.num_channels // module.num_groups
            found["groups", key] = module.num_groups
    return found


def inputs_of(layer: nn.Module, cuts: Mapping[str, Cut], key: str) -> Axis | None:
    """Which channels of the largest layer's input an architecture's layer sees; None for what sees each by itself."""
    if base_of(layer) is None or isinstance(layer, (*BatchNorm, nn.PReLU, nn.Embedding)):
        return None
    if isinstance(layer, nn.MultiheadAttention):
        cut = cuts.get(f"{key}.in_proj_weight")
        return None if cut is None else cut.axes[1]
    cut = cuts.get(f"{key}.weight")
    if isinstance(layer, nn.LayerNorm):
        return slice(0, layer.normalized_shape[-1]) if cut is None else cut.axes[-1]
    if isinstance(layer, nn.GroupNorm):
        return slice(0, layer.num_channels) if cut is None else cut.axes[0]
    if isinstance(layer, nn.ZeroPad1d) or (isinstance(layer, Convolution) and layer.groups > 1):
        return None
    return None if cut is None else cut.axes[1]


def _channels(axis: Axis) -> int | tuple[int, ...]:
    """How many channels, where they are the first ones, else which."""
    if isinstance(axis, tuple):
        return axis
    return tuple(range(axis.start, axis.stop)) if axis.start else int(axis.stop)


def form_of(module: nn.Module, cuts: Mapping[str, Cut], key: str) -> Hashable:
    """Class and settings; for PyTorch's own layers all but widths, for others those that cannot be widths."""
    kind = type(module)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(module, nn.ZeroPad1d) and module.padding[0] == 0:
        return name, module.padding[1] >= 0  # zeros behind the features: how many follows from widths
    if isinstance(module, nn.MultiheadAttention):
        return name, module.head_dim, module.batch_first, module.dropout
    known = base_of(module) is not None
    own = kind.__module__.startswith("torch.nn.")
    plain = (bool, str, float, type(None), int, tuple) if known or own else (bool, str, float, type(None))
    settings: list[Any] = [
        (attribute, value)
        for attribute, value in sorted(vars(module).items())
        if not attribute.startswith("_")
        and attribute not in NOT_SETTINGS
        and not (known and attribute in WIDTHS)
        and isinstance(value, plain)
        and not (isinstance(value, int) and not isinstance(value, bool) and int not in plain)
    ]
    if isinstance(module, Convolution) and module.groups > 1:
        settings.append(("group", module.in_channels // module.groups, module.out_channels // module.groups))
    if own and not known:
        # A layer that nobody has taught to be masked: it may stand in a pass, but not change its shape in it.
        settings += [
            (held, cuts[f"{key}.{held}"].shape) for held in sorted(module._parameters) if f"{key}.{held}" in cuts
        ]
    return name, tuple(settings)
