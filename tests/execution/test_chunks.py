"""How jobs are put together into calls, and what a worker does with one."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nasengine.execution import chunks
from nasengine.execution.chunks import CALL_S, MOST, ChunkSize, answer, decode, encode
from nasengine.records import Architecture, Job, Result

sys.path.insert(0, str(Path(__file__).parent))

import scripted_evaluator


def job(trial: int, do: str = "measure") -> Job:
    return Job(trial, Architecture({"do": do, "x": trial}), {"epochs": 2}, seed=trial)


def test_quick_jobs_go_by_the_hundred_and_long_ones_one_by_one() -> None:
    quick, slow = ChunkSize(), ChunkSize()
    for _ in range(20):
        quick.learn(quick.jobs, 1e-6 * quick.jobs)
        slow.learn(slow.jobs, 3.0 * slow.jobs)
    assert (quick.jobs, quick.calls) == (MOST, 2)
    assert (slow.jobs, slow.calls) == (1, 1)


def test_a_call_grows_to_the_work_it_should_hold_by_doubling_only() -> None:
    size = ChunkSize()
    sizes = []
    for _ in range(8):
        size.learn(size.jobs, 0.004 * size.jobs)
        sizes.append(size.jobs)
    assert sizes[:4] == [2, 4, 8, 16]
    assert sizes[-1] == int(CALL_S / 0.004)


def test_jobs_that_become_longer_are_believed_at_once() -> None:
    size = ChunkSize()
    for _ in range(12):
        size.learn(size.jobs, 1e-5 * size.jobs)
    size.learn(size.jobs, 2.0 * size.jobs)
    assert (size.jobs, size.calls) == (1, 1)


def test_every_worker_gets_its_share_of_what_little_there_is() -> None:
    size = ChunkSize()
    for _ in range(12):
        size.learn(size.jobs, 1e-5 * size.jobs)
    assert size.share(waiting=8, calls=4) == 2
    assert size.share(waiting=9, calls=4) == 3
    assert size.share(waiting=100_000, calls=4) == size.jobs


def test_a_chunk_is_answered_with_one_result_a_job_and_how_long_it_took() -> None:
    results, seconds = decode(answer(scripted_evaluator.make(), encode([job(0), job(1, "raise"), job(2)])))
    assert [(result.trial, result.status) for result in results] == [(0, "completed"), (1, "failed"), (2, "completed")]
    assert 0 < seconds < 5


def test_a_call_that_takes_long_begins_no_further_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "HOLD_S", 0.05)
    begun = []

    class Slow:
        def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
            for one in jobs:
                begun.append(one.trial)
                time.sleep(0.03)
                yield Result(one.trial, "completed", {"accuracy": 1.0})

    results, _ = decode(answer(Slow(), encode([job(k) for k in range(10)])))
    assert [result.trial for result in results] == begun == [0, 1]


def test_jobs_cross_as_plain_json() -> None:
    (record,) = json.loads(encode([job(3)]))
    assert Job.from_json(record) == job(3)


def test_a_call_holds_a_group_at_least_and_begun_groups_are_finished():
    class Together:
        def __init__(self):
            self.sizes = []

        def evaluate(self, jobs):
            self.sizes.append(len(jobs))
            time.sleep(chunks.HOLD_S * 1.1)
            yield from (Result(job.trial, "completed", {"accuracy": 0.5}) for job in jobs)

    evaluator, size = Together(), ChunkSize(3)
    assert (size.jobs, size.share(2, 1), size.share(9, 2)) == (3, 2, 3)
    results, seconds = decode(answer(evaluator, encode([job(k) for k in range(5)]), 3))
    assert [result.trial for result in results] == [0, 1, 2]
    assert evaluator.sizes == [3]
    size.learn(len(results), seconds)
    assert size.jobs == 3
