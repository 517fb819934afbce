"""A space and an architecture become a plain network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build.inference import Settings, infer, is_composition, make_explicit, target_of
from nasengine.build.module_call import ModuleCall, instantiate
from nasengine.build.shapes import Shape
from nasengine.build.types import parameters
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.filling import Call, Filled
from nasengine.space.holes import ListOf, MapOf, Node, Value
from nasengine.space.language.calls import check_call
from nasengine.space.language.yaml import YamlMapping, from_plain
from nasengine.space.space import SearchSpace


def build(
    space: SearchSpace,
    architecture: Architecture,
    *,
    network: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> nn.Module:
    """The plain network of an architecture, on the CPU; each module made for a node of the space has `node_path`.

    Args:
        space: must describe a network, and no quantization.
        architecture: of this space.
        network: arguments of the root network that replace those of the space for now; none that is searched.
        seed: of the initial weights; the global generator is then left as it was. None draws from that.

    Raises:
        InputError: a space that has no plain network, or `network` names what it may not.
        BuildError: the architecture's network cannot be built.
    """
    call = resolve(space, architecture, network=network)
    with torch.device("cpu"):
        if seed is None:
            return instantiate(call)
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(seed)
        try:
            return instantiate(call)
        finally:
            torch.set_rng_state(state)


def resolve(space: SearchSpace, architecture: Architecture, *, network: Mapping[str, Any] | None = None) -> ModuleCall:
    """The constructor calls that build an architecture's network, with every inferred argument written out.

    Args and Raises: those of `build`.
    """
    refuse_what_has_no_network(space)
    check_overrides(space, network)
    return explicit_network(space.fill(architecture), network)


def explicit_network(filled: Filled, network: Mapping[str, Any] | None = None) -> ModuleCall:
    """The same for a filled tree that is known to be a network."""
    root = filled.root
    if network:
        root = replace(root, arguments={**root.arguments, **network})
    shape, settings = task_of(filled)
    if is_composition(root):
        return infer(root, shape, settings)[0]
    return make_explicit(root, shape, settings)


def task_of(filled: Filled) -> tuple[Shape, Settings]:
    """(C, H, W) of the task's input, and its settings.

    Raises:
        InputError: the space has no task.
    """
    if filled.input_shape is None or filled.task is None:
        raise InputError(Problem("a network needs a task, which says what goes into it", filled.root.mark))
    return filled.input_shape, filled.task.settings


def example_input(space: SearchSpace, architecture: Architecture, batch: int = 1, device: str = "meta") -> Tensor:
    """A batch of inputs as the task gives them.

    Args:
        device: on "meta" it has no memory; elsewhere its pixels are normally distributed, the same on every call.
    Returns: (batch, C, H, W)
    """
    shape = (batch, *task_of(space.fill(architecture))[0])
    if device == "meta":
        return torch.empty(shape, device="meta")
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


def refuse_what_has_no_network(space: SearchSpace) -> None:
    """Refuse a space that is valid but describes something else than plain networks.

    Raises:
        InputError: it describes a proxy, has no task, or asks for quantization.
    """
    tree = space.tree
    if tree.root_key != "network" or tree.task is None:
        raise InputError(
            Problem(
                f"{space.name} describes a {tree.root_key}, not a network: it can be sampled and enumerated, not built",
                tree.root.mark,
            )
        )
    if tree.quantization:
        raise InputError(
            Problem(
                f"{space.name} asks for quantization, which this version cannot build: "
                "its networks would silently be those in floating point",
                tree.quantization[0].mark,
                "take the `quantization:` part out to search the network alone",
            )
        )


def check_overrides(space: SearchSpace, network: Mapping[str, Any] | None) -> None:
    """Check that a phase's `network:` names only arguments of the root network that are not searched.

    Raises:
        InputError: with all that are wrong.
    """
    if not network:
        return
    root = space.tree.root
    entries = root.entries if isinstance(root, MapOf) else {}
    type_name = root.type_name if isinstance(root, MapOf) else None
    if type_name is None:
        raise InputError("the arguments of a network cannot be replaced where its type is itself a choice")
    target = target_of(Call(type_name, {}, "network", root.mark, {}))
    problems = [
        Problem(f"network.{name} of {space.name} is searched, so no phase can replace it")
        for name in network
        if name in entries and _has_hole(entries[name])
    ]
    written = from_plain(dict(network), "network")
    assert isinstance(written, YamlMapping)
    # What is not replaced keeps its value, so nothing is missing.
    wrong = check_call(
        written, target, where=f"network of {space.name}", name=type_name, inferred=parameters(target).named, own=()
    )
    problems += [Problem(problem.message, None, problem.expected) for problem in wrong]
    if problems:
        raise InputError(problems)


def _has_hole(node: Node) -> bool:
    if isinstance(node, Value):
        return False
    if isinstance(node, ListOf):
        return any(map(_has_hole, node.items))
    if isinstance(node, MapOf):
        return any(map(_has_hole, node.entries.values()))
    return True
