"""A run's folder: how it is named, and the lock that keeps two processes from writing it at once."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import time
from pathlib import Path
from types import TracebackType

from nasengine.errors import InputError, NotARunError, Problem, RunError, nearest
from nasengine.runs.files import sync_folder

JOURNAL_NAME = "journal.jsonl"
LOCK_NAME = "lock"


def not_a_run(path: Path, why: str) -> NotARunError:
    """The error for a path that leads to no run, with the runs beside it that it may have meant."""
    runs = [entry.parent.name for entry in sorted(path.parent.glob(f"*/{JOURNAL_NAME}"))[:100]]
    advice = f"expected the folder of a run{nearest(path.name, runs)}"
    return NotARunError(Problem(f"{path} is not a run: it {why}", expected=advice))


def create_run_folder(
    space: str, strategy: str, *, folder: Path | str | None = None, parent: Path | str = "runs"
) -> Path:
    """Make an empty folder for a new run and return it.

    Args:
        space, strategy: their names; without `folder` the run is `parent/SPACE-STRATEGY-1`, or the next free number.
        folder: exactly this folder instead; it may exist if nothing is in it.

    Raises:
        InputError: `folder` exists and holds something, or cannot be made.
    """
    if folder is not None:
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            taken = any(entry.name != LOCK_NAME for entry in path.iterdir())
        except OSError as error:
            raise InputError(Problem(f"the run folder {path} cannot be made: {error.strerror}")) from error
        if taken:
            advice = "expected a new folder"
            if (path / "run.yaml").is_file():
                advice += f"; to go on with that run: {shlex.join(['nasengine', 'resume', str(path)])}"
            raise InputError(Problem(f"the run folder {path} is not empty", expected=advice))
        return path
    stem = f"{_plain(space)}-{_plain(strategy)}"
    try:
        Path(parent).mkdir(parents=True, exist_ok=True)
        return _first_free(Path(parent), stem)
    except OSError as error:
        raise InputError(Problem(f"no run folder can be made in {parent}: {error.strerror}")) from error


def _first_free(parent: Path, stem: str) -> Path:
    numbers = [int(entry.name[len(stem) + 1 :]) for entry in parent.glob(f"{stem}-*") if _numbered(entry.name, stem)]
    number = max(numbers, default=0) + 1
    while True:  # ends: every refusal is another process that took a number meanwhile
        path = parent / f"{stem}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            sync_folder(parent)
            return path


def _numbered(name: str, stem: str) -> bool:
    return re.fullmatch(re.escape(stem) + r"-[0-9]{1,9}", name) is not None


def _plain(name: str) -> str:
    """A name with nothing in it that a path could stumble over."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._") or "unnamed"


class RunLock:
    """Exclusive right to write a run, held until `release`; the system drops it when the process dies.

    Raises:
        RunError: another process (or another Journal of this one) holds it; the message names its pid.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not _try_lock(self._handle):
            holder = _read_pid(self._handle)
            os.close(self._handle)
            self._handle = None
            who = f"the process with pid {holder}" if holder else "another process"
            raise RunError(f"{folder} is being written by {who}; wait for it to end, or stop it")
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _try_lock(handle: int) -> bool:
    """Try for half a second: `lock_holder` of a reader takes a shared lock for a moment."""
    for _ in range(10):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def lock_holder(folder: Path | str) -> int | None:
    """The pid of the process that is writing the run now; None if nobody is."""
    try:
        handle = os.open(Path(folder) / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(handle) or 0
    else:
        return None
    finally:
        os.close(handle)


def _read_pid(handle: int) -> int | None:
    text = os.pread(handle, 32, 0).strip()
    return int(text) if text.isdigit() else None
