"""Run folders: names, the lock, atomic files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nasengine.errors import InputError, RunError
from nasengine.runs import Header, Journal, create_run_folder, lock_holder, write_atomically

HEADER = Header("toy", "abc", {}, {"accuracy": "maximize"}, seed=0, lag=1)


def test_runs_are_numbered_by_space_and_strategy(tmp_path: Path) -> None:
    names = [create_run_folder("quick start", "random/../search", parent=tmp_path / "runs").name for _ in range(3)]
    assert names == [f"quick_start-random_.._search-{k}" for k in (1, 2, 3)]
    assert create_run_folder("quick start", "other", parent=tmp_path / "runs").name == "quick_start-other-1"


def test_numbers_go_on_after_the_largest_even_where_some_were_deleted(tmp_path: Path) -> None:
    (tmp_path / "a-b-7").mkdir()
    (tmp_path / "a-b-x").mkdir()
    assert create_run_folder("a", "b", parent=tmp_path).name == "a-b-8"


def test_a_named_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    assert create_run_folder("a", "b", folder=folder) == folder
    assert create_run_folder("a", "b", folder=folder) == folder
    (folder / "journal.jsonl").touch()
    with pytest.raises(InputError, match="is not empty") as raised:
        create_run_folder("a", "b", folder=folder)
    assert "nasengine resume" not in str(raised.value), "it holds no run to go on with"
    (folder / "run.yaml").touch()
    with pytest.raises(InputError, match="nasengine resume"):
        create_run_folder("a", "b", folder=folder)


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        create_run_folder("a", "b", folder=tmp_path / "file" / "run")
    with pytest.raises(InputError, match="no run folder can be made"):
        create_run_folder("a", "b", parent=tmp_path / "file" / "runs")


def test_two_processes_never_write_one_run(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from nasengine.runs import Header, Journal\n"
        "with Journal(sys.argv[1], Header('toy', 'abc', {}, {'accuracy': 'maximize'}, seed=0, lag=1)):\n"
        "    print('open', flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert lock_holder(tmp_path) == other.pid
        with pytest.raises(RunError, match=f"being written by the process with pid {other.pid}"):
            Journal(tmp_path, HEADER)
    finally:
        other.kill()
        other.communicate()
    assert lock_holder(tmp_path) is None
    with Journal(tmp_path, HEADER):
        assert lock_holder(tmp_path) == os.getpid()
        with pytest.raises(RunError, match=f"pid {os.getpid()}"):
            Journal(tmp_path, HEADER)
    assert lock_holder(tmp_path) is None


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.yaml"
    write_atomically(path, "first")
    write_atomically(path, "sécond".encode())
    assert path.read_text() == "sécond"
    assert [entry.name for entry in path.parent.iterdir()] == ["run.yaml"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    write_atomically(path, b"old")

    def fails(*unused: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="disk on fire"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
