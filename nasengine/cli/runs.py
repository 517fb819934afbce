"""Commands on a run's folder: status, retrain, export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nasengine.cli.console import command, duration, emit, say, show_table
from nasengine.cli.guard import guarded
from nasengine.cli.options import Json, RunFolder, Settings, load_plugin_modules, read_options
from nasengine.search.figures import number, plural

REASONS_SHOWN = 20

Which = Annotated[
    str, typer.Option("--architecture", metavar="N|FILE", help="A trial's number, known.NAME, a JSON file, or -.")
]


@guarded
def status(run: RunFolder, as_json: Json = False) -> None:
    """Say what a run is doing, did, and why what failed did.

    It can be asked while the run goes on; nothing is written.

    \b
    nasengine status runs/quickstart-random_search-1
    nasengine status runs/quickstart-random_search-1 --json
    """
    from nasengine import runs
    from nasengine.cli.ranking import ranking
    from nasengine.cli.standing import last_line, place_of, unfinished
    from nasengine.objectives import parse_objectives

    found = runs.status(run)
    left = unfinished(found.folder)
    if as_json:
        trainings = {"retrained": retrained(found.folder), "training": begun_trainings(found.folder)}
        emit({**found.to_json(), "prepared": preparations(found.folder), **trainings, "unfinished": left})
        return
    state = f"being written by process {found.writer}" if found.writer is not None else "not running"
    say(f"{found.folder}: space {found.space}, seed {found.seed}, {state}")
    for name, standing in preparations(found.folder).items():
        word = "done" if standing["done"] else "going on" if found.writer is not None else "stopped"
        loss = f", training loss {number(standing['loss'])}" if standing["loss"] is not None else ""
        say()
        say(f"{name}: {word}, {plural(standing['epochs'], 'epoch')}{loss} in {duration(standing['seconds'])}")
        if not standing["done"] and found.writer is None and standing["checkpoint"] < standing["epochs"]:
            after = f"goes on after epoch {standing['checkpoint']}, its last checkpoint"
            say(f"  {after if standing['checkpoint'] else 'begins anew: it has no checkpoint yet'}")
    for phase in found.phases:
        ended = {word: amount for word, amount in phase.counts.items() if amount}
        counts = ", ".join(f"{amount} {word}" for word, amount in ended.items()) or "none ended"
        say()
        say(f"{phase.name}: {plural(phase.asked, 'trial')} asked ({counts}) in {duration(phase.elapsed_s)}")
        if phase.running:
            word = "running" if found.writer is not None else "to be run again"
            say(f"  {word}: {', '.join(map(str, phase.running))}")
        if phase.reused:
            say(f"  {phase.reused} took the outcome of an equal earlier trial")
        for word, reasons in (("failed", phase.failed), ("infeasible", phase.infeasible)):
            for trial, reason in reasons[:REASONS_SHOWN]:
                say(f"  trial {trial} {word}: {reason}")
                traceback = phase.tracebacks.get(trial)
                if traceback:
                    say(f"    {place_of(traceback)}: {last_line(traceback)}")
            if len(reasons) > REASONS_SHOWN:
                say(f"  … and {len(reasons) - REASONS_SHOWN} more {word}")
        if phase.tracebacks:
            say(f"  whole tracebacks: {found.folder / 'journal.jsonl'}, or {command('status', found.folder, '--json')}")
        if phase.best:
            show_table(*ranking(phase.best, parse_objectives(found.objectives)))
    for phase_name, results in retrained(found.folder).items():
        say()
        say(f"{phase_name}: {plural(len(results), 'training')} ended")
        for record in results:
            values = ", ".join(f"{name} {number(value)}" for name, value in record["measurements"].items())
            say(f"  {record['name']} {record['status']}: {record['reason'] or values}")
    begun = begun_trainings(found.folder)
    if begun:
        say()
        word = "in training" if found.writer is not None else "to be trained on from a checkpoint"
        say(f"{word}: {', '.join(begun)}")
    if found.writer is None:
        say()
        best = found.folder / "best"
        if left or (left is None and not best.is_dir()):
            what = f"; not done: {', '.join(left)}" if left else ""
            say(f"to go on: {command('resume', found.folder)}{what}")
        elif best.is_dir():
            say(f"done; best network: {best}")
        elif any(record["status"] == "completed" for records in retrained(found.folder).values() for record in records):
            say(f"done, and not exported; to write {best}: {command('resume', found.folder)}")
        else:
            say("done")


@guarded
def retrain(run: RunFolder, architecture: Which, settings: Settings = None, as_json: Json = False) -> None:
    """Train one architecture of a run longer, and test it.

    With the settings of the strategy's retrain phase, changed by --set; in a phase of its own, so that repeating
    the command goes on with it.

    \b
    nasengine retrain RUN --architecture 7
    nasengine retrain RUN --architecture known.default --set retrain.budget.epochs=100
    """
    load_plugin_modules(None)
    from nasengine.cli.progress import watcher
    from nasengine.cli.results import retrained_rows
    from nasengine.search import api

    wanted = read_wanted(architecture)
    with watcher(as_json=as_json) as watch:
        found = api.retrain(run, wanted, set=settings or (), on_event=watch)
    rows = retrained_rows(found)
    if as_json:
        emit({"event": "result", "folder": str(found.folder), "retrained": dict(rows)})
        return
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    show_table(("network", *names), [(label, *(values.get(name) for name in names)) for label, values in rows])
    say()
    say(f"to have it as files: {command('export', run, '--to', 'DIR', '--architecture', architecture)}")


@guarded
def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write; an earlier export is replaced.")],
    architecture: Annotated[
        str | None,
        typer.Option(metavar="N|FILE", help="A trial's number, known.NAME, or a JSON file; without it the run's best."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a trained network as plain PyTorch files.

    model.py, weights.safetensors, model.onnx and a README; they are loaded where nasengine cannot be imported and
    must give the scores of the trained network, or nothing is left at DIR.

    \b
    nasengine export runs/quickstart-random_search-1 --to best
    nasengine export RUN --to trial7 --architecture 7      # after nasengine retrain RUN --architecture 7
    """
    load_plugin_modules(None)
    import nasengine as nas
    from nasengine.search import api

    found = nas.open_run(run)
    exported = api.export(found.best if architecture is None else found.find(read_wanted(architecture)), to)
    if as_json:
        proof = exported.proof
        emit(
            {
                "folder": str(exported.folder),
                "files": list(exported.files),
                "costs": exported.costs.to_json(),
                "proof": {"difference": proof.difference, "onnx_difference": proof.onnx_difference},
                "notes": list(exported.notes),
            }
        )
        return
    say(f"{exported.folder}: {', '.join(exported.files)}")
    say(f"proved in a clean interpreter: scores differ by at most {exported.proof.difference:.1g}")
    for note in exported.notes:
        say(f"note: {note}")


