"""Arguments and options that several commands share, each described once."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nasengine.errors import InputError, Problem

SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="A YAML file, or the name of a shipped space.")]
StrategyName = Annotated[str, typer.Argument(metavar="STRATEGY", help="A YAML file, or a shipped strategy's name.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="How many processes; one for each core, or all that a named cluster has.")
]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster; auto for the one on this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON for scripts: one object a line.")]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="MODULE", help="A Python module of yours that YAML may name. Repeatable."),
]


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of the strategy. Repeatable."),
]


def load_plugin_modules(modules: list[str] | None) -> None:
    """Import the modules of --plugin, which may lie in the working folder, as with `python -m`.

    Raises:
        InputError: a module cannot be imported, or what it declares does not fit.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: a file in the working folder must not hide an installed package
    if not modules:
        return
    from nasengine.evaluators import load_plugins

    load_plugins(modules)


def read_options(text: str, also: str = "") -> Mapping[str, Any]:
    """The JSON object in a file, or on standard input for `-`.

    Args:
        also: what else the argument may be, for the message.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    expected = f'expected a JSON file with {{"choice": option, …}}{also}'
    try:
        content = sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
        options = json.loads(content)
    except OSError as error:
        problem = Problem(f"the architecture {text} cannot be read: {error.strerror}", expected=expected)
        raise InputError(problem) from error
    except (ValueError, RecursionError) as error:
        raise InputError(Problem(f"{text} holds no JSON: {error}", expected=expected)) from error
    if not isinstance(options, dict):
        raise InputError(Problem(f"{text} holds no JSON object", expected=expected))
    return options
