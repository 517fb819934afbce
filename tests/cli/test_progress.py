"""What a watched run prints: plain lines for a pipe, a bar for a terminal."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from nasengine.cli.progress import Bar, Lines, Pace, Watcher, time_left, watcher
from nasengine.records import Architecture, Candidate, Trial
from nasengine.search.events import (
    Event,
    Note,
    PhaseEnded,
    PhaseSkipped,
    PhaseStarted,
    PreparationProgress,
    SearchProgress,
    TrainingEnded,
    TrainingProgress,
)
from nasengine.search.loop import SearchEvent


def trial(number: int, accuracy: float | None) -> Trial:
    candidate = Candidate(Architecture({"network.width": number}))
    if accuracy is None:
        return Trial(number, candidate, "failed", {}, "the loss is no number")
    return Trial(number, candidate, "completed", {"accuracy": accuracy, "params": 7.0})


def events() -> Iterator[Event]:
    """A search of three trials, the second failed, and a training of 20 epochs."""
    yield PhaseStarted("search", "search")
    outcomes = [trial(0, 0.5), trial(1, None), trial(2, 0.75)]
    for number, ended in enumerate(outcomes):
        best = outcomes[2] if number == 2 else outcomes[0]
        progress = SearchEvent("ended", 3, number + 1, number, 1, 10.0 * (number + 1), 3, ended, None, 9.5)
        yield SearchProgress("search", progress, best, 1)
    yield PhaseEnded("search", 30.0, "3 trials")
    yield PhaseStarted("retrain", "retrain")
    for epoch in range(1, 21):
        yield TrainingProgress("retrain", "trial-2-seed-0", epoch, 20, {"loss": 1.0 / epoch}, seconds=3.0)
    yield TrainingEnded(
        "retrain", 1, 1, {"name": "trial-2-seed-0", "status": "completed", "measurements": {"test_accuracy": 0.8}}
    )
    yield PhaseSkipped("later", "finished before")
    yield Note("mind [this]")


def test_lines_say_each_trial_the_best_so_far_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.objectives = ("accuracy",)
    with lines:
        for event in events():
            lines(event)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:5] == [
        "search",
        "  1/3, trial 0, completed, accuracy 0.5, in 9.5 s; 20.0 s left",
        "  2/3, trial 1, failed, the loss is no number, best accuracy 0.5 (trial 0); 10.0 s left",
        "  3/3, trial 2, completed, accuracy 0.75, in 9.5 s",
        "search done in 30.0 s: 3 trials",
    ]
    epochs = [line for line in printed if "epoch" in line]
    assert len(epochs) == 10
    assert epochs[-1] == "  trial-2-seed-0: epoch 20/20, loss 0.05"
    assert printed[-3:] == ["  1/1, trial-2-seed-0: test_accuracy 0.8", "later: finished before", "note: mind [this]"]


def test_a_bar_keeps_new_bests_and_failures_and_shows_the_rest_live() -> None:
    bar = Bar()
    bar.objectives = ("accuracy",)
    screen = io.StringIO()
    bar._bar.live.console = Console(file=screen, force_terminal=True, width=140, color_system=None, markup=False)
    with bar:
        for event in events():
            bar(event)
            bar._bar.refresh()
    text = screen.getvalue()
    kept = [line for line in text.replace("\r", "\n").splitlines() if "trial" in line and "in 9.5 s" in line]
    assert sum("accuracy 0.5, in" in line for line in kept) == 1
    assert "failed, the loss is no number" in text
    assert "best accuracy 0.75 (trial 2)" in text
    assert "20/20" in text
    assert "54.0 s left" in text  # after 2 of 20 epochs of 3 s
    assert "mind [this]" in text


def test_one_slow_epoch_does_not_move_the_time_left() -> None:
    pace = Pace()
    shown = [
        pace.left("prepare", PreparationProgress("prepare", epoch, 10, {}, seconds))
        for epoch, seconds in enumerate((60.0, 1.0, 1.0, 1.0, 31.0), 1)
    ]
    assert shown[2:] == ["7.0 s left", "6.0 s left", "5.0 s left"]
    assert pace.left("another", PreparationProgress("another", 1, 10, {}, 3.0)) == "27.0 s left"
    assert pace.left("prepare", PreparationProgress("prepare", 10, 10, {}, 1.0)) == ""


def test_the_time_left_follows_the_pace_so_far() -> None:
    assert time_left(SearchEvent("ended", 10, 2, 0, 1, 30.0, 10)) == "2 min 00 s"
    assert time_left(SearchEvent("asked", 1, 0, 0, 1, 0.5, 10)) == ""
    assert time_left(SearchEvent("ended", 1, 1, 0, 1, 0.5, None)) == ""
    assert time_left(SearchEvent("done", 10, 10, 10, 0, 30.0, 10)) == ""


def test_the_watcher_fits_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(watcher(as_json=True)) is Watcher
    assert type(watcher(as_json=False)) is Lines
    monkeypatch.setattr("nasengine.cli.progress.is_terminal", lambda: True)
    assert type(watcher(as_json=False)) is Bar


def test_before_the_run_has_started_there_is_no_folder_to_resume() -> None:
    assert Lines().folder is None
