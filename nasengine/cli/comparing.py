"""`compare`: strategies on a published table, or runs that exist, judged side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nasengine.cli.checking import surely
from nasengine.cli.console import complain, emit, is_terminal, say, show_table
from nasengine.cli.guard import INTERRUPTED, guarded
from nasengine.cli.options import Json, Plugins, Settings, load_plugin_modules
from nasengine.errors import InputError, Problem

RUNS = Path("runs")


@guarded
def compare(
    what: Annotated[
        list[str], typer.Argument(metavar="STRATEGY… | RUN…", help="Strategies (with --table), or folders of runs.")
    ],
    table: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A CSV file, a description of one, or a shipped table's name: pooling36."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="SPACE", help="The table's space; without it the one that the table names.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Searches of each strategy; 20 without it.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Of each search; 300 without it.")] = None,
    lag: Annotated[int | None, typer.Option(min=1, help="In place of the strategies' own.")] = None,
    objectives: Annotated[
        str | None, typer.Option(metavar="NAMES", help="accuracy,latency_ms: in place of the strategies' own.")
    ] = None,
    reach: Annotated[
        str | None, typer.Option(metavar="VALUES", help="0.01,0.001: count the trials until these are reached.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Everything is written here.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that search at once.")] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the table's files lie.")] = None,
    settings: Settings = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Which strategy finds the better network, how soon, and is the difference real?

    With --table every strategy searches the table with several seeds, in ordinary run folders inside DIR; after a
    crash or Ctrl-C the same command goes on. Without it, existing runs are compared, grouped by strategy. Regret is
    how much worse the incumbent truly is than the best of the table; incumbents are chosen by the first objective.

    \b
    nasengine compare random_search regularized_evolution --table pooling36 --seeds 20
    nasengine compare random_search nsga2 --table nas_bench_201_cifar10 --data-dir DIR --objectives accuracy,latency_ms
    nasengine compare runs/first runs/second --out runs/compared
    """
    load_plugin_modules(plugin)
    names = None if objectives is None else [name.strip() for name in objectives.split(",") if name.strip()]
    targets = read_numbers(reach)
    given = {
        "--space": space, "--seeds": seeds, "--trials": trials, "--lag": lag, "--workers": workers,
        "--data-dir": data_dir, "--set": settings,
    }  # fmt: skip
    if table is None:
        check_runs(what, [flag for flag, value in given.items() if value is not None])
        import nasengine as nas

        comparison = nas.compare_runs(what, objectives=names, out=out, targets=targets)
    else:
        check_strategies(what)
        import nasengine as nas

        folder = out or RUNS / f"compare-{Path(table).stem}"
        try:
            comparison = nas.compare(
                what,
                table=table,
                space=space,
                seeds=seeds or 20,
                trials=trials or 300,
                lag=lag,
                objectives=names,
                out=folder,
                set=settings or (),
                workers=workers or 1,
                targets=targets,
                data_dir=data_dir,
                plugins=plugin or (),
                on_searched=None if as_json else show_progress,
            )
        except KeyboardInterrupt:
            complain(f"interrupted; the same command goes on with what is in {folder}")
            raise typer.Exit(INTERRUPTED) from None
        out = folder
    show(comparison, out, as_json=as_json)


def check_strategies(what: list[str]) -> None:
    """Whether what stands on the command line may be strategies.

    Raises:
        InputError: one is a space, a table or a run.
    """
    from nasengine.space import shipped

    problems = []
    for word in what:
        if (Path(word) / "run.yaml").is_file():
            problems.append(Problem(f"{word} is a run, not a strategy", expected="expected runs without --table"))
        elif surely(word) == "space":
            problems.append(Problem(f"{word} is a space, not a strategy", expected=f"expected --space {word}"))
        elif word.endswith(".csv") or (word in shipped("search_spaces/tables") and surely(word) is None):
            problems.append(Problem(f"{word} is a table, not a strategy", expected=f"expected --table {word}"))
    if problems:
        raise InputError(problems)


def check_runs(what: list[str], flags: list[str]) -> None:
    """Whether what stands on the command line are runs, with no option that only strategies have.

    Raises:
        InputError: they are not.
    """
    problems = [
        Problem(f"{word} is no folder of a run", expected="expected runs, or --table FILE to run strategies on")
        for word in what
        if not Path(word).is_dir()
    ]
    problems += [Problem(f"{flag} without --table", expected="expected it where strategies are run") for flag in flags]
    if problems:
        raise InputError(problems)


def read_numbers(text: str | None) -> list[float]:
    """Numbers separated by commas.

    Raises:
        InputError: something else.
    """
    try:
        return [] if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(Problem(f"--reach is {text!r}", expected="expected numbers such as 0.01,0.001")) from error


def show_progress(strategy: str, seed: int, done: int, total: int) -> None:
    """How far a comparison is: one live line on a terminal, a line for each tenth elsewhere."""
    text = f"searched {done} of {total}: {strategy}, seed {seed}"
    if is_terminal():
        print(f"\r\x1b[2K{text}", end="\n" if done == total else "", flush=True)
    elif done == total or done * 10 // total > (done - 1) * 10 // total:
        say(text)


def show(comparison: Any, out: Path | None, *, as_json: bool) -> None:
    """The comparison for people, or as one JSON object."""
    from nasengine.report.comparison import (
        HOW_BETTER_IS_READ,
        how_merit_is_read,
        how_reach_is_read,
        how_volume_is_read,
        pair_rows,
        reach_rows,
        summary_rows,
        volume_rows,
    )
    from nasengine.report.page import can_draw

    if as_json:
        emit({**comparison.to_json(), "folder": None if out is None else str(out)})
        return
    say()
    show_table(*summary_rows(comparison))
    say()
    say(f"{comparison.merit}: {how_merit_is_read(comparison)}")
    if comparison.reference:
        say()
        show_table(*volume_rows(comparison))
        say()
        say(f"hypervolume: {how_volume_is_read(comparison)}")
    head, rows = reach_rows(comparison)
    if rows:
        say()
        show_table(head, rows)
        say(how_reach_is_read(comparison))
    for pairs, of in ((comparison.pairs, comparison.merit), (comparison.volume_pairs, "hypervolume")):
        if pairs:
            say()
            say(f"Mann-Whitney tests of {of} at the end (better: {HOW_BETTER_IS_READ}):")
            show_table(*pair_rows(comparison, pairs))
    if out is not None:
        say()
        if can_draw():
            say(f"curves to look at: {out / 'compare.html'}")
        else:
            say(f"curves: {out / 'curves.csv'}; for a page with charts: pip install 'nasengine[report]', then again")
