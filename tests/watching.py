"""A GPU that is watched: whatever waits for it is an error."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def nothing_may_wait(watched: bool = True) -> Iterator[None]:
    """In here a synchronizing operation raises RuntimeError, unless it is not `watched`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says, once a process, that this mode is a prototype
        torch.cuda.set_sync_debug_mode("error" if watched else "default")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
