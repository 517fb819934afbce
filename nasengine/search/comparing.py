"""`compare`: strategies run on a published table, or runs that exist, judged side by side.

Every search is an ordinary run in a folder of its own, DIR/STRATEGY/seed-N, so a comparison that was killed goes on
where it was when the same call is made again. What comes of it, in DIR:

    compare.json   what was found, the same for the same searches
    curves.csv     strategy, seed, trial, merit, hypervolume
    compare.html   the same to look at, one file that opens offline
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.evaluators import load_plugins
from nasengine.evaluators.tabular import find_table
from nasengine.evaluators.tabular.reading import read_description
from nasengine.execution import leave_if_importing_main
from nasengine.objectives import Objective
from nasengine.records import canonical_json
from nasengine.report.comparison import comparison_page
from nasengine.report.judging import Comparison, Known, Searched, judge
from nasengine.report.page import can_draw
from nasengine.runs import JOURNAL_NAME, read_journal, write_atomically
from nasengine.search.language.settings import SearchPhase, Strategy
from nasengine.search.language.strategy import load_strategy
from nasengine.search.new_run import new_run_settings
from nasengine.search.phases import run_phases
from nasengine.search.run_file import NAME, RunSettings, read_run_file, write_run_file
from nasengine.search.run_view import Run
from nasengine.search.searching import RANKING
from nasengine.search.tabled import known_by, load_for, with_table
from nasengine.space import SearchSpace, load_space

TRIALS, SEEDS = 300, 20
SUMMARY, PAGE = "compare.json", "compare.html"
OnSearched = Callable[[str, int, int, int], None]  # strategy, seed, searches done, searches in all


@dataclass(frozen=True, slots=True)
class Entry:
    """One run that is compared."""

    settings: RunSettings
    folder: Path
    shown: str

    @property
    def phase(self) -> str:
        """The last search phase."""
        return [phase.name for phase in self.settings.strategy.phases if isinstance(phase, SearchPhase)][-1]

    @property
    def finished(self) -> bool:
        return (self.folder / self.phase / RANKING).is_file()


def compare(
    strategies: Sequence[Strategy | str | Path],
    *,
    table: str,
    space: SearchSpace | str | Path | None = None,
    seeds: int = SEEDS,
    trials: int = TRIALS,
    lag: int | None = None,
    objectives: Sequence[str] | None = None,
    out: str | Path,
    set: Iterable[str] = (),
    workers: int = 1,
    targets: Sequence[float] = (),
    data_dir: str | Path | None = None,
    plugins: Iterable[str] = (),
    on_searched: OnSearched | None = None,
) -> Comparison:
    """Run strategies on a published table, several seeds each, and judge them.

    Args:
        strategies: files, names of shipped ones, or loaded; of each the search phase is run.
        table: a CSV file, a description of one, or the name of a shipped table.
        space: that the table is of; without it the space that the table names.
        seeds: searches of each strategy, with the seeds 0, 1, …
        trials: of each search.
        lag: in place of the strategies' own; 1 lets every trial know all before it.
        objectives: measurements of the table, in place of the strategies' own; the first is what incumbents are chosen
            by.
        out: the folder that everything is written to (compare.html only where plotly is installed); with an unfinished
            comparison in it, that goes on.
        set: settings of the strategies to change, "search.population=50"; "NAME:search.population=50" of one of them.
        workers: processes that search at once.
        targets: regrets; without them those of the best 10 %, 1 % and 0.1 % of the table.
        data_dir: where the table's files lie, if not beside its description.
        plugins: Python modules whose classes the files may name.
        on_searched: called after each search.

    Raises:
        InputError: arguments that do not fit, or `out` holds another comparison or something else.
        RunError: a search could not be done.
        KeyboardInterrupt: after Ctrl-C; the same call goes on.
    """
    leave_if_importing_main()
    plugins, overrides = tuple(plugins), tuple(set)
    load_plugins(plugins)
    _check_numbers(seeds=seeds, trials=trials, lag=lag, workers=workers)
    check_out(Path(out))
    loaded = _load(strategies)
    found_space = space_of(table, space)
    data_folder = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
    tabulated = load_for(table, found_space, data_folder)
    entries = []
    for strategy in loaded:
        changed = with_table(
            strategy,
            tabulated,
            table,
            trials=trials,
            lag=lag,
            objectives=objectives,
            overrides=addressed_to(strategy.name, overrides, [other.name for other in loaded]),
        )
        settings = new_run_settings(found_space, changed, data_dir=data_folder, device="cpu", plugins=plugins)
        for seed in range(seeds):
            shown = f"{strategy.name}/seed-{seed}"
            entries.append(Entry(replace(settings, seed=seed), Path(out) / shown, shown))
    conduct(entries, workers, on_searched or _silent)
    comparison = _judge(entries, targets)
    write_comparison(comparison, Path(out))
    return comparison


def compare_runs(
    runs: Sequence[Run | str | Path],
    *,
    objectives: Sequence[str] | None = None,
    out: str | Path | None = None,
    targets: Sequence[float] = (),
) -> Comparison:
    """Judge runs that exist, grouped by the names of their strategies.

    Args:
        runs: of one space, or their folders; where all were measured by the same table, regrets are judged.
        objectives: those that are judged, of those that all runs have; the first is what incumbents are chosen by.
        out: where compare.json, curves.csv and compare.html are written; None: nowhere.
        targets: values that are to be reached.

    Raises:
        InputError: runs of different spaces or without a common objective, a folder that is no run, or `out` holds
            something else than a comparison.
    """
    if out is not None:
        check_out(Path(out))
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    entries = [Entry(run.settings, run.folder, str(run.folder)) for run in opened]
    if len({entry.folder.resolve() for entry in entries}) < len(entries):
        raise InputError("a run is named twice: expected each once")
    first = entries[0].settings.space
    problems = [
        Problem(f"{entry.shown} has no trial that ended", expected="expected runs whose search has begun")
        for entry, run in zip(entries, opened, strict=True)
        if not run.history_of(entry.phase).trials
    ]
    problems += [
        Problem(f"{entry.shown} searches {entry.settings.space.name}, another space than {entries[0].shown}")
        for entry in entries
        if entry.settings.space != first
    ]
    if problems:
        raise InputError(problems)
    comparison = _judge(entries, targets, objectives)
    if out is not None:
        write_comparison(comparison, Path(out))
    return comparison


def conduct(entries: Sequence[Entry], workers: int, on_searched: OnSearched) -> None:
    """Do what is left to do of all searches.

    Raises:
        InputError: a folder holds a run with other settings.
        RunError, KeyboardInterrupt: as `compare`.
    """
    for entry in entries:
        check_same(entry)
    left = [entry for entry in entries if not entry.finished]
    done = len(entries) - len(left)
    if workers == 1 or len(left) < 2:
        for entry in left:
            search_one(entry)
            done += 1
            on_searched(entry.settings.strategy.name, entry.settings.seed, done, len(entries))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(left)), context) as pool:
        waiting = {pool.submit(search_one, entry): entry for entry in left}
        try:
            for future in as_completed(waiting):
                future.result()
                done += 1
                entry = waiting[future]
                on_searched(entry.settings.strategy.name, entry.settings.seed, done, len(entries))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def search_one(entry: Entry) -> None:
    """Begin a search or go on with it."""
    load_plugins(entry.settings.plugins)
    if not (entry.folder / NAME).is_file():
        entry.folder.mkdir(parents=True, exist_ok=True)
        write_run_file(entry.folder, entry.settings)
    run_phases(entry.folder, entry.settings, _ignore)


def check_same(entry: Entry) -> None:
    """Whether a folder that holds a run holds this one.

    Raises:
        InputError: it was begun with other settings.
    """
    if not (entry.folder / NAME).is_file():
        return
    found, mine = read_run_file(entry.folder), entry.settings.plain()
    other = [key for key in ("seed", "strategy", "space") if canonical_json(found[key]) != canonical_json(mine[key])]
    if other:
        message = f"{entry.folder} holds a search with another {' and '.join(other)}"
        raise InputError(
            Problem(message, expected="expected a new folder: --out DIR, or the settings it was begun with")
        )


def check_out(folder: Path) -> None:
    """Whether a comparison may be written into a folder: a new or an empty one, or one that holds a comparison.

    Raises:
        InputError: it holds something else, or is none.
    """
    if not folder.exists():
        return
    expected = "expected a new or an empty folder, or one of an earlier comparison"
    if not folder.is_dir():
        raise InputError(Problem(f"{folder} is no folder", expected=expected))
    ours = (folder / SUMMARY).is_file() or any(folder.glob(f"*/seed-*/{NAME}"))
    if not ours and any(folder.iterdir()):
        raise InputError(Problem(f"{folder} holds something else than a comparison", expected=expected))


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write compare.json, curves.csv and, where plotly is installed, compare.html."""
    content = json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / SUMMARY, content + "\n")
    write_atomically(folder / "curves.csv", curves_csv(comparison))
    if can_draw():
        write_atomically(folder / PAGE, comparison_page(comparison).html())
    else:
        (folder / PAGE).unlink(missing_ok=True)  # an earlier one would show another comparison


