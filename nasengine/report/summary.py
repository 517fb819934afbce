"""The first section: what was searched and how, how many trials came to what, and the best architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nasengine.objectives import Objective
from nasengine.records import STATUSES, Trial
from nasengine.report.blocks import Block, Cell, Details, Facts, Heading, Mark, Table, Text
from nasengine.report.labels import in_words, option_text
from nasengine.report.records import RunRecord, Searched, Trained
from nasengine.wording import duration, plural

BEST, MOST_COLUMNS = 10, 8
PRICED = ("params", "macs")


def summary_blocks(run: RunRecord, names: Mapping[str, str]) -> list[Block]:
    """Facts, then for each search phase its counts and its best; then what was retrained without a search."""
    if len(run.searches) == 1:
        search = run.searches[0]
        blocks: list[Block] = [Facts([*run.summary, *search.about, *_counts(search)])]
        blocks += best_blocks(search, run.objectives, run.trained, names)
    else:
        blocks = [Facts([*run.summary])]
        for search in run.searches:
            blocks += [Heading(f"Search phase {search.name}"), Facts([*search.about, *_counts(search)])]
            blocks += best_blocks(search, run.objectives, run.trained, names)
    if run.trained:
        blocks += trained_blocks(run.trained, names)
    return blocks


def _counts(search: Searched) -> list[tuple[str, str]]:
    counts = {status: sum(trial.status == status for trial in search.trials) for status in STATUSES}
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count) or "none has ended"
    running = search.asked - len(search.trials)
    if running:
        told += f", {running:,} running or to be run again"
    if search.reused:
        told += f"; {search.reused:,} took the outcome of an equal earlier trial"
    found = [("trials", f"{plural(search.asked, 'trial')}: {told}")]
    if search.trials:
        found.append(("wall time", duration(search.elapsed_s)))
    return [*found, *([("ended by", search.ended)] if search.ended else [])]


def best_blocks(
    search: Searched, objectives: Sequence[Objective], trained: Sequence[Trained], names: Mapping[str, str]
) -> list[Block]:
    """The best few as a table; the choices in which they differ are columns, or words where they are many."""
    top = list(search.ranked[:BEST])
    if not top:
        return []
    measured = [objective.name for objective in objectives]
    measured += [name for name in PRICED if name not in measured and all(name in trial.measurements for trial in top)]
    tests = {trial.number: _tests(trial, objectives, trained) for trial in top}
    tested = list(dict.fromkeys(name for figures in tests.values() for name in figures))
    paths = list(dict.fromkeys(path for trial in top for path in trial.architecture))
    differing = [path for path in paths if len({_option(trial, path) for trial in top}) > 1]
    parts = not all(trial.completed for trial in top)
    head = ["rank", "trial", *measured, *(["budget"] if parts else []), *tested]
    head += [names[path] for path in differing] if len(differing) <= MOST_COLUMNS else ["differs from the best in"]
    rows: list[list[Cell]] = []
    for rank, trial in enumerate(top, start=1):
        row: list[Cell] = [rank, trial.number, *(trial.measurements[name] for name in measured)]
        row += [trial.reason or "whole"] if parts else []
        row += [tests[trial.number].get(name) for name in tested]
        rows.append([*row, *_choices(trial, top[0], differing, names)])
    what = f"the best {len(top)} of {plural(len(search.trials), 'trial')}" if len(top) > 1 else "the best trial"
    caption = f"{what[0].upper()}{what[1:]}, as measured by the search"
    if len(top) > 1 and len(objectives) > 1:
        caption += ", front by front, on each first those with most room around them"
    if parts:
        caption += "; none was measured under its whole budget yet"
    if tested:
        caption += "; test figures after retraining, mean ± standard deviation over seeds"
    if len(top) > 1:
        caption += "; options other than the best trial's are marked"
    blocks: list[Block] = [Table(head, rows, f"{caption}.")]
    words = f"trial {top[0].number}: {in_words(top[0].architecture, names)}"
    return [*blocks, Details("The best architecture, every choice", [Text(words)])]


def _option(trial: Trial, path: str) -> str:
    return option_text(trial.architecture[path]) if path in trial.architecture else "–"


def _choices(trial: Trial, best: Trial, differing: Sequence[str], names: Mapping[str, str]) -> list[Cell]:
    if len(differing) <= MOST_COLUMNS:
        return [
            Mark(_option(trial, path), "changed")
            if _option(trial, path) != _option(best, path)
            else _option(trial, path)
            for path in differing
        ]
    changes = [path for path in differing if _option(trial, path) != _option(best, path)]
    words = ", ".join(f"{names[path]} {_option(trial, path)}" for path in changes[:MOST_COLUMNS])
    more = f", and {len(changes) - MOST_COLUMNS} more" if len(changes) > MOST_COLUMNS else ""
    return [words + more or "–"]


def _tests(trial: Trial, objectives: Sequence[Objective], trained: Sequence[Trained]) -> dict[str, str]:
    """What the last retrain phase that trained it measured of the objectives on the test part."""
    records = [record for record in trained if record.architecture == trial.architecture and record.figures]
    names = [f"test_{objective.name}" for objective in objectives]
    return {name: records[-1].figures[name] for name in names if name in records[-1].figures} if records else {}


def trained_blocks(trained: Sequence[Trained], names: Mapping[str, str]) -> list[Block]:
    """What the retrain phases measured."""
    measured = list(dict.fromkeys(name for record in trained for name in record.figures))
    rows: list[list[Cell]] = [
        [f"{record.phase}/{record.label}", record.budget, *(record.figures.get(name) for name in measured)]
        for record in trained
    ]
    blocks: list[Block] = [
        Table(
            ["network", "trained for", *measured],
            rows,
            "Retrained architectures; the test part of the data was read here and nowhere else.",
        )
    ]
    failed = [(name, reason) for record in trained for name, reason in record.failed]
    if failed:
        blocks.append(Table(["training", "why it failed"], failed))
    return blocks
