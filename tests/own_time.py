"""What something takes by itself, in a process full of other tests' objects."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def own_time() -> Iterator[Callable[[], float]]:
    """In here the garbage collector looks at what is made in here only; gives the seconds of processor time so far."""
    gc.freeze()  # else it would go through all that other tests left behind, again and again
    began = time.process_time()
    try:
        yield lambda: time.process_time() - began
    finally:
        gc.unfreeze()
