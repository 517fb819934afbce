"""Neural architecture search: a space in YAML in, the best networks out as plain PyTorch code.

    import nasengine as nas

    space = nas.load_space("quickstart")
    run = nas.search(space, nas.load_strategy("random_search"), run="runs/first")
    network = nas.build(space, run.best.architecture)

Names are imported when they are first used, since torch takes longer to load than most commands take to run.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from typing import Any

__version__ = "0.1.0"

# Name -> the module that defines it.
_HOMES = {
    "Architecture": "nasengine.records",
    "BuildError": "nasengine.errors",
    "Comparison": "nasengine.report.judging",
    "Costs": "nasengine.costs",
    "ExportError": "nasengine.errors",
    "InputError": "nasengine.errors",
    "NasEngineError": "nasengine.errors",
    "Objective": "nasengine.objectives",
    "RankAgreement": "nasengine.search.ranking",
    "Run": "nasengine.search.api",
    "RunError": "nasengine.errors",
    "SearchSpace": "nasengine.space",
    "Strategy": "nasengine.search.language.settings",
    "Supernet": "nasengine.supernet",
    "Trial": "nasengine.records",
    "build": "nasengine.build",
    "check_space": "nasengine.search.fitting",
    "check_strategy": "nasengine.search.language.strategy",
    "compare": "nasengine.search.comparing",
    "compare_runs": "nasengine.search.comparing",
    "costs": "nasengine.costs",
    "export": "nasengine.search.api",
    "load_plugins": "nasengine.evaluators",
    "load_space": "nasengine.space",
    "load_strategy": "nasengine.search.language.strategy",
    "open_run": "nasengine.search.api",
    "rank": "nasengine.search.ranking",
    "report": "nasengine.search.reporting",
    "resume": "nasengine.search.api",
    "retrain": "nasengine.search.api",
    "search": "nasengine.search.api",
    "shipped": "nasengine.space",
}

_PACKAGES = ("build", "costs", "export", "report", "search")

__all__ = [*_HOMES, "__version__"]


class _CallablePackage(types.ModuleType):
    """A sub-package that can be called: it then is the function of the same name."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return _find(_function_of(self))(*arguments, **keywords)

    # `help` and `inspect` see the function too; it is imported when they ask, as it may need torch.
    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_find(_function_of(self)))

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return _page(_function_of(self))


def _function_of(package: types.ModuleType) -> str:
    return package.__name__.rpartition(".")[2]


def _page(name: str) -> str:
    """The function's docstring, with its signature below the first line."""
    function = _find(name)
    first, _, rest = (inspect.getdoc(function) or "").partition("\n")
    return f"{first}\n\n    {name}{inspect.signature(function)}\n{rest}"


class _Front(types.ModuleType):
    """The package itself. `build`, `costs`, `export`, `report` and `search` are sub-packages as well as functions;
    whichever of the two is imported first, `nas.build` can be called and `nasengine.build.resolve` is found.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, types.ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front


def _find(name: str) -> Any:
    return getattr(importlib.import_module(_HOMES[name]), name)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nasengine' has no attribute {name!r}")
    if name in _PACKAGES:
        return importlib.import_module(f"nasengine.{name}")
    value = _find(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
