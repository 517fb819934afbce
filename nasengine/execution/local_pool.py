"""A pool of worker processes on this machine, in which one trial can crash, hang or eat all memory alone.

Built on `pebble`, with one pool of one worker per slot: a slot holds one job, so a worker that dies is known
to have died of that job, and no lock is shared with the others. A slot whose worker died gets a new one.
Where evaluators want several jobs at once, those of a worker that died are run again one by one.
"""

from __future__ import annotations

import json
import math
import pickle
import queue
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import current_process, get_context, resource_tracker
from types import TracebackType
from typing import Any, ClassVar

from nasengine.errors import InputError, Problem, RunError
from nasengine.execution import worker
from nasengine.execution.executor import MakeEvaluator, check_group
from nasengine.records import Job, Result

LOST_BEFORE_GIVING_UP = 2


class LocalPool:
    """Spawned workers, each with an evaluator of its own and a fixed number of threads.

    Args:
        make: makes the evaluator inside a worker; must be picklable.
        workers: how many processes.
        timeout_s: longest a trial may take once begun; a longer one fails and its worker is replaced.
        threads: of torch and the numerical libraries in each worker. Fixed, since the sum that a gradient is
            depends on it: with 1, any number of workers measures the same.
        group: how many jobs a worker is handed at once, if so many wait.

    Raises:
        InputError: pebble is not installed, or `make` cannot be sent to another process.
    """

    has_workers: ClassVar[bool] = True
    is_cluster: ClassVar[bool] = False

    def __init__(
        self, make: MakeEvaluator, *, workers: int = 1, timeout_s: float | None = None, threads: int = 1, group: int = 1
    ) -> None:
        leave_if_importing_main()
        check_group(group, timeout_s)
        if workers < 1:
            raise InputError(Problem(f"{workers} workers", expected="expected at least 1"))
        if timeout_s is not None and timeout_s <= 0:
            raise InputError(Problem(f"a time limit of {timeout_s} s for a trial", expected="expected more than 0"))
        try:
            self._start = (pickle.dumps(make), threads)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(f"the evaluator cannot be sent to worker processes: {error}") from error
        self._timeout_s, self._group = timeout_s, group
        self._arrivals: queue.SimpleQueue[tuple[_Slot, Sequence[Job], Future[Any]]] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._running: dict[int, Job] = {}
        self._lost: dict[int, int] = {}
        self._suspects: set[int] = set()  # were at a worker that died, with others
        self._done: deque[Result] = deque()
        self._slots = [_Slot(self._start, self._arrivals) for _ in range(workers)]
        self._idle: list[_Slot] = []
        self._started = False

    @property
    def capacity(self) -> int:
        return len(self._slots) * self._group

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + len(self._running) + len(self._done)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        if not self._started:
            self._started = True
            for slot in self._slots:
                slot.start()
        if self._group == 1:  # else more may be on its way, and a small group is a slow one
            self._place()

    def results(self) -> Iterator[Result]:
        while self.outstanding:
            if self._done:
                yield self._done.popleft()
                continue
            self._place()
            slot, jobs, future = self._arrivals.get()
            if jobs:
                self._take(slot, jobs, future)
            else:
                self._welcome(slot, future)

    def _place(self) -> None:
        """Hand waiting jobs to idle slots, oldest first, evenly."""
        while self._waiting and self._idle:
            jobs = self._next(min(self._group, math.ceil(len(self._waiting) / len(self._idle))))
            self._running |= {job.trial: job for job in jobs}
            self._idle.pop().run(jobs, self._timeout_s)

    def _next(self, most: int) -> list[Job]:
        """The oldest jobs that wait; one that may have killed a worker goes alone."""
        jobs = [self._waiting.popleft()]
        while len(jobs) < most and self._suspects.isdisjoint((jobs[0].trial, self._waiting[0].trial)):
            jobs.append(self._waiting.popleft())
        return jobs

    def _welcome(self, slot: _Slot, future: Future[Any]) -> None:
        """A slot's first answer: its worker is up, or nothing can be."""
        error = future.exception()
        if isinstance(error, worker.UnusableWorkerError):
            raise error.explained()
        if error is not None:
            raise RunError(
                "a worker process ended while it was starting; what it said, if anything, stands above. "
                "A script that starts a search needs its code under `if __name__ == '__main__':`, "
                "since every worker imports the script"
            ) from None
        self._idle.append(slot)

    def _take(self, slot: _Slot, jobs: Sequence[Job], future: Future[Any]) -> None:
        """Note what became of jobs, or that they have to be run again. A slot takes its next job at once."""
        error = future.exception()
        if isinstance(error, worker.UnusableWorkerError):
            raise error.explained()
        for job in jobs:
            del self._running[job.trial]
        if isinstance(error, BrokenProcessPool):
            # The worker died before it took the jobs, or at the very moment it did: nobody can tell which.
            slot.restart()
            for job in reversed(jobs):
                self._lost[job.trial] = self._lost.get(job.trial, 0) + 1
                if self._lost[job.trial] < LOST_BEFORE_GIVING_UP:
                    self._waiting.appendleft(job)
                else:
                    self._done.append(_failed(job, "its worker process died before it could begin, twice"))
            return
        self._idle.append(slot)
        if error is not None and len(jobs) > 1:  # which of them it was, only each by itself can tell
            self._suspects |= {job.trial for job in jobs}
            self._waiting.extendleft(reversed(jobs))
            return
        self._suspects -= {job.trial for job in jobs}
        self._done.extend(_results(jobs, future, self._timeout_s))
        if self._group == 1:
            self._place()

    def close(self) -> None:
        """Stop every worker; what they were doing is dropped."""
        self._waiting.clear()
        self._running.clear()
        self._done.clear()
        self._suspects.clear()
        self._idle.clear()
        for slot in self._slots:
            slot.stop()
        for slot in self._slots:
            slot.join()
        self._started = False

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Slot:
    """One worker process at a time, replaced when it dies; answers go to the pool's queue of arrivals."""

    def __init__(
        self, start: tuple[bytes, int], arrivals: queue.SimpleQueue[tuple[_Slot, Sequence[Job], Future[Any]]]
    ) -> None:
        self._initial = start
        self._arrivals = arrivals
        self._pool: Any = None

    def start(self) -> None:
        process_pool = _process_pool()
        self._pool = process_pool(
            max_workers=1, initializer=worker.start, initargs=self._initial, context=get_context("spawn")
        )
        with _interrupts_blocked():
            future = self._pool.schedule(worker.ready)
        future.add_done_callback(lambda done: self._arrivals.put((self, (), done)))

    def run(self, jobs: Sequence[Job], timeout_s: float | None) -> None:
        text = json.dumps([job.to_json() for job in jobs])
        try:
            future = self._pool.schedule(worker.run_jobs, args=[text], timeout=timeout_s)
        except RuntimeError as error:  # the worker died while it had nothing to do
            future = Future()
            future.set_exception(BrokenProcessPool(str(error)))
        future.add_done_callback(lambda done: self._arrivals.put((self, jobs, done)))

    def restart(self) -> None:
        self.stop()
        self.join()
        self.start()

    def stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()

    def join(self) -> None:
        if self._pool is not None:
            self._pool.join()
            self._pool = None


