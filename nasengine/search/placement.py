"""Where the jobs of a run are done: the executor, its workers, the cluster, the GPUs of each, the device.

None of it is part of what a run is: the same trials follow wherever they are measured, so a run may be resumed
elsewhere than it was begun. Only the kind of device stays, since a GPU does not compute what a CPU computes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.execution import EXECUTORS, on_cluster
from nasengine.search.language.budgets import seconds
from nasengine.search.run_file import RunSettings
from nasengine.training import choose_device

AS_MANY_AS_FIT = 0  # workers, on a cluster that was named and whose size is its own affair


def place(
    settings: RunSettings,
    *,
    executor: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus: float | None = None,
    trial_time: str | float | None = None,
    device: str | None = None,
) -> RunSettings:
    """The settings with their placement changed where something is said, and filled in where nothing is known.

    Args:
        settings: of a run; what it says of its placement holds where nothing else is said, if the executor is the same.
        executor, workers, address, gpus, trial_time: as of `api.search`.
        device: as of `api.search`; None: the one that the run was begun with.

    Raises:
        InputError: what the executor cannot do, or a device that is not here.
    """
    _refuse(_count_problems(workers))
    same = executor in (None, settings.executor)
    executor = settings.executor if executor is None else executor
    if same:
        workers = settings.workers if workers is None else workers
        address = settings.address if address is None else address
        gpus = settings.gpus if gpus is None else gpus
    trial_seconds = settings.trial_seconds if trial_time is None else seconds(trial_time)
    _refuse(_problems(executor, workers, address, gpus, trial_seconds))
    kind = EXECUTORS[executor]
    gpus = gpus or 0.0
    if on_cluster(kind):
        wanted = device or settings.device
        chosen = ("cuda" if gpus else "cpu") if wanted == "auto" else wanted
        _refuse(_cluster_device_problems(chosen, gpus))
        kind.check_installed()
    else:
        chosen = str(choose_device(device or settings.device))
    if workers is None:
        workers = AS_MANY_AS_FIT if address else available_cores() if kind.has_workers else 1
    return replace(
        settings,
        executor=executor,
        workers=workers,
        address=address,
        gpus=float(gpus),
        trial_seconds=trial_seconds,
        device=chosen,
    )


def moved(settings: RunSettings, data_dir: str | Path | None) -> RunSettings:
    """The settings with the data set read from elsewhere; None: from where it was."""
    return settings if data_dir is None else replace(settings, data_folder=str(Path(data_dir).expanduser().resolve()))


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count_problems(workers: int | None) -> Iterator[Problem]:
    if workers is not None and workers < 1:
        yield Problem(f"workers is {workers}", expected="expected at least 1")


def _problems(
    executor: str, workers: int | None, address: str | None, gpus: float | None, trial_seconds: float | None
) -> Iterator[Problem]:
    if executor not in EXECUTORS:
        expected = f"expected {one_of(EXECUTORS)}{nearest(executor, EXECUTORS)}"
        yield Problem(f"unknown executor {executor!r}", expected=expected)
        return
    kind = EXECUTORS[executor]
    if not kind.has_workers:
        others = f"expected the executor {' or '.join(name for name, kind in EXECUTORS.items() if kind.has_workers)}"
        if workers is not None and workers > 1:
            yield Problem(f"{workers} workers, but the executor {executor} has none", expected=others)
        if trial_seconds is not None:
            found = f"a time limit for a trial, but the executor {executor} cannot stop one"
            yield Problem(found, expected=others)
    if not kind.is_cluster:
        clusters = f"expected the executor {' or '.join(name for name, kind in EXECUTORS.items() if kind.is_cluster)}"
        if address:
            yield Problem(f"the address {address!r}, but the executor {executor} joins no cluster", expected=clusters)
        if gpus:
            yield Problem(f"{gpus:g} GPUs for a worker, but the executor {executor} gives none", expected=clusters)
    elif gpus is not None and not (0 <= gpus < math.inf and (gpus <= 1 or gpus == int(gpus))):
        yield Problem(f"{gpus:g} GPUs for a worker", expected="expected a part of one, such as 0.5, or a whole number")


def _cluster_device_problems(device: str, gpus: float) -> Iterator[Problem]:
    if device.startswith("cuda") and not gpus:
        found = f"the device {device}, but no GPU for the workers"
        yield Problem(found, expected="expected gpus above 0, such as 1, or 0.5 for two workers on a GPU")
    if device == "cpu" and gpus:
        yield Problem(
            f"{gpus:g} GPUs for a worker, but the device cpu", expected="expected the device cuda, or no GPUs"
        )
    if device not in ("cpu", "cuda", "cuda:0"):
        found = f"the device {device!r} for workers on a cluster"
        yield Problem(found, expected="expected cpu, cuda or auto: which GPU it is, the cluster says")


def _refuse(problems: Iterator[Problem]) -> None:
    found = list(problems)
    if found:
        raise InputError(found)
