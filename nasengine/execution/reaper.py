"""Cleans up behind this process should it be killed: ends processes and removes a folder.

A shell waits for the end of its input, a pipe whose other end nobody has but this process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

SCRIPT = 'cat > /dev/null; kill -9 "$@" 2> /dev/null; test -z "$0" || rm -rf "$0"'


class Reaper:
    """Waits from the start on.

    Args:
        processes: ids of those to end.
        folder: to remove; None: none.
    """

    def __init__(self, processes: Sequence[int], folder: Path | str | None = None) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT, str(folder or ""), *map(str, processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C on the terminal is none of its business
        )

    def dismiss(self) -> None:
        """There is nothing left to clean up."""
        with self._shell:  # closes the pipe, and waits
            self._shell.kill()
