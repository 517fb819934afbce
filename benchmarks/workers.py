"""A benchmark as processes, one for each GPU, whose results are collected as they come."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def on_every_gpu(arguments: Sequence[Sequence[str]], folder: Path, pattern: str, collect: Callable[[], object]) -> None:
    """Run this program again in processes, and collect whenever one of them has written a file.

    Args:
        arguments: of each process, after those that this one was given.
        folder: that they write to.
        pattern: of their files.
        collect: called at the beginning, whenever there is something new, and in the end.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # those that this process may use
    devices = [str(index) for index in range(len(arguments))] if visible is None else visible.split(",")
    if len(devices) < len(arguments):
        raise SystemExit(f"{len(arguments)} processes on GPUs {visible}: expected at most {len(devices)}")
    workers = [
        subprocess.Popen(
            [sys.executable, *sys.argv, *own],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": device, "OMP_NUM_THREADS": "2"},
        )
        for device, own in zip(devices, arguments, strict=False)
    ]
    seen: dict[Path, float] | None = None
    while True:
        ended = all(worker.poll() is not None for worker in workers)
        now = {path: path.stat().st_mtime for path in folder.glob(pattern)}
        if now != seen or ended:
            seen = now
            collect()
        if ended:
            break
        time.sleep(0.5)
    failed = [worker.returncode for worker in workers]
    if any(failed):
        print(f"workers ended with {failed}", flush=True)
