"""What an executor promises, and how one job is measured so that nothing it does can end the search.

An executor makes its evaluator where it runs, by calling a picklable function. Whatever
goes wrong inside one job ends as a failed Result of that job with a one-line reason and, in its details, the
traceback. What goes wrong in making the evaluator is everybody's problem and is raised.
"""

from __future__ import annotations

import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

from numpy.typing import NDArray

from nasengine.errors import NasEngineError
from nasengine.records import STATUSES, Job, Result


class EvaluatesJobs(Protocol):
    """The part of an evaluator that an executor uses."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]: ...


# Called without arguments, or with `arrays=` by a cluster that was given something to share.
MakeEvaluator: TypeAlias = Callable[..., EvaluatesJobs]
Share: TypeAlias = Callable[[], Mapping[str, NDArray[Any]]]


@runtime_checkable
class Executor(Protocol):
    """Runs jobs somewhere.

    `submit` queues a job and returns at once. `results` yields one Result per job in the order in which they
    end, waits while some are outstanding, and ends when none is; jobs may be submitted while it is being
    consumed. `capacity` is how many jobs keep it busy: handing it more only makes them wait. `outstanding` is
    the number of jobs submitted and not yielded. `close` stops what is running and drops it.

    Raises (from `submit` or `results`):
        InputError: the evaluator cannot be made because of what somebody wrote.
        RunError: the place to run cannot be started at all.
    """

    @property
    def capacity(self) -> int: ...

    @property
    def outstanding(self) -> int: ...

    def submit(self, job: Job) -> None: ...

    def results(self) -> Iterator[Result]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ExecutorType(Protocol):
    """What an entry of `EXECUTORS` is: it makes an executor from the settings of a run.

    `has_workers`: jobs run in processes of their own, so that there may be several and each can be stopped. One that
    has none is called with one worker and without a time limit only. `is_cluster`: the workers may be on other
    machines; such a one is called as a `ClusterType`.

    Args:
        make: makes the evaluator where the jobs run.
        workers: how many processes there are.
        timeout_s: longest a job may take once begun; None: as long as it takes.
        threads: of torch in every process that measures; gradients depend on it.
        group: how many jobs the evaluator is handed at once, if so many wait; one unless it measures many together
            faster than one by one. A time limit is for one job, so it goes with groups of one only.

    Raises:
        InputError: settings that it cannot keep.
    """

    has_workers: bool
    is_cluster: bool

    def __call__(
        self, make: MakeEvaluator, *, workers: int = 1, timeout_s: float | None = None, threads: int = 1, group: int = 1
    ) -> Executor: ...


class ClusterType(ExecutorType, Protocol):
    """An executor whose workers may be on several machines.

    `check_installed` raises an InputError where the library that it is built on is missing.

    Args:
        address: of the cluster to join; None: one of its own on this machine.
        gpus: that each worker is given; a part of one is shared with other workers.
        share: arrays that every worker needs. Called once, here; each machine receives them once, and the workers call
            `make(arrays=…)` with arrays that must not be written to. None: they call `make()`.
    """

    def check_installed(self) -> None: ...

    def __call__(
        self,
        make: MakeEvaluator,
        *,
        workers: int = 1,
        timeout_s: float | None = None,
        threads: int = 1,
        group: int = 1,
        address: str | None = None,
        gpus: float = 0,
        share: Share | None = None,
    ) -> Executor: ...


def on_cluster(kind: ExecutorType) -> TypeGuard[ClusterType]:
    """Whether an executor takes the arguments of a cluster."""
    return kind.is_cluster


def measure(evaluator: EvaluatesJobs, jobs: Sequence[Job]) -> Iterator[Result]:
    """Evaluate jobs, one Result each whatever happens; results are checked, and timed where they are not.

    If evaluating several together raises, those still without an answer are evaluated one by one, so that only
    the culprit fails.
    """
    waiting = {job.trial: job for job in jobs}
    began = time.perf_counter()
    try:
        for result in evaluator.evaluate(jobs):
            job = waiting.pop(result.trial, None)
            if job is None:
                continue  # an answer to nothing that was asked
            seconds = time.perf_counter() - began
            yield _checked(result, result.seconds or seconds)
            began = time.perf_counter()
    except (Exception, SystemExit) as error:
        seconds = time.perf_counter() - began
        if len(jobs) == 1:
            if waiting:
                yield failure(jobs[0].trial, error, seconds)
            return
        for job in tuple(waiting.values()):
            yield from measure(evaluator, [job])
        return
    for trial in waiting:
        yield Result(trial, "failed", reason="the evaluator gave no result for this trial")


def check_group(group: int, timeout_s: float | None) -> None:
    """See that an executor can keep what it was told of groups.

    Raises:
        ValueError: no job at all, or several under a time limit for one.
    """
    if group < 1:
        raise ValueError(f"need at least one job in a group, got {group=}")
    if group > 1 and timeout_s is not None:
        raise ValueError(f"a time limit is for one job, got {group=} and {timeout_s=}")


def set_torch_threads(threads: int) -> int | None:
    """Fix the number of threads that torch computes with, if torch is loaded; returns what it was."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    before = int(torch.get_num_threads())
    torch.set_num_threads(threads)
    return before


def failure(trial: int, error: BaseException, seconds: float = 0.0) -> Result:
    """The Result of a trial that raised. What nasengine raises explains itself; of the rest the type is told too."""
    text = str(error).strip()
    explained = isinstance(error, NasEngineError) and text
    lines = (text if explained else f"{type(error).__name__}: {text}").splitlines()
    details = {"traceback": "".join(traceback.format_exception(error))}
    return Result(trial, "failed", reason=lines[0].rstrip(": "), seconds=seconds, details=details)


def _checked(result: Result, seconds: float) -> Result:
    """The result with the time it took, its measurements plain finite numbers; a failed one that says which is not."""
    if result.status not in STATUSES:
        return Result(result.trial, "failed", reason=f"the evaluator answered the unknown status {result.status!r}")
    plain: dict[str, float] = {}
    for name, value in result.measurements.items():
        try:
            number = value if type(value) in (int, float) else float(value)
        except (TypeError, ValueError):
            reason = f"{name} is no number: {value!r}"
            return replace(result, status="failed", measurements={}, reason=reason, seconds=seconds)
        if not math.isfinite(number):
            return replace(result, status="failed", measurements={}, reason=f"{name} is {number}", seconds=seconds)
        plain[name] = number
    return Result(result.trial, result.status, plain, result.reason, seconds, _plain_details(result.details))


def _plain_details(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Details as JSON can hold them: what is no number, as NaN, and what JSON does not know become words."""
    if not details:
        return details
    try:
        plain: dict[str, Any] = json.loads(json.dumps(details, default=str), parse_constant=str)
    except (TypeError, ValueError, RecursionError) as error:  # a key that is no word, or something that holds itself
        return {"details": f"cannot be kept: {error}"}
    return plain
