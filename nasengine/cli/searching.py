"""`search` and `resume`: a run from beginning to end, watched, ranked and exported."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nasengine.cli.checking import surely
from nasengine.cli.console import command, complain, emit, say
from nasengine.cli.guard import FAILED, INTERRUPTED, guarded
from nasengine.cli.options import (
    Address,
    Json,
    Plugins,
    RunFolder,
    Settings,
    SpaceName,
    StrategyName,
    Workers,
    load_plugin_modules,
)
from nasengine.errors import InputError, NotARunError, Problem, RunError


@guarded
def search(
    space: SpaceName,
    strategy: StrategyName,
    data: Annotated[str | None, typer.Option(metavar="NAME", help="Data set; the strategy's, or fashion.")] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder where the data set lies.")] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run, new or empty; else runs/SPACE-STRATEGY-N.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    trials: Annotated[int | None, typer.Option(min=1, help="How many candidates are measured.")] = None,
    epochs: Annotated[float | None, typer.Option(help="How long each of them is trained.")] = None,
    time: Annotated[str | None, typer.Option(metavar="2h", help="How long the search may take: 90s, 30m, 2h.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1; auto takes a GPU if there is one.")] = "auto",
    executor: Annotated[
        str | None,
        typer.Option(
            help="in_process; local: worker processes (with --workers above 1 or --trial-time); ray: on a cluster."
        ),
    ] = None,
    workers: Workers = None,
    trial_time: Annotated[
        str | None, typer.Option(metavar="10m", help="Longest a trial may take (local, ray).")
    ] = None,
    address: Address = None,
    gpus: Annotated[float, typer.Option(min=0, help="Of each worker on a cluster; 0.5 puts two on a GPU.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Of torch in each process; figures depend on it.")] = 1,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="On a GPU: repeat bit for bit.")] = False,
    settings: Settings = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Search a space by a strategy.

    Runs every phase of the strategy, ranks what was found, and leaves the retrained best as plain PyTorch in
    RUN/best, proved equal to the trained network. Ctrl-C stops cleanly; `nasengine resume RUN` goes on.

    \b
    nasengine search quickstart random_search
    nasengine search quickstart regularized_evolution --trials 50 --workers 4 --time 1h
    nasengine search pooling_resnet20 exhaustive --data cifar10 --data-dir DIR --device cuda
    nasengine search quickstart random_search --executor ray --address auto --gpus 0.5
    nasengine search my_space.yaml my_strategy.yaml --plugin my_blocks --set search.population=50
    """
    check_short_options(epochs=epochs, time=time, trial_time=trial_time)
    load_plugin_modules(plugin)
    check_order(space, strategy)
    check_data(data)
    import nasengine as nas

    def begin(on_event: Callable[[Any], None]) -> Any:
        return nas.search(
            space,
            strategy,
            data=data,
            data_dir=data_dir,
            run=run,
            seed=seed,
            trials=trials,
            epochs=epochs,
            time=time,
            device=device,
            executor=executor or executor_of(workers, trial_time, on_cluster=bool(address or gpus)),
            workers=workers,
            trial_time=trial_time,
            address=address,
            gpus=gpus,
            threads=threads,
            deterministic=deterministic,
            set=settings or (),
            plugins=plugin or (),
            on_event=on_event,
        )

    conduct(begin, as_json=as_json)


