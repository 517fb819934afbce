"""A run as Optuna studies, and the page that shows them: what its API answers is what the journal holds."""

import importlib.util
import itertools
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from nasengine.errors import NotARunError
from nasengine.records import Architecture, Candidate, Result
from nasengine.report.mirror import Mirror
from nasengine.runs import JOURNAL_NAME, Header, Journal, read_journal
from tests.cli.conftest import Nasengine, nasengine

__all__ = ["nasengine"]

CHOICES = {
    "width": [16, 32, 64],
    "rate": [0.1, 0.2, 0.5],
    "block": ["conv", "skip"],
    "skip": [False, True],
    "taps": [[1], [1, 2]],
    "block.kernel": [3, 5, 7],
}
HEADER = Header("toy", "abc", CHOICES, {"accuracy": "maximize", "macs": "minimize"}, seed=5, lag=2)
CONV = Architecture({"width": 32, "rate": 0.2, "block": "conv", "skip": True, "taps": [1, 2], "block.kernel": 5})
SKIP = Architecture({"width": 64, "rate": 0.5, "block": "skip", "skip": False, "taps": [1]})
OTHERS = [
    Architecture({"width": width, "rate": rate, "block": "skip", "skip": skip, "taps": taps})
    for width, rate, skip, taps in itertools.product([16, 32], [0.1, 0.2, 0.5], [False, True], [[1], [1, 2]])
]
OUTCOMES = {
    0: Result(0, "completed", {"accuracy": 0.5, "macs": 7, "params": 3}, seconds=2.0),
    1: Result(1, "failed", reason="the loss is not a number"),
    2: Result(2, "infeasible", {"accuracy": 0.9, "macs": 99}, reason="macs = 99 is above the most allowed, 9"),
    3: Result(3, "infeasible", {"macs": 99}, reason="macs = 99 is above the most allowed, 9"),
    4: Result(4, "stopped", {"accuracy": 0.25, "macs": 7}, reason="3 of 27 epochs"),
}


def write(folder: Path, trials: int = 6) -> Journal:
    """Two phases; the last trial of the first has no outcome."""
    journal = Journal(folder, HEADER)
    for k in range(trials):
        budget = {"epochs": 3, "of_epochs": 27} if k == 4 else {"epochs": 27}
        architecture = OTHERS[k - 6] if k >= 6 else CONV if k % 2 == 0 else SKIP
        journal.asked("search", k, Candidate(architecture, (0,) if k else ()), budget)
        if k < trials - 1:
            journal.finished("search", OUTCOMES.get(k, Result(k, "completed", {"accuracy": k, "macs": k})), k + 2.5)
    journal.asked("again", 0, Candidate(CONV), {})
    journal.finished("again", Result(0, "completed", {"accuracy": 0.1, "macs": 1}), 1.0)
    return journal


def studies(mirror: Mirror) -> dict[str, optuna.Study]:
    names = [study.study_name for study in mirror.storage.get_all_studies()]
    return {name.partition("/")[2]: optuna.load_study(study_name=name, storage=mirror.storage) for name in names}


@pytest.fixture
def found(tmp_path: Path) -> Iterator[dict[str, optuna.Study]]:
    with write(tmp_path):
        yield studies(Mirror(tmp_path, most=100))


def test_each_phase_is_a_study_with_the_objectives_and_their_directions(found: dict[str, optuna.Study]) -> None:
    assert list(found) == ["search", "again"]
    assert [direction.name for direction in found["search"].directions] == ["MAXIMIZE", "MINIMIZE"]
    assert found["search"].metric_names == ["accuracy", "macs"]
    assert found["search"].user_attrs["space"] == "toy"


def test_a_trial_has_the_options_of_its_architecture_and_no_others(found: dict[str, optuna.Study]) -> None:
    first, second = found["search"].trials[:2]
    assert first.params == {
        "width": 32, "rate": 0.2, "block": "conv", "skip": "true", "taps": "[1, 2]", "block.kernel": 5
    }  # fmt: skip
    assert "block.kernel" not in second.params
    assert first.distributions["width"] == optuna.distributions.IntDistribution(16, 64, step=16)
    assert first.distributions["block"] == optuna.distributions.CategoricalDistribution(["conv", "skip"])


def test_outcomes_become_states_values_and_constraints(found: dict[str, optuna.Study]) -> None:
    trials = found["search"].trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE", "FAIL", "PRUNED", "RUNNING"]
    assert trials[0].values == [0.5, 7]
    assert not trials[0].constraints
    assert list(trials[2].constraints.values()) == [1.0]
    assert trials[4].intermediate_values == {3: 0.25}
    assert trials[1].user_attrs["reason"] == "the loss is not a number"
    assert trials[0].user_attrs["params"] == 3
    assert trials[1].user_attrs["parents"] == [0]
    assert trials[0].duration is not None
    assert trials[0].duration.total_seconds() == 2.0


