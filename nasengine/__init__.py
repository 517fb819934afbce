"""Neural architecture search: a space in YAML in, the best networks out as plain PyTorch code.

    import nasengine as nas

    space = nas.load_space("quickstart")
    run = nas.search(space, nas.load_strategy("random_search"), run="runs/first")
    network = nas.build(space, run.best.architecture)

Names are imported when they are first used, since torch takes longer to load than most commands take to run.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

__version__ = "0.1.0"

# Name -> the module that defines it.
_HOMES = {
    "Architecture": "nasengine.records",
    "BuildError": "nasengine.errors",
    "Costs": "nasengine.costs",
    "ExportError": "nasengine.errors",
    "InputError": "nasengine.errors",
    "NasEngineError": "nasengine.errors",
    "Objective": "nasengine.objectives",
    "Run": "nasengine.search.api",
    "RunError": "nasengine.errors",
    "SearchSpace": "nasengine.space",
    "Strategy": "nasengine.search.settings",
    "Trial": "nasengine.records",
    "build": "nasengine.build",
    "check_space": "nasengine.build",
    "check_strategy": "nasengine.search.strategy",
    "costs": "nasengine.costs",
    "export": "nasengine.export",
    "load_space": "nasengine.space",
    "load_strategy": "nasengine.search.strategy",
    "open_run": "nasengine.search.api",
    "resume": "nasengine.search.api",
    "retrain": "nasengine.search.api",
    "search": "nasengine.search.api",
    "shipped": "nasengine.space",
}

__all__ = [*_HOMES, "__version__"]


class _Front(types.ModuleType):
    """The package itself. `nas.build`, `nas.costs`, `nas.search` and `nas.export` are functions, and stay so when
    the sub-packages of the same names are imported, which would otherwise take their places.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'nasengine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
