"""`report`: a run as one HTML page that opens offline; `search` and `resume` leave it in RUN too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nasengine.cli.console import emit, say
from nasengine.cli.guard import guarded
from nasengine.cli.options import Json, RunFolder, load_plugin_modules
from nasengine.wording import compact


@guarded
def report(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file to write; else RUN/report.html.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page on a run: the best, the Pareto front, progress, importance of choices, failures.

    Opens anywhere, offline. It can be written while the run goes on, and again at any time.

    \b
    nasengine report runs/quickstart-random_search-1
    nasengine report RUN --out paper/appendix.html --open
    """
    load_plugin_modules(None)
    from nasengine.search.reporting import report as write

    path = write(run, out)
    if as_json:
        emit({"file": str(path), "bytes": path.stat().st_size})
    else:
        say(f"{path}: {compact(path.stat().st_size)}B, opens in any browser")
    if show:
        typer.launch(path.resolve().as_uri())
