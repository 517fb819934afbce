"""The commands of `nasengine`, in the order of its help page. What they need is imported when one of them runs."""

from __future__ import annotations

from typing import Annotated

import typer

from nasengine import __version__
from nasengine.cli.checking import check, strategies
from nasengine.cli.comparing import compare
from nasengine.cli.console import say
from nasengine.cli.dashboard import dashboard
from nasengine.cli.rank import rank
from nasengine.cli.reporting import report
from nasengine.cli.runs import export, retrain, status
from nasengine.cli.searching import resume, search
from nasengine.cli.spaces import cost, describe, sample, schema, spaces

HELP = """Neural architecture search: a space in YAML in, the best networks out as plain PyTorch.

What to search is one YAML file, how to search another, what was found a folder. SPACE and STRATEGY are files or
names of shipped ones; RUN is the folder of a run.

\b
nasengine spaces                                # what can be searched
nasengine search quickstart random_search       # search, retrain the best, export it
nasengine resume runs/NAME                      # go on after a crash, as if nothing had happened
nasengine export runs/NAME --to DIR             # model.py, weights.safetensors, model.onnx

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 interrupted.
"""

app = typer.Typer(
    name="nasengine",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        say(f"nasengine {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


COMMANDS = (
    search, resume, status, report, dashboard, retrain, export, compare, rank, check, spaces, strategies, describe,
    sample, cost, schema,
)  # fmt: skip

for command in COMMANDS:
    app.command()(command)


def run() -> None:
    """The entry point of the console script."""
    app()


if __name__ == "__main__":
    run()
