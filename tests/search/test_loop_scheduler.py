"""The search loop under successive halving: the same trials whoever ends first, after any kill, within the budget."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nasengine.algorithms import ALGORITHMS
from nasengine.algorithms.schedulers import SCHEDULERS
from nasengine.execution import InProcess
from nasengine.objectives import parse_objectives
from nasengine.records import Job, Result
from nasengine.runs import JOURNAL_NAME, Header, Journal, canonical_records
from nasengine.search.loop import SearchOutcome, run_search
from nasengine.space import space_from_mapping
from nasengine.space.domain import Domain

OBJECTIVES = parse_objectives({"accuracy": "maximize"})
BUDGET = {"epochs": 9}
SPACE = space_from_mapping(
    {
        "name": "toy",
        "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
        "network": {"type": "conv", "width": {"range": [1, 18, 1]}},
    }
)


class Evaluator:
    """What it measures depends on the architecture and on how long it is trained; some trials fail."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            self.jobs.append(job)
            final = zlib.crc32(job.architecture.key.encode()) % 997 / 997
            if final < 0.1:
                yield Result(job.trial, "failed", reason="by lot")
            else:
                yield Result(job.trial, "completed", {"accuracy": final * (1 - 0.5 ** job.budget["epochs"])})


class Several(InProcess):
    """In process, but as if several ran: the latest submitted ends first."""

    @property
    def capacity(self) -> int:
        return 3

    def submit(self, job: Job) -> None:
        self._waiting.appendleft(job)


def search(
    folder: Path, evaluator: Evaluator, source: str = "random_search", *, several: bool = False, trials: int | None = 30
) -> SearchOutcome:
    folder.mkdir(exist_ok=True)
    algorithm = SCHEDULERS["successive_halving"](ALGORITHMS[source](Domain(SPACE), OBJECTIVES, seed=1), budget=BUDGET)
    executor = (Several if several else InProcess)(lambda: evaluator)
    with Journal(folder, Header.of(SPACE, OBJECTIVES, seed=1, lag=4)) as journal, executor:
        return run_search(
            algorithm, executor, journal, trials=trials, lag=4, seed=1, budget=BUDGET, objectives=OBJECTIVES
        )


@pytest.mark.parametrize("trials", [20, None])
@pytest.mark.parametrize("source", ["random_search", "exhaustive"])
def test_the_canonical_journal_does_not_depend_on_who_ends_first(
    tmp_path: Path, source: str, trials: int | None
) -> None:
    search(tmp_path / "a", Evaluator(), source, trials=trials)
    search(tmp_path / "b", Evaluator(), source, trials=trials, several=True)
    assert canonical_records(tmp_path / "a") == canonical_records(tmp_path / "b")


def test_where_the_source_ends_the_search_waits_for_what_can_still_go_on(tmp_path: Path) -> None:
    evaluator = Evaluator()
    outcome = search(tmp_path, evaluator, "exhaustive", several=True, trials=None)
    assert outcome.stopped_by == "exhausted"
    lengths = [job.budget["epochs"] for job in evaluator.jobs]
    measured = sum(trial.status == "stopped" and "1 of 9" in trial.reason for trial in outcome.trials)
    assert lengths.count(1) == 18
    assert lengths.count(3) >= measured // 3
    assert lengths.count(9) >= lengths.count(3) // 3
    best = max(
        (trial for trial in outcome.trials if trial.status == "stopped"), key=lambda t: t.measurements["accuracy"]
    )
    assert any(trial.completed and trial.architecture == best.architecture for trial in outcome.trials)


def test_it_never_asks_for_more_trials_than_the_budget_allows(tmp_path: Path) -> None:
    outcome = search(tmp_path, Evaluator(), trials=17)
    assert (len(outcome.trials), outcome.stopped_by) == (17, "trials")


@pytest.mark.parametrize("several", [False, True])
def test_a_run_cut_at_any_line_resumes_to_the_same_canonical_journal(tmp_path: Path, several: bool) -> None:
    search(tmp_path / "whole", Evaluator(), "exhaustive", trials=None)
    expected = canonical_records(tmp_path / "whole")
    assert any(record.get("resumes") is not None for record in expected)
    lines = (tmp_path / "whole" / JOURNAL_NAME).read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines), 2):
        folder = tmp_path / f"cut_{kept}"
        folder.mkdir()
        (folder / JOURNAL_NAME).write_bytes(b"".join(lines[:kept]))
        search(folder, Evaluator(), "exhaustive", several=several, trials=None)
        assert canonical_records(folder) == expected
