"""Spaces whose steps are measured: shipped ones, the same with only some kinds of choices left open, and small ones.

What is closed takes its largest option, so all these variants of a space have the same largest network: the time of
its compiled step is the measure for what each kind of choice costs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from nasengine.space import SearchSpace, load_space, space_from_mapping

HOLES = ("choice", "range", "optional", "repeat")
ALL = frozenset({"*"})


def opened(resolved: Mapping[str, Any], kinds: Collection[str]) -> dict[str, Any]:
    """A space in which only holes of some kinds stay open, those of the task never.

    Args:
        resolved: the space as a mapping.
        kinds: keys that holes stand at ("heads", "kernel"; under `let` without what follows "_"), and "optional" and
            "repeat" for depth; "*" for all.
    """
    space = {key: value for key, value in resolved.items() if key in ("name", "about", "source", "let", "network")}
    space["task"] = _close(resolved["task"], "task", frozenset())
    for part in ("let", "network"):
        if part in space:
            space[part] = _close(space[part], part, frozenset(kinds))
    return space


def _close(value: Any, kind: str, kinds: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_close(item, kind, kinds) for item in value]
    if not isinstance(value, Mapping):
        return value
    is_open = bool(kinds & {"*", kind.partition("_")[0], kind})
    if "choice" in value and not is_open:
        options = value["choice"]
        return _close(options[list(options)[-1]], kind, kinds) if isinstance(options, Mapping) else max(options)
    if "range" in value and not is_open:
        return value["range"][1]
    if "optional" in value and not kinds & {"*", "optional"}:
        return _close(value["optional"], kind, kinds)
    if "repeat" in value:
        return {"repeat": _close(value["repeat"], "repeat", kinds), "of": _close(value["of"], kind, kinds)}
    return {key: _close(item, kind if key in HOLES else key, kinds) for key, item in value.items()}


def vision_transformer(kinds: Collection[str] = ALL) -> SearchSpace:
    """`vit_resnas_tiny`, of which only some kinds of choices are open."""
    return space_from_mapping(opened(load_space("vit_resnas_tiny").tree.resolved, kinds))


def short_transformer(kinds: Collection[str] = ALL, *, tiny: bool = False) -> SearchSpace:
    """The same with two blocks a stage, which compiles in a third of the time; or with images of 32x32 too."""
    resolved = dict(load_space("vit_resnas_tiny").tree.resolved)
    stages = [{**stage, "blocks": stage["blocks"][:2]} for stage in resolved["network"]["stages"]]
    resolved["network"] = {**resolved["network"], "stages": stages}
    if tiny:
        resolved["task"] = {**resolved["task"], "input": [3, 32, 32], "classes": 10}
        widths = ([16, 12], [24, 20], [32, 28])
        resolved["network"] |= {
            "patch": 4,
            "stages": [
                {
                    "width": {"choice": width},
                    "blocks": [_small_block(number), {"optional": _small_block(number)}],
                }
                for number, width in enumerate(widths)
            ],
        }
    return space_from_mapping(opened(resolved, kinds))


def _small_block(stage: int) -> dict[str, Any]:
    width = {"same_as": f"network.stages.{stage}.width"}
    heads, hidden = {"choice": [3, 2, 1]}, {"range": [16, 32, 8]}
    return {"type": "transformer_block", "width": width, "heads": heads, "head_dim": 8, "mlp_width": hidden}


def mobile_network(name: str, kinds: Collection[str] = ALL) -> SearchSpace:
    """`mobile_cnn` or `mobile_cnn_cifar` at their largest resolution, all architectures of one plan."""
    return space_from_mapping(_of_one_plan(load_space(name).tree.resolved, kinds))


def short_mobile_network(kinds: Collection[str] = ALL) -> SearchSpace:
    """The first half of `mobile_cnn_cifar`: compiles in half the time.

    Args:
        kinds: of choices that are open; "last" is the width of the last convolution alone.
    """
    resolved = dict(load_space("mobile_cnn_cifar").tree.resolved)
    layers = resolved["network"]["layers"]
    resolved["let"] = {name: width for name, width in resolved["let"].items() if name != "width_4"}
    resolved["network"] = {**resolved["network"], "layers": [*layers[:5], *layers[8:]]}
    space = _of_one_plan(resolved, kinds)
    if "last" in kinds:
        space["network"]["layers"][-3]["width"] = layers[-3]["width"]
    return space_from_mapping(space)


def _of_one_plan(resolved: Mapping[str, Any], kinds: Collection[str]) -> dict[str, Any]:
    """A mobile network without the choices that no mask can express.

    The first block skips its input where its width happens to be that of the stem, and the head has a hidden layer in
    some architectures only.
    """
    layers = list(resolved["network"]["layers"])
    layers[1] = {**layers[1], "width": 24}
    layers[-1] = {**layers[-1], "hidden": max(layers[-1]["hidden"]["choice"])}
    return opened({**resolved, "network": {**resolved["network"], "layers": layers}}, kinds)


def typed_network(open_types: bool) -> SearchSpace:
    """Four places at 16x16, each a convolution, a depthwise separable one or an inverted bottleneck of 64 channels."""
    place: Any = {
        "choice": {
            "conv": {"type": "conv_norm_activation", "width": 64, "kernel": 3},
            "separable": {"type": "depthwise_separable", "width": 64},
            "bottleneck": {"type": "mbconv", "width": 64, "expansion": 4},
        }
    }
    places = [place if open_types else place["choice"]["bottleneck"] for _ in range(4)]
    stem = {"type": "conv_norm_activation", "width": 64, "kernel": 3, "stride": 2}
    return space_from_mapping(
        {
            "name": "typed_places",
            "about": "places with layers of different type",
            "task": {"kind": "image_classification", "input": [3, 32, 32], "classes": 10},
            "network": {
                "type": "sequential",
                "layers": [stem, *places, {"type": "global_average_pool"}, {"type": "linear_head"}],
            },
        }
    )
