"""What one architecture of a space costs, found by building its network without memory and counting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from nasengine.build import example_input, instantiate, resolve
from nasengine.build.initial_weights import WithoutInitialWeights
from nasengine.costs.counting import count_modules, total
from nasengine.costs.records import Costs
from nasengine.errors import BuildError
from nasengine.records import Architecture
from nasengine.space import SearchSpace


def costs(space: SearchSpace, architecture: Architecture, *, network: Mapping[str, Any] | None = None) -> Costs:
    """What an architecture's network costs, at batch 1 on the task's input.

    Args:
        space: must describe a network.
        architecture: of this space.
        network: arguments of the root network that replace those of the space, as in `build`.

    Raises:
        InputError: a space that has no plain network.
        BuildError: the architecture's network cannot be built or cannot run.
    """
    return total(measure(space, architecture, network=network).values())


def measure(
    space: SearchSpace, architecture: Architecture, *, network: Mapping[str, Any] | None = None
) -> dict[str, Costs]:
    """What each part of an architecture's network costs by itself, the parts inside it left out.

    A part is called after the node of the space that built it, and inside that as the module calls it; so the
    same part has the same name in every architecture that has it.

    Args and Raises: those of `costs`.
    """
    call = resolve(space, architecture, network=network)
    example = example_input(space, architecture)
    try:
        with torch.device("meta"), WithoutInitialWeights():
            built = instantiate(call)
        modules = count_modules(built, example)
    except Exception:  # a constructor or a forward that reads a value fails on meta tensors and nowhere else
        built, modules = _count_with_memory(space, architecture, call)
    names = part_names(built)
    parts: dict[str, Costs] = {}
    for name, amount in modules.items():
        part = names[name]
        parts[part] = total((parts[part], amount)) if part in parts else amount
    return parts


def _count_with_memory(space: SearchSpace, architecture: Architecture, call: Any) -> tuple[nn.Module, dict[str, Costs]]:
    state = torch.get_rng_state()
    try:
        with torch.device("cpu"):
            built = instantiate(call)
        return built, count_modules(built, example_input(space, architecture, device="cpu"))
    except BuildError:
        raise
    except Exception as error:
        raise BuildError(f"{space.name}: the network of {architecture.key} cannot run: {error}") from error
    finally:
        torch.set_rng_state(state)


def part_names(network: nn.Module) -> dict[str, str]:
    """{module name: name of the part}: the path of the node that built it, then the names inside that module."""
    names: dict[str, str] = {}

    def name(module: nn.Module, full: str, inherited: str) -> None:
        own = getattr(module, "node_path", inherited)
        names[full] = own
        for child_name, child in module.named_children():
            name(child, f"{full}.{child_name}" if full else child_name, f"{own}.{child_name}")

    name(network, "", "")
    return names
