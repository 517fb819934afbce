"""What a worker process of the local pool runs. Imports nothing heavy: its environment is set up first.

Jobs and results cross as JSON text. A worker that cannot make its evaluator stays alive and answers every
call with the reason, so that the parent can report it once.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import threading
import traceback
from multiprocessing import connection, parent_process

from nasengine.errors import InputError, RunError
from nasengine.execution.executor import EvaluatesJobs, measure, set_torch_threads
from nasengine.records import Job

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_evaluator: EvaluatesJobs | None = None
_unusable: UnusableWorkerError | None = None


class UnusableWorkerError(Exception):
    """Why this worker has no evaluator; `problem` is the InputError where it was somebody's input."""

    def __init__(self, reason: str, trace: str, problem: InputError | None = None) -> None:
        super().__init__(reason, trace, problem)
        self.reason, self.trace, self.problem = reason, trace, problem

    def explained(self) -> InputError | RunError:
        """The one error that says why no worker can have an evaluator."""
        if self.problem is not None:
            return self.problem
        return RunError(f"the evaluator cannot be made in a worker process: {self.reason}\n{self.trace}".rstrip())


def start(make: bytes, threads: int) -> None:
    """Prepare the process, then unpickle and call the evaluator's maker (which may import torch)."""
    global _evaluator, _unusable
    threading.Thread(target=_die_with_parent, name="die with parent", daemon=True).start()
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    try:
        _evaluator = pickle.loads(make)()
    except (Exception, SystemExit) as error:
        problem = error if isinstance(error, InputError) else None
        _unusable = UnusableWorkerError(f"{type(error).__name__}: {error}", traceback.format_exc(), problem)
    set_torch_threads(threads)


def ready() -> int:
    """This worker's pid.

    Raises:
        UnusableWorkerError: it has no evaluator.
    """
    if _unusable is not None:
        raise _unusable
    return os.getpid()


def run_jobs(jobs: str) -> str:
    """Measure jobs together.

    Raises:
        UnusableWorkerError: the worker has no evaluator.
    """
    ready()
    assert _evaluator is not None, "start() comes first"
    measured = measure(_evaluator, [Job.from_json(job) for job in json.loads(jobs)])
    return json.dumps([result.to_json() for result in measured], default=str)


def _die_with_parent() -> None:
    """Wait until the parent process is gone, then end at once.

    A thread rather than PR_SET_PDEATHSIG, which fires as soon as the *thread* that started the worker ends.
    """
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)
