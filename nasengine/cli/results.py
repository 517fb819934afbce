"""What a run has found, shown: the ranking of its search, its retrained networks, and where the best one lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nasengine.cli.console import command, say, show_table
from nasengine.cli.ranking import ranking
from nasengine.errors import InputError, NasEngineError
from nasengine.export import Exported
from nasengine.search.api import Run, export
from nasengine.search.events import Note
from nasengine.search.figures import plural
from nasengine.search.reporting import report
from nasengine.search.retrained import spreads

SHOWN = 10
BEST = "best"


def export_best(run: Run, tell: Callable[[Note], None]) -> Exported | None:
    """Write RUN/best; None if the run has retrained nothing, or only what it was told to and not what it found.

    Raises:
        ExportError: the files do not prove equal to the trained network; nothing is left in RUN/best.
    """
    if not any(record.completed for record in run.retrained):
        return None
    best = run.best
    if best.weights is None:
        return None
    tell(Note(f"exporting to {run.folder / BEST}, with proof"))
    exported = export(best, run.folder / BEST)
    for note in exported.notes:
        tell(Note(note))
    return exported


def leave_report(run: Run, tell: Callable[[Note], None]) -> Path | None:
    """Write RUN/report.html at the end of a run; where that cannot be, a note says why and the run is as good."""
    try:
        return report(run)
    except InputError as error:
        tell(Note(f"no report.html: {error}"))
    except (NasEngineError, OSError) as error:
        tell(Note(f"no report.html: {error}; to try again: {command('report', run.folder)}"))
    return None


def result_of(run: Run, exported: Exported | None, page: Path | None = None) -> dict[str, Any]:
    """The result of a run as plain values: the last line of `search --json`."""
    best = run.best if run.ranked or run.retrained else None
    return {
        "event": "result",
        "folder": str(run.folder),
        "trials": len(run.trials),
        "best": best
        and {
            "trial": best.trial and best.trial.number,
            "architecture": best.architecture.to_json(),
            "measurements": best.measurements,
        },
        "exported": exported and {"folder": str(exported.folder), "files": list(exported.files)},
        "report": page and str(page),
    }


def show_results(run: Run, exported: Exported | None, page: Path | None = None) -> None:
    """The ranking, the retrained networks, and where best/ and the report are."""
    ranked = run.ranked
    objectives = run.strategy.objectives
    if ranked:
        say(f"{headline(min(SHOWN, len(ranked)), len(run.trials))}, as measured by the search:")
        show_table(*ranking(ranked[:SHOWN], objectives))
        if len(objectives) > 1:
            front = ", ".join(str(trial.number) for trial in run.front)
            say(f"on the Pareto front: trials {front}")
    rows = retrained_rows(run)
    if rows:
        say()
        say("retrained:")
        names = list(dict.fromkeys(name for _, measured in rows for name in measured))
        show_table(("network", *names), [(label, *(measured.get(name) for name in names)) for label, measured in rows])
    if exported is not None:
        say()
        say(f"best network: {exported.folder} ({', '.join(exported.files)})")
        say(f"  proved in a clean interpreter: scores differ by at most {exported.proof.difference:.1g}")
        say(f"  to use it: from model import load; network = load()   # in {exported.folder}")
    elif ranked:
        say()
        say(f"train one longer: {command('retrain', run.folder, '--architecture', ranked[0].number)}")
    if page is not None:
        say(f"report: {page}")


def headline(shown: int, trials: int) -> str:
    """What a ranking shows of how many trials."""
    return f"the best {shown} of {plural(trials, 'trial')}" if shown < trials else plural(trials, "trial")


def retrained_rows(run: Run) -> list[tuple[str, Mapping[str, str]]]:
    """Each retrained architecture with its measurements, over its seeds where there are several."""
    groups: dict[str, list[Any]] = {}
    for record in run.retrained:
        groups.setdefault(f"{record.phase}/{record.name.rpartition('-seed-')[0]}", []).append(record)
    return [
        (label, {name: str(spread) for name, spread in spreads(records).items()}) for label, records in groups.items()
    ]
