"""Where a run stands, from its journal alone."""

import json
import os
from pathlib import Path

import pytest

from nasengine.errors import NotARunError
from nasengine.records import Architecture, Candidate, Result, Trial
from nasengine.runs import Header, Journal, status

TRACEBACK = 'Traceback (most recent call last):\n  File "/code/x.py", line 7, in f\n    g()\nValueError: no number\n'
HEADER = Header("toy", "abc", {}, {"accuracy": "maximize"}, seed=5, lag=2)


def write(folder: Path) -> Journal:
    journal = Journal(folder, HEADER)
    outcomes = {
        0: Result(0, "completed", {"accuracy": 0.5}),
        1: Result(1, "failed", reason="the loss is not a number", details={"traceback": TRACEBACK}),
        2: Result(2, "completed", {"accuracy": 0.75}),
        3: Result(3, "infeasible", {"macs": 9}, reason="macs = 9 is above the most allowed, 5"),
        4: Result(4, "completed", {"accuracy": 0.5}),
    }
    for k in range(7):
        journal.asked(
            "search", k, Candidate(Architecture({"x": 0 if k == 4 else k})), {"epochs": 1}, 0 if k == 4 else None
        )
        if k in outcomes:
            journal.finished("search", outcomes[k], elapsed_s=k + 1.0)
    journal.told("search", Trial(0, Candidate(Architecture({"x": 0})), "completed", {"accuracy": 0.5}))
    return journal


def test_status_tells_running_done_failed_and_best(tmp_path: Path) -> None:
    with write(tmp_path):
        found = status(tmp_path)
        assert found.writer == os.getpid()
    (phase,) = found.phases
    assert (found.space, found.seed, found.lag, phase.name, phase.asked) == ("toy", 5, 2, "search", 7)
    assert phase.running == (5, 6)
    assert phase.counts == {"completed": 3, "infeasible": 1, "stopped": 0, "failed": 1}
    assert phase.failed == ((1, "the loss is not a number"),)
    assert phase.tracebacks == {1: TRACEBACK}
    assert phase.infeasible == ((3, "macs = 9 is above the most allowed, 5"),)
    assert phase.reused == 1
    assert [trial.number for trial in phase.best] == [2, 0]
    assert phase.elapsed_s == 5.0
    assert status(tmp_path).writer is None


def test_status_is_plain_json(tmp_path: Path) -> None:
    write(tmp_path).close()
    record = json.loads(json.dumps(status(tmp_path).to_json()))
    assert record["phases"][0]["best"][0] == {
        "trial": 2,
        "architecture": {"x": 2},
        "measurements": {"accuracy": 0.75},
    }
    assert record["phases"][0]["failed"] == [{"trial": 1, "reason": "the loss is not a number", "traceback": TRACEBACK}]


def test_a_run_that_has_only_begun_has_no_phase(tmp_path: Path) -> None:
    with Journal(tmp_path, HEADER):
        assert status(tmp_path).phases == ()


def test_the_journal_itself_is_not_a_run(tmp_path: Path) -> None:
    write(tmp_path).close()
    with pytest.raises(NotARunError, match=r"journal\.jsonl is not a run: it is a file"):
        status(tmp_path / "journal.jsonl")