def curves_csv(comparison: Comparison) -> str:
    """One line for each trial of each search."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("strategy", "seed", "trial", comparison.merit.replace(" ", "_"), "hypervolume"))
    for judged in comparison.strategies:
        volumes = judged.volume.values if judged.volume is not None else ((),) * len(judged.seeds)
        for seed, merits, volume in zip(judged.seeds, judged.merit.values, volumes, strict=True):
            for number, merit in enumerate(merits):
                shown = volume[number] if number < len(volume) else None
                writer.writerow((judged.strategy, seed, number + 1, merit, shown))
    return text.getvalue()


def _load(strategies: Sequence[Strategy | str | Path]) -> list[Strategy]:
    """The strategies, each with a name of its own.

    Raises:
        InputError: there is none, one cannot be read, or two have the same name.
    """
    if not strategies:
        raise InputError("nothing to compare: expected at least one strategy")
    loaded = [strategy if isinstance(strategy, Strategy) else load_strategy(strategy) for strategy in strategies]
    names = [strategy.name for strategy in loaded]
    for name in names:
        if names.count(name) > 1:
            expected = "expected a `name:` of its own in each"
            raise InputError(Problem(f"two of the strategies are called {name}", expected=expected))
    return loaded


def _check_numbers(*, seeds: int, trials: int, lag: int | None, workers: int) -> None:
    amounts = {"seeds": seeds, "trials": trials, "lag": 1 if lag is None else lag, "workers": workers}
    problems = [
        Problem(f"{what} is {amount}", expected="expected at least 1") for what, amount in amounts.items() if amount < 1
    ]
    if problems:
        raise InputError(problems)


def space_of(table: str, space: SearchSpace | str | Path | None) -> SearchSpace:
    """The space that was named, or the one that the table names.

    Raises:
        InputError: neither names one.
    """
    if isinstance(space, SearchSpace):
        return space
    if space is not None:
        return load_space(space)
    path = find_table(table)
    named = None if path.suffix == ".csv" else read_description(path).space
    if named is None:
        raise InputError(
            Problem(f"the table {table} does not say which space it is of", expected="expected --space SPACE")
        )
    return load_space(named)


def addressed_to(strategy: str, overrides: Sequence[str], names: Sequence[str]) -> list[str]:
    """The overrides for one of several strategies: those that name it before a colon, and those that name none."""
    found = []
    for text in overrides:
        name, colon, rest = text.partition(":")
        if not (colon and name in names):
            found.append(text)
        elif name == strategy:
            found.append(rest)
    return found


def _judge(entries: Sequence[Entry], targets: Sequence[float], wanted: Sequence[str] | None = None) -> Comparison:
    searches = []
    for entry in entries:
        journal = entry.folder / JOURNAL_NAME
        trials = read_journal(journal).history(entry.phase).trials if journal.is_file() else ()
        searches.append(Searched(entry.settings.strategy.name, entry.settings.seed, entry.shown, trials))
    objectives = common_objectives(entries, searches, wanted)
    return judge(searches, objectives, entries[0].settings.space.name, _common_table(entries, objectives), targets)


def _common_table(entries: Sequence[Entry], objectives: Sequence[Objective]) -> Known | None:
    """The table that measured all runs; None if one was measured otherwise.

    Raises:
        InputError: they were bounded differently, so what the best could have been is not the same for all.
    """
    different = {canonical_json(entry.settings.strategy.plain()): entry for entry in entries}
    tables = [known_by(entry.settings, objectives) for entry in different.values()]
    first = tables[0]
    if first is None or any(table is None or table.name != first.name for table in tables):
        return None
    for table, entry in zip(tables, different.values(), strict=True):
        if table is not None and (table.feasible != first.feasible).any():
            found = f"{entry.shown} and {entries[0].shown} keep different bounds, so their regrets do not compare"
            raise InputError(Problem(found, expected="expected the same bounds in all"))
    return first


def common_objectives(
    entries: Sequence[Entry], searches: Sequence[Searched], wanted: Sequence[str] | None
) -> tuple[Objective, ...]:
    """The objectives that all can be judged by: of those wanted, or of any strategy, what every trial has measured.

    Raises:
        InputError: one that is wanted is none, or there is no common one.
    """
    known = {objective.name: objective for entry in entries for objective in entry.settings.strategy.objectives}
    measured = [trial.measurements for search in searches for trial in search.trials if trial.completed]
    common = [name for name in known if all(name in found for found in measured)]
    for name in wanted or ():
        if name not in common:
            expected = f"expected {one_of(common)}{nearest(name, common)}"
            raise InputError(Problem(f"not every run has the objective {name!r}", expected=expected))
    if not common:
        raise InputError("the runs have no objective in common: expected one that all of them measure")
    return tuple(known[name] for name in wanted or common)


def _silent(strategy: str, seed: int, done: int, total: int) -> None:
    """Nobody listens."""


def _ignore(event: object) -> None:
    """Events of one search among many are not shown."""
