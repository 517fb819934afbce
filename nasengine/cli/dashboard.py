"""`dashboard`: a run in the browser, as optuna-dashboard shows it, while it goes on or afterwards."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from nasengine.cli.console import is_terminal, say
from nasengine.cli.guard import guarded
from nasengine.cli.options import RunFolder
from nasengine.errors import InputError, Problem

PACKAGES = ("optuna", "optuna_dashboard")


@guarded
def dashboard(
    run: RunFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine; 0 takes any free one.")] = 8080,
    trials: Annotated[
        int, typer.Option(min=2, help="Of a search with more, show the best half and the last half of so many.")
    ] = 2000,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page; only done from a terminal.")
    ] = True,
) -> None:
    """Show a run in the browser with optuna-dashboard, as it goes on.

    The page shows a copy in memory: what you change there is gone with it, and nothing of the run is written. It can be
    reached from this machine only. Ctrl-C ends it.

    \b
    nasengine dashboard runs/quickstart-random_search-1
    nasengine dashboard RUN --port 0 --no-browser
    """
    missing = [name.replace("_", "-") for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        found = f"nasengine dashboard needs {' and '.join(missing)}, not installed here"
        raise InputError(Problem(found, expected="expected: pip install 'nasengine[dashboard]'"))
    from nasengine.report.dashboard import serve

    def on_ready(address: str, notes: list[str]) -> None:
        for note in notes:
            say(f"note: {note}")
        say(f"{run}: {address} (Ctrl-C ends it)")

    serve(run, port=port, most=trials, browser=browser and is_terminal(), on_ready=on_ready)
