"""A constructor call with nothing left to decide or to infer, and how it becomes a module.

`ModuleCall` is what an exported `model.py` writes down and what `instantiate` carries out; both see the same.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from nasengine.errors import BuildError, Mark, Problem

SCALARS = frozenset({type(None), bool, int, float, str})  # asked first, as asking for a mapping takes much longer


class NodeError(BuildError):
    """One node of a space cannot be built or run; `problem` says which, where in its file, and why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))

    def __reduce__(self) -> tuple[type[NodeError], tuple[Problem]]:
        return type(self), (self.problem,)


@dataclass(frozen=True)
class ModuleCall:
    """`target(**arguments)`, every inferred argument written out.

    Args:
        target: the class to call.
        type: what `type:` in the space names it.
        arguments: in the order of the constructor; scalars, lists, dictionaries, and calls among them; None for
            an optional module that is absent.
        path: of the node, at the place where it stands; shared decisions do not share it.
        mark: of the node in the user's file.
    """

    target: type[nn.Module]
    type: str
    arguments: Mapping[str, Any]
    path: str
    mark: Mark | None = None

    def at(self, path: str, arguments: Mapping[str, Any]) -> ModuleCall:
        """The same call at another path.

        Args:
            path: of it.
            arguments: its own, at other paths too.
        """
        made = ModuleCall(self.target, self.type, arguments, path, self.mark)
        if "configuration" in vars(self):
            vars(made)["configuration"] = self.configuration
        return made

    def fail(self, reason: str, expected: str = "") -> NodeError:
        """The error that this node is at fault."""
        return NodeError(Problem(f"{self.type} in {self.path} {reason}", self.mark, expected))

    @functools.cached_property
    def configuration(self) -> Hashable:
        """Equal for two calls that build equal modules, wherever they stand."""
        return self.target, _hashable(self.arguments)


def _hashable(value: Any) -> Hashable:
    if type(value) in SCALARS:
        return type(value).__name__, value
    if isinstance(value, ModuleCall):
        return value.configuration
    if isinstance(value, Mapping):
        return tuple((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(item) for item in value)
    # 1, 1.0 and True are equal as keys, but not as arguments.
    return type(value).__name__, value


def instantiate(call: ModuleCall) -> nn.Module:
    """Build the module, its parts first; each built module gets the attribute `node_path`.

    Raises:
        NodeError: a constructor refuses its arguments.
    """
    arguments = {name: _instantiate_value(value) for name, value in call.arguments.items()}
    try:
        module = call.target(**arguments)
    except Exception as error:
        raise call.fail(f"cannot be built: {one_line(error)}") from error
    vars(module)["node_path"] = call.path
    return module


def _instantiate_value(value: Any) -> Any:
    if isinstance(value, ModuleCall):
        return instantiate(value)
    if isinstance(value, Mapping):
        return {key: _instantiate_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_instantiate_value(item) for item in value]
    return value


def one_line(error: BaseException) -> str:
    """The first line of an error's text, or its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
