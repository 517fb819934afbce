"""One place for a worker on a Ray cluster: an actor at a time, its start in steps, and the calls it has before it."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nasengine.execution.chunks import encode
from nasengine.execution.ray_session import RaySession
from nasengine.records import Job

Step = Literal["machine", "evaluator", "ready"]  # what the actor waits for, until it waits for nothing


@dataclass(frozen=True)
class Start:
    """What every worker is started with.

    Args:
        make: the pickled function that makes the evaluator.
        threads: of torch, and CPUs that the cluster sets aside for the worker.
        gpus: that it is given.
        names: of the arrays that all share; None: there are none. `arrays` where they are in the object store.
        group: how many jobs are to be measured together.
    """

    make: bytes
    threads: int
    gpus: float
    names: tuple[str, ...] | None = None
    arrays: tuple[Any, ...] = ()
    group: int = 1


@dataclass(eq=False)
class Call:
    """Jobs on their way. `alone`: nothing else is at the worker with them, so that its death is their doing."""

    jobs: Sequence[Job]
    reference: Any
    alone: bool
    began: float = field(default_factory=time.monotonic)


class Slot:
    """Has an actor from `start` on; the answers of its references are read by the cluster."""

    def __init__(self, session: RaySession, start: Start) -> None:
        self._session, self._start = session, start
        self._actor: Any = None
        self.step: Step = "machine"
        self.node = ""
        self.calls: deque[Call] = deque()

    def start(self) -> Any:
        """Ask the cluster for an actor; the reference is answered with its node once there is a place for it."""
        # Imported here: importing this module must not import ray.
        from nasengine.execution.ray_worker import RayWorker

        kind = self._session.ray.remote(RayWorker)
        self._actor = kind.options(
            num_cpus=self._start.threads, num_gpus=self._start.gpus, max_restarts=0, max_task_retries=0
        ).remote()
        self.step, self.node = "machine", ""
        return self._actor.settle.remote(self._start.threads, sys.path)

    def prepare(self, node: str) -> Any:
        """Have the evaluator made. The arrays go by this call: an actor with arguments of its own cannot be moved."""
        self.step, self.node = "evaluator", node
        return self._actor.prepare.remote(self._start.make, self._start.names, *self._start.arrays)

    def run(self, jobs: Sequence[Job]) -> Call:
        """Send jobs behind those that it has."""
        reference = self._actor.run.remote(encode(jobs), self._start.group)
        call = Call(jobs, reference, alone=len(jobs) == 1 and not self.calls)
        for other in self.calls:
            other.alone = False
        self.calls.append(call)
        return call

    def ended(self, call: Call) -> None:
        """A call was answered, and the next one began at about this moment."""
        self.calls.remove(call)
        if self.calls:
            self.calls[0].began = time.monotonic()

    def stop(self) -> list[Call]:
        """Kill the actor; the calls that it leaves behind."""
        if self._actor is not None:
            self._session.ray.kill(self._actor)
            self._actor = None
        left = list(self.calls)
        self.calls.clear()
        self.step = "machine"
        return left
