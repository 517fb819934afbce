"""The report of a run: its sections in order, each left out where there is nothing to say."""

from __future__ import annotations

from nasengine.report.assignment import prepared_blocks
from nasengine.report.blocks import Block, Code, Details, Facts, Table, Text
from nasengine.report.choices import importance_blocks
from nasengine.report.failures import failure_blocks
from nasengine.report.front import front_blocks
from nasengine.report.labels import short_names
from nasengine.report.page import Page, Section
from nasengine.report.progress import curve_blocks, progress_blocks
from nasengine.report.records import RunRecord
from nasengine.report.relaxed import relaxed_blocks
from nasengine.report.summary import summary_blocks
from nasengine.report.winner import winner_blocks


def run_page(run: RunRecord) -> Page:
    """The page of a run; the same record gives the same bytes."""
    names = short_names(decision.path for decision in run.space.decisions)
    sections = [Section("Summary", summary_blocks(run, names))]
    for prepared in run.prepared:
        blocks = [*prepared_blocks(prepared, names), *relaxed_blocks(prepared, run.space, names)]
        suffix = f" of {prepared.name}" if len(run.prepared) > 1 else ""
        sections += [Section(f"What was prepared{suffix}", blocks)] if blocks else []
    for search in run.searches:
        suffix = f" of {search.name}" if len(run.searches) > 1 else ""
        several = len(run.objectives) > 1
        front = front_blocks(search, run.objectives, names, run.known)
        parts: list[tuple[str, list[Block]]] = [
            ("Pareto front" if several else "Cost against quality", front),
            ("Progress", progress_blocks(search, run.objectives, None if front else names)),
        ]
        if any(trial.completed for trial in search.trials):
            choices = importance_blocks(search, run.objectives, run.space, names)
            parts.append(("Importance of the choices", choices))
        parts.append(("Failed and infeasible trials", failure_blocks(search)))
        sections += [Section(title + suffix, blocks) for title, blocks in parts if blocks]
    curves = curve_blocks(run.searches, run.trained)
    if curves:
        sections.append(Section("Learning curves", curves))
    if run.winner is not None:
        sections.append(Section("The best architecture", winner_blocks(run.winner, run.space, names)))
    sections.append(Section("How to repeat it", repeat_blocks(run)))
    return Page(run.title, sections, run.state)


def repeat_blocks(run: RunRecord) -> list[Block]:
    """The command, the versions, what goes on from here, and where things lie."""
    blocks: list[Block] = []
    if run.command:
        blocks += [Text("The run was begun by"), Code(run.command, "the command that began the run")]
    blocks.append(Facts([*run.repeat]))
    if run.again:
        blocks += [Text("To go on from here:"), Code("\n".join(f"{line}  # {what}" for what, line in run.again))]
    if run.files:
        blocks.append(Table(["file", "holds"], list(run.files), f"What lies in {run.folder}."))
    blocks += [Details(title, [Code(text, title)]) for title, text in run.texts.items()]
    return blocks
