"""Jobs run in this very process, in the order of submission: the plain case, and the one to debug in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import ClassVar

from nasengine.errors import InputError, Problem
from nasengine.execution.executor import EvaluatesJobs, MakeEvaluator, check_group, measure, set_torch_threads
from nasengine.records import Job, Result


class InProcess:
    """Evaluates when results are consumed; nothing runs in between.

    Args:
        make: makes the evaluator, when the first result is asked for.
        workers, timeout_s: one and None; this process is the only one, and cannot stop itself.
        threads: of torch while this executor is open; one, as in the workers of the local pool, since the last
            bits of a gradient depend on it.
        group: how many jobs the evaluator is handed at once; more than one only pays where it measures many
            together faster than one by one.

    Has no time limit for a trial, and a crash of the evaluator's native code ends the process: for either use
    the local pool.

    Raises:
        InputError: several workers, or a time limit.
    """

    has_workers: ClassVar[bool] = False
    is_cluster: ClassVar[bool] = False

    def __init__(
        self,
        make: MakeEvaluator,
        *,
        workers: int = 1,
        timeout_s: float | None = None,
        threads: int = 1,
        group: int = 1,
    ) -> None:
        if workers != 1 or timeout_s is not None:
            found = "the executor in_process has neither workers nor a time limit for a trial"
            raise InputError(Problem(found, expected="expected the executor local"))
        check_group(group, timeout_s)
        self._make = make
        self._evaluator: EvaluatesJobs | None = None
        self._waiting: deque[Job] = deque()
        self._handed = 0
        self._group = group
        self._threads = threads
        self._threads_before: int | None = None

    @property
    def capacity(self) -> int:
        return self._group

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + self._handed

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def results(self) -> Iterator[Result]:
        while self._waiting:
            if self._evaluator is None:
                self._evaluator = self._make()
                self._threads_before = set_torch_threads(self._threads)
            jobs = [self._waiting.popleft() for _ in range(min(self._group, len(self._waiting)))]
            self._handed = len(jobs)
            for result in measure(self._evaluator, jobs):
                self._handed -= 1
                yield result
            self._handed = 0

    def close(self) -> None:
        self._waiting.clear()
        self._handed = 0
        if self._threads_before is not None:
            set_torch_threads(self._threads_before)
            self._threads_before = None

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
