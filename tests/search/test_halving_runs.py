"""Whole runs under successive halving: checkpoints gone on with, lost and removed, and the same trials every time."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import nasengine as nas
from nasengine.errors import InputError
from nasengine.objectives import best_first, parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.runs import JOURNAL_NAME, canonical_records, read_journal
from nasengine.search.language.strategy import strategy_from_mapping
from nasengine.search.language.values import check_values
from nasengine.search.searching import read_ranking
from nasengine.training import course
from tests.search.small import quick_search, quick_strategy

STRATEGY = """
name: halving
data: {name: synthetic, validation: 0.25, batch: 32, limit: 128}
objectives: {accuracy: maximize}
lag: 3
phases:
  - search:
      scheduler: {type: successive_halving, reduction: 2, rungs: 3}
      algorithm: random_search
      evaluator: {type: standalone, optimizer: {type: sgd, rate: 0.1}, ema: 0.9, budget: {epochs: 4}}
      budget: {trials: 14}
"""


def halved(folder: Path, *overrides: str, **keywords: Any) -> Any:
    return quick_search(folder, *overrides, text=STRATEGY, **keywords)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, whose checkpoints were used."""
    folder = tmp_path_factory.mktemp("halving") / "whole"
    halved(folder)
    return folder


class Losing:
    """Loses every checkpoint as soon as a trial has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lost = folder / "search" / "checkpoints", 0

    def __call__(self, event: Any) -> None:
        if self.folder.is_dir():
            self.lost += 1
            shutil.rmtree(self.folder)


def test_it_has_trials_at_every_rung_and_leaves_no_checkpoint(whole: Path) -> None:
    trials = read_journal(whole).history("search").trials
    assert len(trials) == 14
    reasons = [trial.reason for trial in trials]
    assert reasons.count("1 of 4 epochs") >= 5
    assert reasons.count("2 of 4 epochs") >= 2
    assert sum(trial.completed for trial in trials) >= 1
    assert all(trial.status == "stopped" for trial in trials if trial.reason)
    assert not (whole / "search" / "checkpoints").exists()


def test_a_trial_that_goes_on_trains_only_what_is_left(whole: Path) -> None:
    history = read_journal(whole).history("search")
    resumed = [record for record in history.asked if record.resumes is not None]
    assert resumed
    for record in resumed:
        curve = history.finished[record.trial].details["curve"]
        before = history.finished[record.resumes].details["curve"]
        assert curve[: len(before)] == before
        assert [point["epoch"] for point in curve] == list(range(1, int(record.budget["epochs"]) + 1))


@pytest.mark.parametrize("horizon", ["full", "rung"])
def test_lost_checkpoints_cost_time_and_change_nothing(tmp_path: Path, horizon: str) -> None:
    change = f"search.scheduler.horizon={horizon}"
    halved(tmp_path / "kept", change)
    losing = Losing(tmp_path / "lost")
    halved(tmp_path / "lost", change, on_event=losing)
    assert losing.lost > 5
    assert canonical_records(tmp_path / "kept") == canonical_records(tmp_path / "lost")


def test_the_learning_rate_follows_the_stated_horizon(whole: Path, tmp_path: Path) -> None:
    def rates(folder: Path) -> list[float]:
        history = read_journal(folder).history("search")
        last = next(
            record.trial for record in history.asked if record.resumes is not None and record.budget["epochs"] == 4
        )
        return [point["rate"] for point in history.finished[last].details["curve"]]

    steps = 3  # in an epoch of 96 images
    full = rates(whole)
    halved(tmp_path / "rung", "search.scheduler.horizon=rung")
    rung = rates(tmp_path / "rung")

    def cosine(done: float, epochs: float) -> float:
        return 0.1 * (1 + math.cos(math.pi * done / epochs)) / 2

    ends = [epoch + (steps - 1) / steps for epoch in range(4)]  # the last step of each epoch
    assert full == pytest.approx([cosine(end, 4) for end in ends])
    assert rung == pytest.approx(
        [cosine(ends[0], 1), cosine(ends[1] - 1, 1), cosine(ends[2] - 2, 2), cosine(ends[3] - 2, 2)]
    )


@pytest.mark.parametrize("lost", [False, True])
def test_a_run_cut_at_any_record_resumes_to_the_same_canonical_journal(whole: Path, tmp_path: Path, lost: bool) -> None:
    """As after a kill: the journal up to a line, and the checkpoints that happen to be there, or none."""
    expected = canonical_records(whole)
    lines = (whole / JOURNAL_NAME).read_bytes().splitlines(keepends=True)
    for kept in range(1 + lost, len(lines), 9):
        folder = tmp_path / f"cut_{kept}"
        folder.mkdir()
        shutil.copy(whole / "run.yaml", folder)
        (folder / JOURNAL_NAME).write_bytes(b"".join(lines[:kept]))
        nas.resume(folder, on_event=Losing(folder) if lost else None)
        assert canonical_records(folder) == expected


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_local_pool_find_the_same_trials(whole: Path, tmp_path: Path, workers: int) -> None:
    halved(tmp_path / "pool", executor="local", workers=workers)
    assert canonical_records(tmp_path / "pool") == canonical_records(whole)
    assert not (tmp_path / "pool" / "search" / "checkpoints").exists()


def test_an_architecture_is_ranked_once_by_its_largest_budget(whole: Path) -> None:
    trials = read_journal(whole).history("search").trials
    ranking = read_ranking(whole / "search" / "architectures.jsonl")
    architectures = [str(line["architecture"]) for line in ranking]
    assert len(set(architectures)) == len(architectures)
    assert {str(trial.architecture.to_json()) for trial in trials} == set(architectures)
    epochs = [line.get("budget", {}).get("epochs", 4) for line in ranking]
    assert epochs == sorted(epochs, reverse=True)
    assert [line.get("status", "completed") for line in ranking if line["rank"] == 0] == ["completed"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("search.scheduler.reduction=1", "reduction of successive_halving is 1"),
        ("search.scheduler.rungs=4", "divides 4 epochs into rungs of 0, 1, 2, 4"),
        ("search.scheduler.redaction=2", "unknown key 'redaction' in phases.search.scheduler"),
        ("search.scheduler=hyperbend", "unknown scheduler 'hyperbend'"),
    ],
)
def test_what_cannot_be_halved_is_refused_with_its_place(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        halved(tmp_path / "run", change)


def test_its_settings_survive_being_written_down() -> None:
    strategy = quick_strategy(text=STRATEGY)
    again = strategy_from_mapping(strategy.plain())
    assert again == strategy
    assert again.phases[0].plain()["scheduler"] == {"type": "successive_halving", "reduction": 2, "rungs": 3}


def test_epochs_before_a_checkpoint_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    epoch_batches = course.epoch_batches

    def counted(*arguments: Any, epoch: int, **keywords: Any) -> Any:
        trained.append(epoch)
        return epoch_batches(*arguments, epoch=epoch, **keywords)

    monkeypatch.setattr(course, "epoch_batches", counted)
    halved(tmp_path / "kept")
    history = read_journal(tmp_path / "kept").history("search")
    spent = {record.trial: int(record.budget["epochs"]) for record in history.asked}
    own = [record for record in history.asked if record.same_as is None]
    added = [spent[record.trial] - (0 if record.resumes is None else spent[record.resumes]) for record in own]
    assert len(trained) == sum(added)
    assert len(trained) < sum(spent[record.trial] for record in own)


def test_of_stopped_trials_the_longest_trained_is_ranked_first() -> None:
    def trial(number: int, x: int, accuracy: float, epochs: int) -> Trial:
        budget = None if epochs == 9 else {"epochs": epochs, "of_epochs": 9}
        candidate = Candidate(Architecture({"x": x}), (), budget)
        return Trial(number, candidate, "stopped" if budget else "completed", {"accuracy": accuracy})

    trials = [
        trial(0, 1, 0.9, 1), trial(1, 2, 0.8, 1), trial(2, 3, 0.1, 1), trial(3, 1, 0.3, 3), trial(4, 2, 0.4, 3),
        trial(5, 1, 0.2, 9), Trial(6, Candidate(Architecture({"x": 4})), "failed"),
    ]  # fmt: skip
    ranked = best_first(trials, parse_objectives({"accuracy": "maximize"}))
    assert [found.number for found in ranked] == [5, 4, 2]
    assert [found.status for found in ranked] == ["completed", "stopped", "stopped"]


def test_an_evaluator_without_parts_of_a_budget_is_refused() -> None:
    without = quick_strategy("search.evaluator={type: table, file: pooling36}", text=STRATEGY)
    (problem,) = check_values(without)
    assert "divides the budget of a trial, and the evaluator 'table' has none" in str(problem)
    whole = quick_strategy("search.evaluator={type: table, file: pooling36, budget: {epochs: 4}}", text=STRATEGY)
    (problem,) = check_values(whole)
    assert "the evaluator 'table' measures under its whole budget only" in str(problem)


def test_events_say_under_which_budget_a_trial_was_measured(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    halved(tmp_path / "run", on_event=lambda event: events.append(event.to_json()))
    trials = [event["trial"] for event in events if event["event"] == "search_ended"]
    assert trials[0]["budget"] == {"epochs": 1, "of_epochs": 4}
    resumed = [trial for trial in trials if "resumes" in trial]
    assert any(trial["budget"]["epochs"] == 2 for trial in resumed if "budget" in trial)
    assert any("budget" not in trial and trial["status"] == "completed" for trial in resumed)
    boards = tmp_path / "run" / "tensorboard" / "search"
    assert (boards / "trial-0").is_dir()
