"""What every executor promises, over the whole table of executors."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nasengine.errors import InputError, RunError
from nasengine.execution import EXECUTORS, Executor
from nasengine.records import Architecture, Job, Result, canonical_json

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))  # worker processes inherit the path

import scripted_evaluator

Open = Callable[..., Executor]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.ray) if name == "ray" else name for name in EXECUTORS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, request: pytest.FixtureRequest) -> Open:
    if kind == "ray":
        request.getfixturevalue("ray_machines")  # joined by what follows, instead of a Ray for each test
    return EXECUTORS[kind]


def job(trial: int, do: str = "measure") -> Job:
    return Job(trial, Architecture({"do": do, "x": trial}), {"epochs": 2}, seed=trial + 7)


def run(executor: Executor, jobs: list[Job]) -> dict[int, Result]:
    with executor:
        for one in jobs:
            executor.submit(one)
        return {result.trial: result for result in executor.results()}


def test_every_job_has_one_result_and_the_same_everywhere(opened: Open) -> None:
    jobs = [job(k) for k in range(7)]
    results = run(opened(scripted_evaluator.make), jobs)
    assert sorted(results) == list(range(7))
    for one in jobs:
        assert results[one.trial].status == "completed"
        assert results[one.trial].measurements == {"accuracy": scripted_evaluator.value_of(one.architecture)}
        assert results[one.trial].seconds > 0


def test_outstanding_counts_what_was_submitted_and_not_yielded(opened: Open) -> None:
    with opened(scripted_evaluator.make) as executor:
        assert executor.outstanding == 0
        assert executor.capacity >= 1
        assert isinstance(executor, Executor)
        for k in range(3):
            executor.submit(job(k))
        assert executor.outstanding == 3
        left = [executor.outstanding for _ in executor.results()]
        assert left == [2, 1, 0]


def test_jobs_may_be_submitted_while_results_arrive(opened: Open) -> None:
    with opened(scripted_evaluator.make) as executor:
        executor.submit(job(0))
        seen = []
        for result in executor.results():
            seen.append(result.trial)
            if result.trial < 4:
                executor.submit(job(result.trial + 1))
        assert seen == [0, 1, 2, 3, 4]
        executor.submit(job(5))
        assert [result.trial for result in executor.results()] == [5]


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("raise", "ValueError: the widths do not fit"),
        ("explain", "the loss is not a number after 3 steps"),
        ("exit", "SystemExit: 3"),
        ("nan", "accuracy is nan"),
        ("word", "accuracy is no number: 'high'"),
        ("wrong_trial", "the evaluator gave no result for this trial"),
        ("wrong_status", "the evaluator answered the unknown status 'splendid'"),
    ],
)
def test_what_goes_wrong_in_a_trial_fails_it_alone_and_says_why(opened: Open, do: str, reason: str) -> None:
    results = run(opened(scripted_evaluator.make), [job(0), job(1, do), job(2)])
    assert results[0].status == "completed"
    assert results[2].status == "completed"
    assert (results[1].status, results[1].reason) == ("failed", reason)


def test_a_trial_that_raised_keeps_its_traceback(opened: Open) -> None:
    result = run(opened(scripted_evaluator.make), [job(0, "raise")])[0]
    assert "scripted_evaluator.py" in result.details["traceback"]
    assert "second line" in result.details["traceback"]


def test_measurements_are_plain_numbers(opened: Open) -> None:
    result = run(opened(scripted_evaluator.make), [job(0, "numpy")])[0]
    assert type(result.measurements["accuracy"]) is float


def test_details_that_are_not_json_end_no_trial_and_can_be_kept_in_a_journal(opened: Open) -> None:
    results = run(opened(scripted_evaluator.make), [job(0, "details"), job(1, "details_of_itself")])
    assert {result.status for result in results.values()} == {"completed"}
    assert results[0].details == {"path": "x", "curve": [1, 2], "loss": "NaN", "seen": "{3}"}
    assert results[1].details == {"details": "cannot be kept: Circular reference detected"}
    assert canonical_json(results[0].to_json())


def test_an_evaluator_made_wrongly_by_a_person_is_bad_input(opened: Open) -> None:
    with pytest.raises(InputError, match="did you mean 'fashion'"):
        run(opened(scripted_evaluator.make_finds_bad_input), [job(0), job(1)])


def test_an_evaluator_that_cannot_be_made_ends_the_search(opened: Open) -> None:
    with pytest.raises((RunError, RuntimeError), match="the data set is broken"):
        run(opened(scripted_evaluator.make_fails), [job(0), job(1)])


def test_an_evaluator_that_wants_several_jobs_is_handed_as_many_as_wait(opened: Open) -> None:
    with opened(scripted_evaluator.make_counts_together, group=4) as executor:
        assert executor.capacity >= 4
        for k in range(7):
            executor.submit(job(k))
        assert executor.outstanding == 7
        results = {result.trial: result for result in executor.results()}
    assert sorted(results) == list(range(7))
    assert [results[k].measurements["together"] for k in range(7)] == [4] * 4 + [3] * 3


@pytest.mark.parametrize("do", ["raise", "leave"])
def test_one_of_a_group_that_goes_wrong_fails_alone(kind: str, opened: Open, do: str) -> None:
    if do == "leave" and not EXECUTORS[kind].has_workers:
        pytest.skip("there is no worker that could die alone")
    jobs = [job(0), job(1), job(2, do), job(3), job(4)]
    results = run(opened(scripted_evaluator.make_counts_together, group=4), jobs)
    assert {trial: result.status for trial, result in results.items()} == {
        trial: "failed" if trial == 2 else "completed" for trial in range(5)
    }


def test_a_time_limit_is_for_one_job(kind: str, opened: Open) -> None:
    if EXECUTORS[kind].has_workers:
        with pytest.raises(ValueError, match="a time limit is for one job"):
            opened(scripted_evaluator.make, group=2, timeout_s=5.0)
    with pytest.raises(ValueError, match="at least one job in a group"):
        opened(scripted_evaluator.make, group=0)


def test_closing_drops_what_was_not_done(opened: Open, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    with opened(functools.partial(scripted_evaluator.make, str(log), 0.2)) as executor:
        for k in range(20):
            executor.submit(job(k))
        next(executor.results())
    assert len(log.read_text().splitlines()) < 20
    assert executor.outstanding == 0


def test_torch_computes_with_the_threads_of_the_run(opened: Open) -> None:
    result = run(opened(scripted_evaluator.make_reports_threads, threads=2), [job(0)])[0]
    assert result.measurements["torch"] == 2


def test_an_executor_without_workers_refuses_what_only_they_can_do(kind: str, opened: Open) -> None:
    if EXECUTORS[kind].has_workers:
        opened(scripted_evaluator.make, workers=2, timeout_s=5.0).close()
        return
    for settings in ({"workers": 2}, {"timeout_s": 5.0}):
        with pytest.raises(InputError, match="neither workers nor a time limit"):
            opened(scripted_evaluator.make, **settings)


def test_torch_computes_with_one_thread_so_that_gradients_are_the_same_everywhere(opened: Open) -> None:
    result = run(opened(scripted_evaluator.make_reports_threads), [job(0)])[0]
    assert result.measurements == {"torch": 1, "openmp": 1}
