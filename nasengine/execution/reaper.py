"""Cleans up behind this process should it be killed: ends processes and removes a folder.

A shell reads the ids of processes from a pipe whose other end nobody has but this process. Where the pipe ends, they
are ended, and so is, on Linux, whatever names the folder on its command line or has a file in it open: what was being
started at that moment. (Some of Ray's processes overwrite their command lines; all write logs.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

# Three times, since processes that are about to end may still write, or start others. The shell has the folder on its
# own command line; the programs in its loop begin after the list of processes is made.
SCRIPT = """
while read -r id; do kept="$kept $id"; done
kill -9 $kept
for round in 1 2 3; do
  for entry in /proc/[0-9]*; do
    [ "$entry" = "/proc/$$" ] && continue
    { tr '\\0' ' ' < "$entry/cmdline"; ls -l "$entry/fd"; } | grep -qF -- "$0" && kill -9 "${entry#/proc/}"
  done
  rm -rf "$0"
  sleep 1
done
"""


class Reaper:
    """Waits from the start on; it must be dismissed.

    Args:
        folder: to remove.
    """

    def __init__(self, folder: Path | str) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C on the terminal is none of its business
        )

    def add(self, processes: Iterable[int]) -> None:
        """These are to be ended too, save the reaper itself."""
        assert self._shell.stdin is not None
        self._shell.stdin.writelines(f"{process}\n" for process in processes if process != self._shell.pid)
        self._shell.stdin.flush()

    def dismiss(self) -> None:
        """There is nothing left to clean up."""
        self._shell.kill()
        self._shell.communicate()
