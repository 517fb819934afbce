"""`rank`: how far the rankings of runs agree with what their architectures are truly worth, by a table or a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nasengine.cli.console import emit, say, show_table
from nasengine.cli.guard import guarded
from nasengine.cli.options import Json, Plugins, load_plugin_modules
from nasengine.cli.ranking import in_short
from nasengine.wording import number, plural

TITLES = {"kendall": "Kendall τ-b", "spearman": "Spearman ρ", "pearson": "Pearson r", "regret": "regret"}
ALONE = "MACs alone"


@guarded
def rank(
    what: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, of several seeds perhaps.")],
    table: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="A CSV file, a description of one, a shipped table's name (pooling36), or a run."
        ),
    ],
    phase: Annotated[str | None, typer.Option(metavar="NAME", help="Of the search; the last without it.")] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the runs ranked by; their first objective without it.")
    ] = None,
    truth: Annotated[
        str | None, typer.Option(metavar="NAME", help="The measurement of the table that is true; as the objective.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the table's files lie.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Bootstrap samples of the architectures.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """How far does what a run measured agree with what its architectures are truly worth?

    Kendall's tau-b, Spearman's rho, Pearson's r, the regret of the winner and the best truth among the first 1, 3, 5,
    10, with 95 % bootstrap intervals; the ranking by MACs alone beside it. Of several runs, mean and deviation too.

    \b
    nasengine rank runs/mixture --table pooling36
    nasengine rank runs/mixture --table runs/brute_force
    nasengine rank runs/mixture-seed-* --table mine.csv --truth test_accuracy --json
    """
    load_plugin_modules(plugin)
    import nasengine as nas

    found = nas.rank(
        what, table=table, phase=phase, objective=objective, truth=truth, data_dir=data_dir, samples=samples, seed=seed
    )
    if as_json:
        emit(found.to_json())
    else:
        show(found)


def show(found: Any) -> None:
    """The agreement for people."""
    say(
        f"{found.objective} of {plural(len(found.runs), 'run')} on {found.space}, held against {found.truth} of "
        f"{plural(found.size, 'architecture')} in the table {found.table}"
    )
    say()
    show_table(*rows(found))
    say()
    show_table(*intervals(found))
    say()
    for line in remarks(found):
        say(line)


def rows(found: Any) -> tuple[list[str], list[list[object]]]:
    """Head and rows of the table of all rankings, without intervals."""
    names = columns(found)
    rankings = (*found.runs, *([found.together] if found.together else []))
    lines: list[list[object]] = [
        [ranking.name, *figures(ranking.agreement, names), ranking.shared] for ranking in rankings
    ]
    if len(found.runs) > 1:
        spreads = [found.spreads.get(name) for name in names]
        lines.append(["mean of the runs", *(spread and spread.mean for spread in spreads), ""])
        lines.append(["± sd", *(spread and spread.deviation for spread in spreads), ""])
    last = found.together or found.runs[-1]
    if last.macs is not None:
        lines.append([ALONE, *figures(last.macs, names), last.shared])
    return ["ranking", *(title(name) for name in names), "of"], [
        [line[0], *(cell(value) for value in line[1:])] for line in lines
    ]


def intervals(found: Any) -> tuple[list[str], list[list[object]]]:
    """Head and rows of the table of intervals: of the run, or of the mean of several, beside MACs alone."""
    shown = found.together or found.runs[-1]
    head = ["figure", shown.name, "95 % interval"]
    lines: list[list[object]] = []
    for name, figure in shown.agreement.figures.items():
        line: list[object] = [title(name), cell(figure.value), span(figure)]
        if shown.macs is not None:
            line += [cell(shown.macs[name].value), span(shown.macs[name])]
        lines.append(line)
    if shown.macs is not None:
        head += [ALONE, "95 % interval"]
        lines.append(["τ-b ahead of MACs", cell(shown.ahead.value), span(shown.ahead), "", ""])
    return head, lines


def remarks(found: Any) -> list[str]:
    """What the tables leave open, a line each."""
    lines = [f"note: {found.caution}"] if found.caution else []
    lines += [
        f"note: the search of {folder} has not ended; what it has measured so far counts" for folder in found.unfinished
    ]
    for ranking in (*found.runs, *([found.together] if found.together else [])):
        first = ranking.winner
        equals = f", one of {first.equals} thought equal" if first.equals > 1 else ""
        lines.append(
            f"winner of {ranking.name}: {in_short(first.architecture)}, measured {number(first.predicted)}{equals}, "
            f"truly {number(first.truth)}; the best there is: {number(ranking.best)}"
        )
        if not ranking.shared == ranking.ranked == found.size:
            lines.append(
                f"  {ranking.shared} architectures are in both: the run ranks {ranking.ranked}, "
                f"the table has {found.size}"
            )
    lines.append(
        f"Regret: by how much the best there is beats the winner. Top k: the best truth among the first k. Intervals: "
        f"percentiles over {found.samples:,} bootstrap samples of the architectures (seed {found.seed})."
    )
    return lines


def columns(found: Any) -> list[str]:
    """The figures that any ranking has."""
    return list(dict.fromkeys(name for ranking in found.runs for name in ranking.agreement.figures))


def title(name: str) -> str:
    """A figure as people call it."""
    return TITLES.get(name, name.replace("_", " "))


def figures(agreement: Any, names: Sequence[str]) -> list[object]:
    """The value of each figure; None where there is none."""
    return [agreement.figures[name].value if name in agreement.figures else None for name in names]


def cell(value: object) -> object:
    """A figure in four digits; a dash where it has no value."""
    if value is None:
        return "–"
    return number(value) if isinstance(value, float) else value


def span(figure: Any) -> str:
    """An interval."""
    return "–" if figure.low is None else f"{number(figure.low)} … {number(figure.high)}"
