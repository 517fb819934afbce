"""Builds the plain network of an architecture, and checks that a space describes networks that can be built."""

from __future__ import annotations

from nasengine.build.check import check_space
from nasengine.build.module_call import ModuleCall, NodeError, instantiate
from nasengine.build.network import build, check_overrides, example_input, refuse_what_has_no_network, resolve
from nasengine.build.types import allow_modules, look_up_type

__all__ = [
    "ModuleCall",
    "NodeError",
    "allow_modules",
    "build",
    "check_overrides",
    "check_space",
    "example_input",
    "instantiate",
    "look_up_type",
    "refuse_what_has_no_network",
    "resolve",
]