@guarded
def resume(
    run: RunFolder,
    executor: Annotated[
        str | None, typer.Option(help="in_process, local or ray, for the rest of the run; else as it was begun.")
    ] = None,
    workers: Workers = None,
    address: Address = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="Of each worker on a cluster.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder where the data set lies now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Go on with a run, as if nothing had happened.

    After a crash, a kill or Ctrl-C: trials and trainings that are done are not done again, and the trials that
    follow are those that would have followed, wherever they are measured.

    \b
    nasengine resume runs/quickstart-random_search-1
    nasengine resume RUN --executor ray --address auto
    """
    load_plugin_modules(None)
    import nasengine as nas

    def begin(on_event: Callable[[Any], None]) -> Any:
        return nas.resume(
            run, executor=executor, workers=workers, address=address, gpus=gpus, data_dir=data_dir, on_event=on_event
        )

    conduct(begin, as_json=as_json)


def executor_of(workers: int | None, trial_time: str | None, *, on_cluster: bool) -> str:
    """The executor that the other options call for."""
    if on_cluster:
        return "ray"
    return "local" if (workers or 1) > 1 or trial_time else "in_process"


def check_short_options(*, epochs: float | None, time: str | None, trial_time: str | None) -> None:
    """What a person typed, judged under the name they typed.

    Raises:
        InputError: a number of epochs that is not above zero, or a duration without its unit.
    """
    problems = []
    if epochs is not None and not 0 < epochs < math.inf:
        problems.append(Problem(f"--epochs is {epochs:g}", expected="expected a number above 0"))
    for flag, text in (("--time", time), ("--trial-time", trial_time)):
        if text is not None and text.strip()[-1:].isdigit():
            problems.append(Problem(f"{flag} {text} has no unit", expected="expected 2h, 30m or 90s"))
    if problems:
        raise InputError(problems)


def check_order(space: str, strategy: str) -> None:
    """Whether SPACE and STRATEGY stand in their places.

    Raises:
        InputError: one is what the other should be.
    """
    problems = []
    for given, place, other in ((space, "space", "strategy"), (strategy, "strategy", "space")):
        if surely(given) == other:
            problems.append(
                Problem(
                    f"{given} is a {other}, not a {place}",
                    expected="expected the order SPACE STRATEGY: nasengine search SPACE STRATEGY",
                )
            )
    if len(problems) == 2:
        order = f"the order is SPACE STRATEGY: {command('search', strategy, space)}"
        raise InputError(Problem(f"{space} is a strategy and {strategy} a space", expected=order))
    if problems:
        raise InputError(problems)


def check_data(data: str | None) -> None:
    """Whether --data names a data set, not a folder.

    Raises:
        InputError: it is a folder.
    """
    from nasengine.data import DATASETS

    if data is not None and data not in DATASETS and Path(data).expanduser().is_dir():
        instead = f"expected for a folder of images --data image_folder --data-dir {shlex.quote(data)}"
        raise InputError(Problem(f"{data} is a folder, not the name of a data set", expected=instead))


def conduct(begin: Callable[[Callable[[Any], None]], Any], *, as_json: bool) -> None:
    """Run something that reports events, watched; then rank, export and show what came of it.

    Raises:
        typer.Exit: 130 after Ctrl-C, with the line that resumes; 1 if the run came to nothing.
        NotARunError: there is no run to go on with.
    """
    from nasengine.cli.progress import watcher
    from nasengine.cli.results import export_best, leave_report, result_of, show_results
    from nasengine.search.run_view import Run

    watch = watcher(as_json=as_json)
    try:
        with watch:
            run = begin(watch)
    except KeyboardInterrupt:
        complain("interrupted" + (f"; to go on: {command('resume', watch.folder)}" if watch.folder else ""))
        raise typer.Exit(INTERRUPTED) from None
    except NotARunError:
        raise
    except RunError as error:
        complain(str(error))
        if watch.folder is not None:
            complain(f"what failed and why: {command('status', watch.folder)}")
            leave_report(Run(watch.folder), watch)
        raise typer.Exit(FAILED) from None
    exported = export_best(run, watch)
    page = leave_report(run, watch)
    if as_json:
        emit(result_of(run, exported, page))
    else:
        say()
        show_results(run, exported, page)
    if not run.ranked and run.trials:
        complain(f"no trial completed; what failed and why: {command('status', run.folder)}")
        raise typer.Exit(FAILED)
