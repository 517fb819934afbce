"""Arguments and options that several commands share, each described once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nasengine.errors import InputError

SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="A YAML file, or the name of a shipped space.")]
StrategyName = Annotated[str, typer.Argument(metavar="STRATEGY", help="A YAML file, or a shipped strategy's name.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Json = Annotated[bool, typer.Option("--json", help="JSON for scripts: one object a line.")]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="MODULE", help="A Python module of yours that YAML may name. Repeatable."),
]


def load_plugin_modules(modules: list[str] | None) -> None:
    """Import the modules of --plugin; they are also looked for in the working folder, as with `python -m`.

    Raises:
        InputError: a module cannot be imported, or what it declares does not fit.
    """
    if not modules:
        return
    from nasengine.registry import load_plugins
    from nasengine.search.tables import plugin_tables

    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        load_plugins(modules, plugin_tables())
    except InputError:
        raise
    except Exception as error:  # the plug-in's own code, run by importing it
        raise InputError(f"plug-in {', '.join(modules)} cannot be imported: {type(error).__name__}: {error}") from error
