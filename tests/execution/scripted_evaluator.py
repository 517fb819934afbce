"""An evaluator that does what the architecture says: measure, raise, hang, crash. Importable by worker processes."""

import ctypes
import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from nasengine.errors import InputError, TrialError
from nasengine.records import Architecture, Job, Result


def value_of(architecture: Architecture) -> float:
    """A number between 0 and 1 that depends on the architecture alone, the same in every process."""
    return zlib.crc32(architecture.key.encode()) / 2**32


class Scripted:
    """Option `do` says what happens; without one the trial completes."""

    def __init__(self, log: str = "", sleep_s: float = 0.0) -> None:
        self.log, self.sleep_s = log, sleep_s

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            if self.log:
                with open(self.log, "a") as file:
                    file.write(f"{job.trial} {os.getpid()} {job.seed}\n")
            yield self.one(job)

    def one(self, job: Job) -> Result:
        what = str(job.architecture.get("do", "measure"))
        time.sleep(self.sleep_s)
        measurements = {"accuracy": value_of(job.architecture)}
        match what:
            case "raise":
                raise ValueError("the widths do not fit\nsecond line")
            case "explain":
                raise TrialError("the loss is not a number after 3 steps")
            case "exit":
                sys.exit(3)
            case "abort":
                os.abort()
            case "segfault":
                ctypes.string_at(0)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                os._exit(7)
            case "hang":
                time.sleep(600)
            case "hang_in_python":
                while True:
                    pass
            case "nan":
                measurements["accuracy"] = float("nan")
            case "word":
                measurements["accuracy"] = "high"
            case "numpy":
                import numpy as np

                measurements["accuracy"] = np.float32(0.5)
            case "wrong_trial":
                return Result(job.trial + 1000, "completed", measurements)
            case "wrong_status":
                return Result(job.trial, "splendid", measurements)
            case "forgets":
                measurements = {"loss": 0.1}
            case "details":
                details = {"path": Path("x"), "curve": (1, 2), "loss": float("nan"), "seen": {3}}
                return Result(job.trial, "completed", measurements, details=details)
            case "details_of_itself":
                itself: dict[str, object] = {}
                itself["itself"] = itself
                return Result(job.trial, "completed", measurements, details=itself)
        return Result(job.trial, "completed", measurements)


def make(log: str = "", sleep_s: float = 0.0) -> Scripted:
    return Scripted(log, sleep_s)


def make_fails() -> Scripted:
    raise RuntimeError("the data set is broken")


def make_finds_bad_input() -> Scripted:
    raise InputError("no data set called fashoin; did you mean 'fashion'?")


def make_dies() -> Scripted:
    os._exit(11)


def make_counts_together() -> "Together":
    return Together()


class Together(Scripted):
    """Measures how many jobs it was handed with each."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            self.one(job)
        for job in jobs:
            yield Result(job.trial, "completed", {"together": len(jobs)})


def make_reports_threads() -> "Threads":
    return Threads()


class Threads:
    """Measures the number of torch threads and of OpenMP threads that this process was given."""

    def __init__(self) -> None:
        import torch

        self.torch = torch

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            found = {"torch": self.torch.get_num_threads(), "openmp": int(os.environ["OMP_NUM_THREADS"])}
            yield Result(job.trial, "completed", found)
