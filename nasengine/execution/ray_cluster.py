"""Workers on a Ray cluster, of which any may be lost at any time with nothing measured twice and nothing left out.

Built on Ray Core actors, one for each worker. Ray repeats nothing by itself: an actor that is lost is replaced here
and its jobs are sent again. Jobs that were at a lost worker together are sent one by one, each with a worker to
itself, so that one that kills its worker is found out and costs no other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar

from nasengine.errors import InputError, Problem, RunError
from nasengine.execution.chunks import HOLD_S, ChunkSize, decode
from nasengine.execution.executor import MakeEvaluator, Share, check_group
from nasengine.execution.ray_session import RaySession, check_installed
from nasengine.execution.ray_slot import Call, Slot, Start
from nasengine.execution.worker import UnusableWorkerError
from nasengine.records import Job, Result

DEATHS_BEFORE_GIVING_UP = 2  # of workers that ran one job and nothing else
LOSSES_BEFORE_GIVING_UP = 10  # of workers for whatever reason, machines that went away among them
STARTS_BEFORE_GIVING_UP = 2  # rounds of workers that all died before they had an evaluator
ANSWER_S = 0.5  # that an answer may take to arrive


class RayCluster:
    """Actors with an evaluator each; needs the extra `ray`.

    Args:
        make: makes the evaluator inside a worker; what Ray can pickle.
        workers: how many; 0: as many as the cluster has room for.
        timeout_s: longest a trial may take once begun; a longer one fails and its worker is replaced.
        threads: of torch in each worker, which sets so many CPUs of the cluster aside for itself.
        address: "auto", HOST:PORT; None: a Ray of our own on this machine. One that this process has initialised is
            used in any case.
        group: how many jobs a worker is handed at once, if so many wait.
        gpus: that each worker is given.
        share: arrays for `make(arrays=…)`, put into the object store once, mapped read-only on each machine.
        patience_s: how long to wait for the first worker, or for another when the last one is lost.

    Raises:
        InputError: Ray is not installed, or a setting makes no sense.
    """

    has_workers: ClassVar[bool] = True
    is_cluster: ClassVar[bool] = True
    check_installed = staticmethod(check_installed)

    def __init__(
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
        patience_s: float = 60.0,
    ) -> None:
        if workers < 0:
            raise InputError(Problem(f"{workers} workers", expected="expected at least 1, or 0 for as many as fit"))
        if timeout_s is not None and timeout_s <= 0:
            raise InputError(Problem(f"a time limit of {timeout_s} s for a trial", expected="expected more than 0"))
        check_group(group, timeout_s)
        check_installed()
        self._make, self._share = make, share
        self._workers, self._threads, self._gpus, self._address = workers, threads, gpus, address
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._session: RaySession | None = None
        self._slots: list[Slot] = []
        self._group, self._size = group, ChunkSize(group)
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()  # were at a worker that was lost, with others
        self._arrived: deque[Result] = deque()
        self._running = 0
        self._references: dict[Any, tuple[Slot, Call | None]] = {}
        self._deaths: dict[int, int] = {}
        self._losses: dict[int, int] = {}
        self._failed_starts = 0
        self._without_worker_since: float | None = None

    @property
    def capacity(self) -> int:
        return max(1, len(self._slots) or self._workers) * self._size.jobs * self._size.calls

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + len(self._suspects) + self._running + len(self._arrived)

    def submit(self, job: Job) -> None:
        if self._session is None:  # now, so that the capacity is that of the cluster before a result is waited for
            self._open()
        self._waiting.append(job)

    def results(self) -> Iterator[Result]:
        while self.outstanding:
            # A call made of what little is there while more is on its way would be a small one.
            if not self._arrived or len(self._waiting) >= self._worth_a_call():
                self._place()
            if self._arrived:
                yield self._arrived.popleft()
            else:
                self._wait()

    def close(self) -> None:
        """Stop every worker; what they were doing is dropped."""
        for slot in self._slots:
            slot.stop()
        self._slots.clear()
        self._references.clear()
        for jobs in (self._waiting, self._suspects, self._arrived):
            jobs.clear()
        self._running = 0
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Join the cluster, put what is shared into its store, ask for the workers."""
        arrays = None if self._share is None else dict(self._share())
        self._session = session = RaySession(self._address, cpus=max(1, self._workers) * self._threads)
        found = session.resources()
        if session.alone and found["GPU"] < self._gpus:
            raise RunError(self._no_worker("no worker can be had"))
        room = found["CPU"] // self._threads
        if self._gpus:
            room = min(room, found["GPU"] / self._gpus)
        start = Start(
            make=session.ray.cloudpickle.dumps(self._make),
            threads=self._threads,
            gpus=self._gpus,
            group=self._group,
            names=None if arrays is None else tuple(arrays),
            arrays=() if arrays is None else tuple(session.ray.put(array) for array in arrays.values()),
        )
        self._slots = [Slot(session, start) for _ in range(self._workers or max(1, int(room)))]
        for slot in self._slots:
            self._begin(slot)

    def _begin(self, slot: Slot) -> None:
        self._references[slot.start()] = (slot, None)

    def _worth_a_call(self) -> int:
        return self._size.share(self.outstanding, len(self._slots) * self._size.calls)

    def _place(self) -> None:
        """Hand out what waits, oldest first, to the workers with least before them. Suspects get a worker alone."""
        ready = [slot for slot in self._slots if slot.step == "ready"]
        for slot in ready:
            if self._suspects and not slot.calls:
                self._send(slot, [self._suspects.popleft()])
        depth = 1 if self._suspects else self._size.calls
        for calls_before in range(depth):
            free = [slot for slot in ready if len(slot.calls) == calls_before and not self._has_suspect(slot)]
            for index, slot in enumerate(free):
                if not self._waiting:
                    return
                places = (len(free) - index) + len(ready) * (depth - calls_before - 1)
                jobs = [self._waiting.popleft() for _ in range(self._size.share(len(self._waiting), places))]
                self._send(slot, jobs)

    def _has_suspect(self, slot: Slot) -> bool:
        return any(job.trial in self._losses for call in slot.calls for job in call.jobs)

    def _send(self, slot: Slot, jobs: list[Job]) -> None:
        self._running += len(jobs)
        call = slot.run(jobs)
        self._references[call.reference] = (slot, call)

    def _wait(self) -> None:
        """Until something is answered, or somebody's time is up."""
        assert self._session is not None
        now = time.monotonic()
        if any(slot.step != "machine" for slot in self._slots):
            self._without_worker_since = None
        elif self._without_worker_since is None:
            self._without_worker_since = now
        elif now - self._without_worker_since > self._patience_s:
            raise RunError(self._no_worker(f"no worker could be had in {self._patience_s:g} s"))
        ends = [end for slot in self._slots if (end := self._end_of(slot)) is not None]
        if self._without_worker_since is not None:
            ends.append(self._without_worker_since + self._patience_s)
        limit = max(0.01, min(ends) - now + 0.01) if ends else None
        answered, _ = self._session.ray.wait(list(self._references), num_returns=1, timeout=limit)
        for reference in answered:
            self._take(reference)
        for slot in self._slots:
            end = self._end_of(slot)
            if end is not None and time.monotonic() > end:
                answered, _ = self._session.ray.wait([slot.calls[0].reference], timeout=0)
                if not answered:
                    self._overran(slot)

    def _end_of(self, slot: Slot) -> float | None:
        """When the worker's present call has taken too long; a call of several jobs may hold one that began late."""
        if self._timeout_s is None or not slot.calls:
            return None
        call = slot.calls[0]
        return call.began + self._timeout_s + (HOLD_S + ANSWER_S if len(call.jobs) > 1 else 0.0)

    def _take(self, reference: Any) -> None:
        """Read an answer: a worker's next step, results, or why there are none."""
        assert self._session is not None
        slot, call = self._references.pop(reference)
        errors = self._session.ray.exceptions
        try:
            answer = self._session.ray.get(reference)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UnusableWorkerError):
                raise cause.explained() from None
            self._lost(slot, str(error), blameless=False)
        except errors.RayError as error:
            unavailable = isinstance(error, errors.ActorUnavailableError)
            gone = bool(slot.node) and self._session.machine_is_gone(slot.node)
            self._lost(slot, str(error), blameless=unavailable or gone)
        else:
            if call is not None:
                self._answered(slot, call, answer)
            elif slot.step == "machine":
                self._references[slot.prepare(answer)] = (slot, None)
            else:
                slot.step = "ready"
                self._failed_starts = 0

    def _answered(self, slot: Slot, call: Call, answer: str) -> None:
        slot.ended(call)
        self._running -= len(call.jobs)
        results, seconds = decode(answer)
        self._arrived.extend(results)
        self._size.learn(len(results), seconds)
        done = {result.trial for result in results}
        for trial in done:  # another search may use this executor, and the number, again
            self._deaths.pop(trial, None)
            self._losses.pop(trial, None)
        self._waiting.extendleft(reversed([job for job in call.jobs if job.trial not in done]))

    def _overran(self, slot: Slot) -> None:
        """Replace a worker whose call takes too long. A job alone in it is the culprit; else it is looked for."""
        call, *behind = slot.calls
        self._replace(slot)
        if len(call.jobs) == 1:
            self._fail(call.jobs[0], f"took longer than {self._timeout_s:g} s", seconds=self._timeout_s or 0.0)
        else:
            self._suspect(call.jobs)
        self._waiting.extendleft(reversed([job for other in behind for job in other.jobs]))

    def _lost(self, slot: Slot, why: str, *, blameless: bool) -> None:
        """Replace a lost worker and send its jobs again, except one that has killed its workers often enough."""
        if slot.step != "ready" and not blameless:
            self._failed_starts += 1
            if self._failed_starts >= STARTS_BEFORE_GIVING_UP * len(self._slots):
                raise RunError(f"{self._failed_starts} workers in a row died before they had an evaluator:\n{why}")
        for call in self._replace(slot):
            if call.alone and not blameless:
                (job,) = call.jobs
                self._deaths[job.trial] = self._deaths.get(job.trial, 0) + 1
                if self._deaths[job.trial] >= DEATHS_BEFORE_GIVING_UP:
                    self._fail(job, "its worker died while measuring it and nothing else, twice", why)
                    continue
            self._suspect(call.jobs, why)

    def _replace(self, slot: Slot) -> list[Call]:
        calls = slot.stop()
        for reference, (owner, _) in list(self._references.items()):
            if owner is slot:
                del self._references[reference]
        self._running -= sum(len(call.jobs) for call in calls)
        self._begin(slot)
        return calls

    def _suspect(self, jobs: Sequence[Job], why: str = "") -> None:
        for job in jobs:
            self._losses[job.trial] = self._losses.get(job.trial, 0) + 1
            if self._losses[job.trial] >= LOSSES_BEFORE_GIVING_UP:
                self._fail(job, f"its worker was lost {LOSSES_BEFORE_GIVING_UP} times", why)
            else:
                self._suspects.append(job)

    def _fail(self, job: Job, reason: str, why: str = "", seconds: float = 0.0) -> None:
        self._deaths.pop(job.trial, None)
        self._losses.pop(job.trial, None)
        details = {"worker": why} if why else {}
        self._arrived.append(Result(job.trial, "failed", reason=reason, seconds=seconds, details=details))

    def _no_worker(self, what: str) -> str:
        assert self._session is not None
        found = self._session.resources()
        wanted = f"{self._threads} CPU{'s' * (self._threads > 1)}" + (f" and {self._gpus:g} GPUs" if self._gpus else "")
        return (
            f"{what}: each asks for {wanted}, and the cluster has {found['CPU']:g} CPUs and {found['GPU']:g} GPUs on "
            f"{found['machines']:g} machine{'s' * (found['machines'] != 1)}, others' work included"
        )
