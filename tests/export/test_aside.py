"""Folders that are written beside the one they will be: whole or gone, those of killed processes too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nasengine.export.aside import aside, put_in_place

KILLED = """
import sys, time
from pathlib import Path
from nasengine.export.aside import aside
with aside(Path(sys.argv[1])) as folder:
    (folder / "model.py").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_whole_takes_its_place_and_replaces_what_was_there(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with aside(tmp_path / "best") as folder:
            (folder / "model.py").write_text(text)
            put_in_place(folder, tmp_path / "best")
    assert names(tmp_path) == ["best"]
    assert (tmp_path / "best" / "model.py").read_text() == "second"


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with aside(tmp_path / "best") as folder:
            (folder / "model.py").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_taken_away_and_what_another_writes_is_not(tmp_path: Path) -> None:
    others = [tmp_path / ".best-effort", tmp_path / ".better-12345678", tmp_path / "best-12345678"]
    for other in others:
        other.mkdir()
    (tmp_path / ".best-old-abcd_123").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "best")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    with aside(tmp_path / "best"):
        pass
    assert names(left) == ["model.py"]  # held
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with aside(tmp_path / "best"):
        assert left.is_dir()
    assert names(tmp_path) == sorted(other.name for other in others)
