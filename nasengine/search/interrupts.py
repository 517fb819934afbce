"""Ctrl-C while trials run: the first one is noted, so that what runs can be waited for; the second one raises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def first_interrupt(note: Callable[[], None]) -> Iterator[None]:
    """Inside, the first Ctrl-C calls `note` and the second raises KeyboardInterrupt.

    Only where Ctrl-C would raise anyway: in the main thread, with Python's own handler in place.
    """
    usual = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if usual is not signal.default_int_handler:
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        note()

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
