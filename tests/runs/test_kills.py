"""Kills at random moments cost nothing, and neither do more workers: what the engine promises, shown end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def kills(repository: Path, number: int, trials: int, seed: int) -> dict[str, object]:
    """Trials last long enough that no search ends between its last target and the kill."""
    script = [sys.executable, "benchmarks/kills.py", "--kills", number, "--trials", trials, "--seed", seed]
    environment = {**os.environ, "PYTHONPATH": str(repository), "KILLS_TRIAL_S": "0.15"}
    done = subprocess.run(
        [str(part) for part in script], cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def check(report: dict[str, object], number: int) -> None:
    assert report["identical_with_1_worker"]
    assert report["identical_with_2_workers"]
    assert report["identical_after_kills"]
    assert report["workers_that_outlived_it"] == 0
    assert report["kills"] == number


def test_a_search_that_is_killed_leaves_the_journal_of_an_uninterrupted_one(repository: Path) -> None:
    check(kills(repository, 3, trials=30, seed=1), 3)


@pytest.mark.slow
def test_a_search_killed_many_times_leaves_the_journal_of_an_uninterrupted_one(repository: Path) -> None:
    report = kills(repository, 20, trials=200, seed=2)
    check(report, 20)
    assert report["reused"]
    assert set(report["outcomes"]) == {"completed", "infeasible", "failed"}
