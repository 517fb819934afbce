"""The search loop on the local pool: the same journal with any number of workers, and Ctrl-C on a terminal."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))  # worker processes inherit the path

import scripted_evaluator

from nasengine.execution import Executor, InProcess, LocalPool
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.runs import Header, Journal, canonical_records, read_journal, status
from nasengine.search.loop import run_search

OBJECTIVES = parse_objectives({"accuracy": "maximize"})
HERE = Path(__file__).parent


class Climbing:
    """Proposes the successor of the best trial told, so that a different order would show."""

    ends_after = None

    def __init__(self, does: dict[int, str]) -> None:
        self.does = does
        self.best: Trial | None = None

    def ask(self, trial_number: int) -> Candidate:
        start = 0 if self.best is None else int(self.best.architecture["x"])
        options = {"x": start * 7 % 1000 + trial_number % 3, "do": self.does.get(trial_number, "measure")}
        return Candidate(Architecture(options), () if self.best is None else (self.best.number,))

    def tell(self, trial: Trial) -> None:
        better = self.best is None or (
            trial.completed and trial.measurements["accuracy"] > self.best.measurements["accuracy"]
        )
        if trial.completed and better:
            self.best = trial


def search(folder: Path, executor: Executor, does: dict[int, str]) -> list[dict[str, object]]:
    folder.mkdir()
    header = Header("toy", "abc", {}, {"accuracy": "maximize"}, seed=0, lag=4)
    with Journal(folder, header) as journal, executor:
        run_search(
            Climbing(does),
            executor,
            journal,
            trials=30,
            lag=4,
            seed=0,
            budget={"epochs": 1},
            objectives=OBJECTIVES,
        )
    return canonical_records(folder)


def test_in_process_and_with_one_and_two_workers_the_canonical_journals_are_identical(tmp_path: Path) -> None:
    does = {5: "raise", 9: "nan", 11: "explain"}
    make = scripted_evaluator.make
    executors: list[Callable[[], Executor]] = [
        lambda: InProcess(make),
        lambda: LocalPool(make, workers=1),
        lambda: LocalPool(make, workers=2),
    ]
    first, *others = [search(tmp_path / str(i), opened(), does) for i, opened in enumerate(executors)]
    assert others == [first, first]
    assert sum(record.get("status") == "failed" for record in first) == 3


def test_crashes_and_time_limits_are_in_the_journal_alike_for_one_and_two_workers(tmp_path: Path) -> None:
    does = {3: "killed", 8: "segfault", 12: "hang"}
    pools = [LocalPool(scripted_evaluator.make, workers=workers, timeout_s=0.5) for workers in (1, 2)]
    first, second = [search(tmp_path / str(i), pool, does) for i, pool in enumerate(pools)]
    assert first == second
    phase = status(tmp_path / "0").phases[0]
    assert [trial for trial, _ in phase.failed] == [3, 8, 12]
    assert phase.counts["completed"] == 27


SEARCH = """
    import functools, sys
    sys.path[:0] = [{here!r}, {execution!r}]
    import scripted_evaluator
    from nasengine.execution import LocalPool
    from nasengine.objectives import parse_objectives
    from nasengine.records import Architecture, Candidate
    from nasengine.runs import Header, Journal
    from nasengine.search.loop import run_search

    class Counting:
        ends_after = None

        def ask(self, number):
            return Candidate(Architecture({{"x": number}}))

        def tell(self, trial):
            pass

    if __name__ == "__main__":
        header = Header("toy", "abc", {{}}, {{"accuracy": "maximize"}}, seed=0, lag=8)
        make = functools.partial(scripted_evaluator.make, "", 0.3)
        with Journal(sys.argv[1], header) as journal, LocalPool(make, workers=2) as pool:
            print("open", flush=True)
            try:
                run_search(
                    Counting(), pool, journal, trials=200, lag=8, seed=0, budget={{}},
                    objectives=parse_objectives({{"accuracy": "maximize"}}),
                    on_event=lambda event: event.kind == "interrupted" and print("interrupted", flush=True),
                )
            except KeyboardInterrupt:
                sys.exit(130)
"""


def ended(folder: Path) -> int:
    return len(read_journal(folder).history("search").finished)


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_on_a_terminal_stops_the_search_cleanly(tmp_path: Path, presses: int) -> None:
    script = tmp_path / "search.py"
    script.write_text(textwrap.dedent(SEARCH.format(here=str(HERE), execution=str(HERE.parent / "execution"))))
    run = tmp_path / "run"
    run.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(run)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    end = time.monotonic() + 30
    while ended(run) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: everybody gets it
    assert process.stdout.readline() == "interrupted\n"
    if presses == 2:
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")
    found = status(run)
    assert found.writer is None
    if presses == 1:
        assert found.phases[0].running == ()
    assert found.phases[0].counts["failed"] == 0
    assert found.phases[0].asked < 200
