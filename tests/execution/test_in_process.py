"""What only the in-process executor does: groups of jobs, and giving torch its threads back."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from nasengine.execution import InProcess
from nasengine.records import Architecture, Job, Result

sys.path.insert(0, str(Path(__file__).parent))

import scripted_evaluator


def job(trial: int, do: str = "measure") -> Job:
    return Job(trial, Architecture({"do": do, "x": trial}))


class Grouping(scripted_evaluator.Scripted):
    """Notes how many jobs it is handed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        self.sizes.append(len(jobs))
        return super().evaluate(jobs)


def test_an_evaluator_may_be_handed_several_jobs_at_once() -> None:
    evaluator = Grouping()
    with InProcess(lambda: evaluator, group=3) as executor:
        assert executor.capacity == 3
        for k in range(7):
            executor.submit(job(k))
        assert [result.trial for result in executor.results()] == list(range(7))
    assert evaluator.sizes == [3, 3, 1]


def test_one_bad_job_of_a_group_fails_alone() -> None:
    evaluator = Grouping()
    with InProcess(lambda: evaluator, group=4) as executor:
        for k, do in enumerate(["measure", "raise", "measure", "raise"]):
            executor.submit(job(k, do))
        results = {result.trial: result.status for result in executor.results()}
    assert results == {0: "completed", 1: "failed", 2: "completed", 3: "failed"}
    assert evaluator.sizes == [4, 1, 1, 1]


def test_torch_has_its_threads_back_afterwards() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with InProcess(scripted_evaluator.make) as executor:
            executor.submit(job(0))
            inside = [torch.get_num_threads() for _ in executor.results()]
        assert inside == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_group_holds_at_least_one_job() -> None:
    with pytest.raises(ValueError, match="group=0"):
        InProcess(scripted_evaluator.make, group=0)