def leave_if_importing_main() -> None:
    """End a worker that, importing the user's unguarded script, is about to start the search all over again.

    Quietly: the parent says what is wrong, once, instead of every worker at the length of a traceback.
    """
    if getattr(current_process(), "_inheriting", False):  # what multiprocessing itself goes by
        raise SystemExit(1)


def _process_pool() -> Any:
    try:
        from pebble import ProcessPool
    except ImportError:
        advice = "expected `pip install pebble`; without it there is the executor in_process"
        raise InputError(Problem("the local pool needs the package pebble", expected=advice)) from None
    return ProcessPool


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes and threads in here, and Ctrl-C on the terminal reaches the parent's main thread only.

    A blocked signal stays blocked in what is started; ignoring it in the worker would come too late, while it
    is still importing. The resource tracker unblocks it after starting itself, hence it is started first.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _results(jobs: Sequence[Job], future: Future[Any], timeout_s: float | None) -> list[Result]:
    error = future.exception()
    if error is None:
        return [Result.from_json(record) for record in json.loads(future.result())]
    (job,) = jobs
    return [_failure(job, error, timeout_s)]


def _failure(job: Job, error: BaseException, timeout_s: float | None) -> Result:
    if isinstance(error, TimeoutError):
        return _failed(job, f"took longer than {timeout_s:g} s", seconds=timeout_s or 0.0)
    exit_code = getattr(error, "exitcode", None)
    if exit_code is None:
        return _failed(job, f"{type(error).__name__}: {error}")
    if exit_code >= 0:
        return _failed(job, f"its worker process ended with exit code {exit_code}")
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    hint = ", most often for want of memory" if name == "SIGKILL" else ""
    return _failed(job, f"its worker process was killed by {name}{hint}")


def _failed(job: Job, reason: str, seconds: float = 0.0) -> Result:
    return Result(job.trial, "failed", reason=reason, seconds=seconds)
