"""A folder that is written beside the one it will be, and takes its place when it is whole.

Whoever writes one holds a lock on it. One that nobody holds was left by a process that was killed; the next export to
the same place takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def aside(to: Path) -> Iterator[Path]:
    """A new, empty folder beside `to`, which is gone afterwards unless it was moved; what was left there goes too.

    Raises:
        OSError: none can be made.
    """
    folder, handle = _locked(to)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)
        for left in to.parent.glob(f".{to.name}-*"):
            if re.fullmatch(r"-(old-)?\w{8}", left.name.removeprefix(f".{to.name}")):
                _remove_unless_held(left)


def put_in_place(folder: Path, to: Path) -> None:
    """Rename; what is at `to` is moved away first, and back if the rename fails."""
    if not to.exists():
        folder.rename(to)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{to.name}-old-", dir=to.parent))
    to.rename(old / to.name)
    try:
        folder.rename(to)
    except OSError:
        (old / to.name).rename(to)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _locked(to: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
        with contextlib.suppress(FileNotFoundError):  # another export took it for one that was left, before the lock
            handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            with contextlib.suppress(OSError):  # a file system without locks: then nobody can take it either
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return folder, handle
            os.close(handle)


def _remove_unless_held(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)