def preparations(folder: Path) -> dict[str, dict[str, Any]]:
    """Phase -> how far a preparation is."""
    from nasengine.search.prepared import HISTORY, PREPARED, is_prepared, last_checkpoint, read_history

    begun = {path.parent for name in (HISTORY, PREPARED) for path in folder.glob(f"*/{name}")}
    found = {}
    for phase in sorted(begun):
        history = read_history(phase)
        found[phase.name] = {
            "done": is_prepared(phase),
            "epochs": len(history),
            "checkpoint": None if is_prepared(phase) else last_checkpoint(phase),
            "loss": history[-1].get("loss") if history else None,
            "seconds": sum(line.get("seconds", 0.0) for line in history),
        }
    return found


def retrained(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Phase -> the trainings that ended."""
    from nasengine.search.retrained import read_results, retrain_phases

    shown = ("name", "trial", "status", "reason", "measurements")
    return {
        phase: [{key: record.to_json()[key] for key in shown} for record in read_results(folder, phase)]
        for phase in retrain_phases(folder)
    }


def begun_trainings(folder: Path) -> list[str]:
    """PHASE/NAME of every training of a retrain phase that has checkpoints, so has begun and not ended."""
    return [f"{path.parts[-3]}/{path.parts[-2]}" for path in sorted(folder.glob("*/*/checkpoints"))]


def read_wanted(text: str) -> int | str | Mapping[str, Any]:
    """What --architecture means: a trial's number, a known architecture, or the options in a JSON file.

    Raises:
        InputError: the file cannot be read, or holds no JSON object.
    """
    if text.isdecimal():
        return int(text)
    if text.startswith(("known.", "trial.")):
        return text
    return read_options(text)