def test_what_the_journal_gains_is_taken_in_and_the_journal_is_left_alone(tmp_path: Path) -> None:
    with write(tmp_path) as journal:
        mirror = Mirror(tmp_path, most=100)
        before = (tmp_path / JOURNAL_NAME).read_bytes()
        assert mirror.update() == 0.0
        assert (tmp_path / JOURNAL_NAME).read_bytes() == before
        journal.finished("search", Result(5, "completed", {"accuracy": 0.75, "macs": 5}), 9.0)
        journal.asked("search", 6, Candidate(SKIP), {})
        mirror.update()
        trials = studies(mirror)["search"].trials
        assert [trial.state.name for trial in trials[5:]] == ["COMPLETE", "RUNNING"]
        assert trials[5].values == [0.75, 5]


def test_a_trial_of_a_run_that_nobody_writes_waits(tmp_path: Path) -> None:
    write(tmp_path).close()
    assert studies(Mirror(tmp_path, most=100))["search"].trials[5].state.name == "WAITING"


def test_of_a_large_search_the_best_and_the_last_are_shown_and_it_says_so(tmp_path: Path) -> None:
    write(tmp_path, trials=30).close()
    mirror = Mirror(tmp_path, most=10)
    shown = [trial.user_attrs["trial"] for trial in studies(mirror)["search"].trials]
    assert set(range(25, 30)) < set(shown)
    assert 5 in shown  # the end of the front with the fewest macs
    assert len(shown) <= 10
    assert mirror.notes == [f"{tmp_path.name}/search: the best 5 and the last 5 of 30 trials are shown"]


@contextmanager
def dashboard(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`nasengine dashboard` in a process of its own: its address and the process."""
    command = [sys.executable, "-m", "nasengine", "dashboard", str(folder), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.communicate()[1]
        yield line.split()[1].rstrip("/"), process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


def trials_of(address: str, study: int) -> list[Any]:
    trials: list[Any] = ask(f"{address}/api/studies/{study}?after=0")["trials"]
    return trials


def test_the_api_of_the_page_answers_what_the_journal_holds_also_later(tmp_path: Path) -> None:
    with write(tmp_path) as journal, dashboard(tmp_path) as (address, process):
        summaries = ask(f"{address}/api/studies")["study_summaries"]
        assert [summary["study_name"] for summary in summaries] == [f"{tmp_path.name}/search", f"{tmp_path.name}/again"]
        shown = trials_of(address, summaries[0]["study_id"])
        history = read_journal(tmp_path).history("search")
        assert len(shown) == len(history.asked) == 6
        for trial, record in zip(shown, history.asked, strict=True):
            options = {param["name"]: param["param_external_value"] for param in trial["params"]}
            assert set(options) == set(record.candidate.architecture)
            assert options["width"] == str(record.candidate.architecture["width"])
        assert shown[0]["values"] == [0.5, 7]
        assert urllib.request.urlopen(f"{address}/dashboard", timeout=30).status == 200

        journal.finished("search", Result(5, "completed", {"accuracy": 0.75, "macs": 5}), 9.0)
        until = time.monotonic() + 30
        while trials_of(address, summaries[0]["study_id"])[5]["state"] != "Complete":
            assert time.monotonic() < until, "the page does not follow the run"
            time.sleep(0.2)

        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (130, "", "interrupted\n")


def test_a_port_that_is_taken_is_said(tmp_path: Path, nasengine: Nasengine) -> None:
    write(tmp_path).close()
    with dashboard(tmp_path) as (address, _):
        port = address.rpartition(":")[2]
        refused = nasengine("dashboard", tmp_path, "--port", port, "--no-browser")
        assert refused.exit_code == 2
        assert f"port {port} of 127.0.0.1 cannot be used" in refused.stderr


def test_what_is_no_run_is_said(tmp_path: Path, nasengine: Nasengine) -> None:
    with pytest.raises(NotARunError):
        Mirror(tmp_path, most=100)
    assert nasengine("dashboard", tmp_path, "--no-browser").exit_code == 2


def test_a_missing_package_is_said_with_what_to_install(
    tmp_path: Path, nasengine: Nasengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna_dashboard" else find(name))
    refused = nasengine("dashboard", tmp_path)
    assert refused.exit_code == 2
    assert "needs optuna-dashboard, not installed" in refused.stderr
    assert "pip install 'nasengine[dashboard]'" in refused.stderr
