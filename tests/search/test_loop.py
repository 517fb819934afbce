"""The search loop: the lag rule, outcomes, equal architectures, replay, interrupts and time."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasengine.errors import BuildError, RunError
from nasengine.objectives import Constraint, best_first
from nasengine.records import Architecture, Job, Result
from nasengine.runs import JOURNAL_NAME, canonical_records, read_journal, status
from nasengine.search.loop import SearchEvent, SearchOutcome
from nasengine.search.proposals import job_seed
from tests.search.looping import OBJECTIVES, Evaluator, Listed, Shuffling, kinds, search

# ------------------------------------------------------------------------------------------------ the lag rule


@pytest.mark.parametrize("lag", [1, 2, 5, 40])
def test_before_trial_k_exactly_the_trials_up_to_k_minus_lag_are_told(tmp_path: Path, lag: int) -> None:
    algorithm = Listed(range(12))
    outcome = search(tmp_path, algorithm, Evaluator(), lag=lag)
    assert algorithm.told_before == [list(range(k - lag + 1)) for k in range(12)]
    assert [trial.number for trial in algorithm.told] == list(range(12))
    assert (outcome.stopped_by, len(outcome.trials)) == ("trials", 12)


def test_the_journal_tells_each_trial_right_before_the_ask_that_needs_it(tmp_path: Path) -> None:
    search(tmp_path, Listed(range(4)), Evaluator(), trials=4, lag=2)
    expected = ["asked 0", "asked 1", "told 0", "asked 2", "told 1", "asked 3", "told 2", "told 3"]
    assert kinds(tmp_path) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_canonical_journal_does_not_depend_on_who_ends_first(tmp_path_factory, lag, capacity, random) -> None:
    values = [1, 2, 3, 2, 5, 1, 7, 3, 9, 2, 11, 12, 9, 14]
    folder = tmp_path_factory.mktemp("runs")
    search(folder / "a", Listed(values), Evaluator(), trials=14, lag=lag)
    executor = Shuffling(Evaluator(), capacity, lambda n: random.randrange(n))
    search(folder / "b", Listed(values), executor, trials=14, lag=lag)
    assert canonical_records(folder / "a") == canonical_records(folder / "b")
    assert executor.most <= min(lag, capacity)


def test_no_more_is_asked_than_keeps_the_executor_busy(tmp_path: Path) -> None:
    executor = Shuffling(Evaluator(), 3, lambda n: 0)
    search(tmp_path, Listed(range(12)), executor, lag=16)
    assert executor.most == 3


def test_a_lag_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lag must be at least 1, got 0"):
        search(tmp_path, Listed(range(3)), Evaluator(), lag=0)


# ---------------------------------------------------------------------------------------------------- outcomes


def test_a_search_ends_when_the_algorithm_has_nothing_left(tmp_path: Path) -> None:
    outcome = search(tmp_path, Listed(range(5)), Evaluator(), trials=None)
    assert (outcome.stopped_by, len(outcome.trials)) == ("exhausted", 5)


def test_equal_architectures_are_measured_once(tmp_path: Path) -> None:
    evaluator = Evaluator()
    outcome = search(tmp_path, Listed([4, 5, 4, 4, 6]), evaluator, trials=5, lag=16)
    assert [job.trial for job in evaluator.jobs] == [0, 1, 4]
    assert [trial.measurements["accuracy"] for trial in outcome.trials] == [0.04, 0.05, 0.04, 0.04, 0.06]
    assert [record["same_as"] for record in canonical_records(tmp_path)] == [None, None, 0, 0, None] * 2
    assert status(tmp_path).phases[0].reused == 2


def test_a_copy_waits_for_the_trial_it_copies(tmp_path: Path) -> None:
    executor = Shuffling(Evaluator(), 2, lambda n: n - 1)  # trial 0 is the last to end
    outcome = search(tmp_path, Listed([4, 4, 4, 5]), executor, trials=4, lag=16)
    assert [trial.measurements["accuracy"] for trial in outcome.trials] == [0.04, 0.04, 0.04, 0.05]
    assert [job.trial for job in executor.evaluator.jobs] == [3, 0]


def test_copies_can_be_measured_again_where_that_is_wanted(tmp_path: Path) -> None:
    evaluator = Evaluator()
    search(tmp_path, Listed([4, 4]), evaluator, trials=2, reuse=False)
    assert [job.trial for job in evaluator.jobs] == [0, 1]
    assert evaluator.jobs[0].seed != evaluator.jobs[1].seed


def test_a_copy_of_a_failed_trial_is_failed_too(tmp_path: Path) -> None:
    def fails(job: Job) -> Result:
        raise ValueError("no")

    outcome = search(tmp_path, Listed([4, 4]), Evaluator({4: fails}), trials=2)
    assert [(trial.status, trial.reason) for trial in outcome.trials] == [("failed", "ValueError: no")] * 2


def test_a_trial_that_raises_is_told_as_failed_and_keeps_its_traceback(tmp_path: Path) -> None:
    def fails(job: Job) -> Result:
        raise ValueError("no such width")

    algorithm = Listed([1, 2, 3])
    outcome = search(tmp_path, algorithm, Evaluator({2: fails}), trials=3)
    assert [trial.status for trial in outcome.trials] == ["completed", "failed", "completed"]
    assert algorithm.told[1].reason == "ValueError: no such width"
    assert "no such width" in read_journal(tmp_path).history("search").finished[1].details["traceback"]


def test_a_trial_that_breaks_a_priced_constraint_is_told_without_running(tmp_path: Path) -> None:
    evaluator = Evaluator()
    outcome = search(
        tmp_path,
        Listed([1, 7, 3]),
        evaluator,
        trials=3,
        price=lambda architecture: {"macs": 100 * architecture["x"]},
        constraints=[Constraint("macs", high=500)],
    )
    assert [job.trial for job in evaluator.jobs] == [0, 2]
    assert [trial.status for trial in outcome.trials] == ["completed", "infeasible", "completed"]
    assert outcome.trials[1].measurements == {"macs": 700}
    assert outcome.trials[1].reason == "macs = 700 is above the most allowed, 500"
    assert outcome.trials[0].measurements == {"accuracy": 0.01, "macs": 100}


def test_a_constraint_on_a_measurement_is_judged_after_running(tmp_path: Path) -> None:
    evaluator = Evaluator()
    outcome = search(tmp_path, Listed([1, 7]), evaluator, trials=2, constraints=[Constraint("accuracy", low=0.05)])
    assert len(evaluator.jobs) == 2
    assert [trial.status for trial in outcome.trials] == ["infeasible", "completed"]
    assert outcome.trials[0].measurements == {"accuracy": 0.01}


def test_a_trial_that_measured_no_objective_is_failed(tmp_path: Path) -> None:
    evaluator = Evaluator({2: lambda job: Result(job.trial, "completed", {"loss": 1.0})})
    outcome = search(tmp_path, Listed([1, 2]), evaluator, trials=2)
    assert (outcome.trials[1].status, outcome.trials[1].reason) == ("failed", "did not measure accuracy, only loss")


def test_a_trial_that_its_evaluator_stopped_is_ranked_only_if_it_measured_every_objective(tmp_path: Path) -> None:
    evaluator = Evaluator(
        {
            2: lambda job: Result(job.trial, "stopped", {}, "gave up"),
            3: lambda job: Result(job.trial, "stopped", {"accuracy": 0.9}, "converged"),
        }
    )
    outcome = search(tmp_path, Listed([1, 2, 3]), evaluator, trials=3)
    assert [(trial.status, trial.reason) for trial in outcome.trials[1:]] == [
        ("failed", "gave up; did not measure accuracy, only nothing"),
        ("stopped", "converged"),
    ]
    assert [trial.number for trial in best_first(outcome.trials, OBJECTIVES)] == [0, 2]


def test_an_architecture_that_cannot_be_priced_is_failed(tmp_path: Path) -> None:
    def price(architecture: Architecture) -> dict[str, float]:
        if architecture["x"] == 2:
            raise BuildError("the branches end at different sizes")
        return {"macs": 1}

    evaluator = Evaluator()
    outcome = search(tmp_path, Listed([1, 2]), evaluator, trials=2, price=price)
    assert outcome.trials[1].reason == "the branches end at different sizes"
    assert len(evaluator.jobs) == 1


def test_every_job_has_the_budget_and_a_seed_of_its_own(tmp_path: Path) -> None:
    evaluator = Evaluator()
    search(tmp_path, Listed(range(20)), evaluator, trials=20)
    assert all(job.budget == {"epochs": 2} for job in evaluator.jobs)
    assert [job.seed for job in evaluator.jobs] == [job_seed(1, k) for k in range(20)]
    assert len({job.seed for job in evaluator.jobs}) == 20


# ------------------------------------------------------------------------------------------------------ resume


VALUES = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]


def fails_at_nine(job: Job) -> Result:
    raise ValueError("nine")


def complete(folder: Path) -> tuple[bytes, list[dict[str, object]]]:
    """An uninterrupted run: its journal and its canonical records."""
    search(folder, Listed(VALUES), Evaluator({9: fails_at_nine}))
    return (folder / JOURNAL_NAME).read_bytes(), canonical_records(folder)


@pytest.mark.parametrize("capacity", [1, 3])
def test_a_run_cut_at_any_line_resumes_to_the_same_canonical_journal(tmp_path: Path, capacity: int) -> None:
    whole, expected = complete(tmp_path / "whole")
    lines = whole.splitlines(keepends=True)
    for kept in range(0, len(lines), 2):
        folder = tmp_path / f"cut_{kept}"
        folder.mkdir()
        (folder / JOURNAL_NAME).write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        evaluator = Evaluator({9: fails_at_nine})
        algorithm = Listed(VALUES)
        executor = Shuffling(evaluator, capacity, lambda n: n - 1) if capacity > 1 else evaluator
        if capacity > 1:
            evaluator.actions = {9: lambda job: Result(job.trial, "failed", reason="ValueError: nine")}
        search(folder, algorithm, executor)
        assert canonical_records(folder) == expected
        assert [trial.number for trial in algorithm.told] == list(range(12))
        done = {json.loads(line)["trial"] for line in lines[1:kept] if json.loads(line)["record"] == "finished"}
        assert not done & {job.trial for job in evaluator.jobs}


def test_a_finished_run_resumes_to_nothing(tmp_path: Path) -> None:
    whole, _ = complete(tmp_path / "run")
    evaluator = Evaluator()
    outcome = search(tmp_path / "run", Listed(VALUES), evaluator)
    assert evaluator.jobs == []
    assert (tmp_path / "run" / JOURNAL_NAME).read_bytes() == whole
    assert len(outcome.trials) == 12


def test_a_finished_run_can_be_extended(tmp_path: Path) -> None:
    search(tmp_path, Listed(VALUES), Evaluator(), trials=4)
    algorithm = Listed(VALUES)
    outcome = search(tmp_path, algorithm, Evaluator(), trials=8)
    assert len(outcome.trials) == 8
    assert algorithm.told_before[4:] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    search(tmp_path, Listed(VALUES), Evaluator(), trials=8)


def test_an_algorithm_that_answers_otherwise_cannot_resume(tmp_path: Path) -> None:
    complete(tmp_path)
    with pytest.raises(RunError, match="trial 2 of phase 'search' is asked differently"):
        search(tmp_path, Listed([3, 1, 7]), Evaluator())
    with pytest.raises(RunError, match="the code, the settings or the seed changed"):
        search(tmp_path, Listed(VALUES), Evaluator(), budget={"epochs": 3})


def test_wall_time_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def slow(job: Job) -> None:
        time.sleep(0.25)

    first = search(tmp_path, Listed([1, 2]), Evaluator({1: slow}), trials=2)
    assert first.elapsed_s >= 0.25
    again = Evaluator()
    outcome = search(tmp_path, Listed([1, 2, 3]), again, trials=3, seconds=0.2)
    assert again.jobs == []  # the time was used up before
    assert (outcome.stopped_by, len(outcome.trials)) == ("time", 2)
    assert outcome.elapsed_s >= 0.25


# ------------------------------------------------------------------------------------------ time and interrupts


def test_a_time_budget_ends_asking_but_not_measuring(tmp_path: Path) -> None:
    def slow(job: Job) -> None:
        time.sleep(0.15)

    outcome = search(tmp_path, Listed(range(100)), Evaluator(dict.fromkeys(range(100), slow)), trials=100, seconds=0.4)
    assert outcome.stopped_by == "time"
    assert 2 <= len(outcome.trials) <= 4
    assert all(trial.completed for trial in outcome.trials)


def interrupting(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)  # time enough for the signal to arrive while the trial runs


def test_ctrl_c_finishes_what_runs_and_loses_nothing(tmp_path: Path) -> None:
    _, expected = complete(tmp_path / "whole")
    events: list[SearchEvent] = []
    folder = tmp_path / "interrupted"
    actions = {9: fails_at_nine, 4: interrupting}
    with pytest.raises(KeyboardInterrupt):
        search(folder, Listed(VALUES), Evaluator(actions), on_event=events.append)
    assert "interrupted" in {event.kind for event in events}
    assert sorted(read_journal(folder).history("search").finished) == [0, 1, 2]  # trial 2, x = 4, was finished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    search(folder, Listed(VALUES), Evaluator({9: fails_at_nine}))
    assert canonical_records(folder) == expected


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def twice(job: Job) -> None:
        interrupting(job)
        interrupting(job)
        raise AssertionError("the second one should have ended this trial")

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Listed(VALUES), Evaluator({4: twice}))
    assert sorted(read_journal(tmp_path).history("search").finished) == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_signals_are_left_alone(tmp_path: Path) -> None:
    outcomes: list[SearchOutcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(search(tmp_path, Listed(VALUES), Evaluator())))
    thread.start()
    thread.join()
    assert len(outcomes[0].trials) == 12


# ------------------------------------------------------------------------------------------------------ events


def test_events_tell_the_whole_story_in_order(tmp_path: Path) -> None:
    events: list[SearchEvent] = []
    search(tmp_path, Listed([7, 8, 7]), Evaluator(), trials=3, lag=2, on_event=events.append)
    story = [(event.kind, event.trial.number if event.trial else None) for event in events]
    assert story == [
        ("asked", None),
        ("ended", 0),
        ("asked", None),
        ("ended", 1),
        ("told", 0),
        ("asked", None),
        ("ended", 2),
        ("told", 1),
        ("told", 2),
        ("done", None),
    ]
    assert events[6].same_as == 0
    assert (events[-1].asked, events[-1].ended, events[-1].told, events[-1].trials) == (3, 3, 3, 3)
    events.clear()
    search(tmp_path, Listed([7, 8, 7]), Evaluator(), trials=3, lag=2, on_event=events.append)
    assert [(event.kind, event.ended) for event in events] == [("resumed", 3), ("done", 3)]


def test_events_say_of_how_many_trials_where_budget_or_algorithm_ends(tmp_path: Path) -> None:
    known: list[int | None] = []
    for case, (ends_after, trials) in enumerate([(3, None), (3, 2), (2, 3), (None, 3), (None, None)]):
        events: list[SearchEvent] = []
        algorithm = Listed([7, 8, 9])
        algorithm.ends_after = ends_after
        search(tmp_path / str(case), algorithm, Evaluator(), trials=trials, on_event=events.append)
        assert len({event.trials for event in events}) == 1
        known.append(events[0].trials)
    assert known == [3, 2, 2, 3, None]


def test_the_details_of_a_result_come_with_its_event(tmp_path: Path) -> None:
    events: list[SearchEvent] = []
    curve = {"curve": [{"epoch": 1, "loss": 0.5}]}
    evaluator = Evaluator({2: lambda job: Result(job.trial, "completed", {"accuracy": 0.1}, details=curve)})
    search(tmp_path, Listed([1, 2]), evaluator, trials=2, on_event=events.append)
    assert [event.details for event in events if event.kind == "ended"] == [{}, curve]
