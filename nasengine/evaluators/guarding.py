"""One job after another, so that whatever one does wrong is its own failed result."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from nasengine.execution.executor import failure
from nasengine.records import Job, Result


def each_alone(jobs: Sequence[Job], measure: Callable[[Job], Result], device: torch.device) -> Iterator[Result]:
    """The result of each job, with the seconds it took.

    Args:
        jobs: what is asked.
        measure: measures one, or raises.
        device: whose memory a failed job gives back.
    """
    for job in jobs:
        started = time.perf_counter()
        try:
            result = measure(job)
        except Exception as error:  # a trial may fail in any way; the search goes on
            result = failure(job.trial, error)
        if result.status == "failed":
            # The frames of the exception are gone by now, and with them what held on to the network's memory.
            free_memory(device)
        yield replace(result, seconds=time.perf_counter() - started)


def free_memory(device: torch.device) -> None:
    """Give back what a failed trial held on the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
