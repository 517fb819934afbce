"""kill -9 of a search under successive halving, its workers included: resumed, it has the trials it would have had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nasengine as nas
from nasengine.runs import JOURNAL_NAME, canonical_records
from tests.search.small import quick_search
from tests.search.test_halving_runs import STRATEGY

SCRIPT = """
import sys
from pathlib import Path
from tests.search.small import quick_search
from tests.search.test_halving_runs import STRATEGY
if __name__ == "__main__":
    quick_search(Path(sys.argv[1]), text=STRATEGY, executor="local", workers=int(sys.argv[2]))
"""
RESUME = """
import sys
import nasengine as nas
if __name__ == "__main__":
    nas.resume(sys.argv[1])
"""


def start(script: Path, *arguments: object) -> subprocess.Popen[bytes]:
    repository = Path(__file__).parents[2]
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    return subprocess.Popen(command, cwd=repository, env=environment, start_new_session=True)


def records(folder: Path) -> int:
    path = folder / JOURNAL_NAME
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_with_its_workers_it_goes_on_to_the_same_journal(tmp_path: Path, workers: int) -> None:
    quick_search(tmp_path / "whole", text=STRATEGY)
    for name, text in (("begin.py", SCRIPT), ("resume.py", RESUME)):
        (tmp_path / name).write_text(text)
    folder, kills = tmp_path / "killed", 0
    process = start(tmp_path / "begin.py", folder, workers)
    for target in (8, 17, 29):
        while records(folder) < target and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is None:
            kills += 1
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process = start(tmp_path / "resume.py", folder)
    assert process.wait() == 0
    assert kills == 3
    assert canonical_records(folder) == canonical_records(tmp_path / "whole")
    assert not (folder / "search" / "checkpoints").exists()
    assert nas.open_run(folder).ranked
