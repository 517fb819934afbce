"""A process with a Ray of its own: what it prints, what it leaves behind, and what is left when it is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPT = """
    import functools, os, sys
    sys.path.insert(0, {here!r})
    import scripted_evaluator
    from nasengine.execution import RayCluster
    from nasengine.records import Architecture, Job

    def make():
        print("a worker says something")
        return scripted_evaluator.make({log!r})

    if __name__ == "__main__":
        with RayCluster(make, workers=2) as cluster:
            for k, what in enumerate({does!r}):
                cluster.submit(Job(k, Architecture({{"do": what, "x": k}})))
            for result in cluster.results():
                print(result.trial, result.status, flush=True)
"""


def start(tmp_path: Path, does: list[str]) -> "subprocess.Popen[str]":
    """A process that measures these jobs."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(here=str(HERE), log=str(tmp_path / "log"), does=does)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**environment, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 40.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def begun(tmp_path: Path) -> list[str]:
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def ray_folders(pid: int) -> list[Path]:
    """What a process with a Ray of its own keeps on the disk."""
    return list(Path("/tmp").glob(f"nasengine-ray-*/session_*_{pid}"))


def alive(processes: list[psutil.Process]) -> list[str]:
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.ray
def test_ray_prints_nothing_not_even_when_workers_die_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = start(tmp_path, ["measure", "killed", "measure"])
    assert wait_until(lambda: bool(begun(tmp_path)))
    started = descendants(process.pid)
    output, errors = process.communicate(timeout=100)
    assert errors == ""
    assert sorted(output.splitlines()) == ["0 completed", "1 failed", "2 completed"]
    assert process.returncode == 0
    assert wait_until(lambda: not alive(started)), alive(started)
    assert not ray_folders(process.pid)


@pytest.mark.ray
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_ray_process_outlives_its_driver(tmp_path: Path, how: signal.Signals) -> None:
    process = start(tmp_path, ["hang", "hang_in_python"])
    assert wait_until(lambda: len(begun(tmp_path)) >= 2)
    started = descendants(process.pid)
    assert "raylet" in alive(started)
    assert ray_folders(process.pid)
    os.kill(process.pid, how)
    assert process.communicate(timeout=20) == ("", "")
    assert wait_until(lambda: not alive(started)), alive(started)
    assert wait_until(lambda: not ray_folders(process.pid))


@pytest.mark.ray
def test_a_driver_killed_while_its_ray_starts_leaves_nothing(tmp_path: Path) -> None:
    """Also not what Ray starts in that very moment, which nobody could have listed."""
    process = start(tmp_path, ["hang"])
    assert wait_until(lambda: "raylet" in alive(descendants(process.pid)))
    folder = ray_folders(process.pid)[0].parent
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert wait_until(lambda: not folder.exists() and not working_in(folder), 20), working_in(folder)


def working_in(folder: Path) -> list[str]:
    """The command lines of processes that name a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(folder) in line:
            found.append(line[:100])
    return found


def test_importing_nasengine_imports_no_ray() -> None:
    code = "import sys, nasengine, nasengine.cli.main, nasengine.search.api; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
