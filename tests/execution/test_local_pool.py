"""Crashes, time limits and the life of the worker processes of the local pool."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from nasengine.errors import InputError, RunError
from nasengine.execution import LocalPool
from nasengine.records import Architecture, Job, Result

sys.path.insert(0, str(Path(__file__).parent))  # worker processes inherit the path

import scripted_evaluator

HERE = Path(__file__).parent


def job(trial: int, do: str = "measure") -> Job:
    return Job(trial, Architecture({"do": do, "x": trial}))


def run(pool: LocalPool, jobs: list[Job]) -> dict[int, Result]:
    with pool:
        for one in jobs:
            pool.submit(one)
        return {result.trial: result for result in pool.results()}


def wait_until(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("segfault", "its worker process was killed by SIGSEGV"),
        ("abort", "its worker process was killed by SIGABRT"),
        ("killed", "its worker process was killed by SIGKILL, most often for want of memory"),
        ("leave", "its worker process ended with exit code 7"),
    ],
)
def test_a_worker_that_dies_fails_its_trial_and_no_other(do: str, reason: str) -> None:
    results = run(LocalPool(scripted_evaluator.make, workers=2), [job(0), job(1, do), job(2), job(3, do), job(4)])
    assert [results[k].status for k in range(5)] == ["completed", "failed", "completed", "failed", "completed"]
    assert results[1].reason == results[3].reason == reason


def test_many_crashes_in_a_row_each_fail_one_trial_only() -> None:
    jobs = [job(k, "killed" if k % 2 else "measure") for k in range(12)]
    results = run(LocalPool(scripted_evaluator.make, workers=2), jobs)
    assert [results[k].status for k in range(12)] == ["completed", "failed"] * 6


@pytest.mark.slow
def test_68_crashes_among_90_trials_fail_68_trials_each_for_its_reason() -> None:
    jobs = [job(k, ["killed", "leave", "measure", "segfault"][k % 4]) for k in range(90)]
    results = run(LocalPool(scripted_evaluator.make, workers=3), jobs)
    words = ["SIGKILL", "exit code 7", "", "SIGSEGV"]
    assert sum(result.status == "failed" for result in results.values()) == 68
    assert all(words[k % 4] in results[k].reason for k in range(90))


@pytest.mark.parametrize("do", ["hang", "hang_in_python"])
def test_a_trial_over_its_time_limit_fails_alone(do: str) -> None:
    results = run(LocalPool(scripted_evaluator.make, workers=2, timeout_s=0.7), [job(0, do), job(1), job(2), job(3)])
    assert (results[0].status, results[0].reason) == ("failed", "took longer than 0.7 s")
    assert [results[k].status for k in (1, 2, 3)] == ["completed"] * 3


def test_the_time_limit_does_not_count_the_start_of_the_worker() -> None:
    slow_start = functools.partial(_slow_make)
    results = run(LocalPool(slow_start, workers=1, timeout_s=0.5), [job(0), job(1, "killed"), job(2)])
    assert [results[k].status for k in range(3)] == ["completed", "failed", "completed"]


@pytest.mark.parametrize("later", [False, True])
def test_a_worker_killed_while_idle_costs_no_trial(later: bool) -> None:
    with LocalPool(scripted_evaluator.make, workers=1) as pool:
        pool.submit(job(0))
        assert next(pool.results()).status == "completed"
        (worker,) = _workers(psutil.Process())
        worker.kill()
        if later:
            time.sleep(0.5)  # the pool has noticed by then
        pool.submit(job(1))
        assert [(r.trial, r.status) for r in pool.results()] == [(1, "completed")]


def test_workers_that_end_while_starting_are_reported_once_with_advice() -> None:
    with pytest.raises(RunError, match="__main__"):
        run(LocalPool(scripted_evaluator.make_dies, workers=2), [job(0), job(1)])


def test_a_script_without_its_guard_is_told_so_once(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    text = textwrap.dedent(PARENT.format(here=str(HERE), log="", do="measure"))
    script.write_text(text.replace('__name__ == "__main__"', "True"))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]


def test_wrong_settings_are_bad_input() -> None:
    with pytest.raises(InputError, match="0 workers"):
        LocalPool(scripted_evaluator.make, workers=0)
    with pytest.raises(InputError, match="time limit"):
        LocalPool(scripted_evaluator.make, timeout_s=0)
    with pytest.raises(InputError, match="cannot be sent"):
        LocalPool(lambda: scripted_evaluator.make())


def test_without_pebble_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pebble", None)
    with LocalPool(scripted_evaluator.make) as pool, pytest.raises(InputError, match="pip install pebble"):
        pool.submit(job(0))


def test_closing_leaves_no_process_behind() -> None:
    with LocalPool(scripted_evaluator.make, workers=2) as pool:
        for k in range(4):
            pool.submit(job(k, "hang" if k == 3 else "measure"))
        arrived = [next(pool.results()).trial for _ in range(3)]
        workers = _workers(psutil.Process())
        assert sorted(arrived) == [0, 1, 2]
        assert len(workers) == 2
    assert wait_until(lambda: not any(worker.is_running() for worker in workers))


PARENT = """
    import functools, sys
    sys.path.insert(0, {here!r})
    import scripted_evaluator
    from nasengine.execution import LocalPool
    from nasengine.records import Architecture, Job

    if __name__ == "__main__":
        with LocalPool(functools.partial(scripted_evaluator.make, {log!r}), workers=2) as pool:
            for k in range(4):
                pool.submit(Job(k, Architecture({{"do": {do!r}, "x": k}})))
            print("started", flush=True)
            for result in pool.results():
                print(result.trial, flush=True)
"""


def start_parent(tmp_path: Path, do: str) -> tuple["subprocess.Popen[str]", list[psutil.Process]]:
    """A process with a pool whose two workers are in the middle of a trial; and those workers."""
    log = tmp_path / "log"
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT.format(here=str(HERE), log=str(log), do=do)))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert wait_until(lambda: log.exists() and len(log.read_text().splitlines()) >= 2)
    pids = {int(line.split()[1]) for line in log.read_text().splitlines()}
    return parent, [psutil.Process(pid) for pid in pids]


@pytest.mark.parametrize("do", ["hang", "hang_in_python"])
def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path, do: str) -> None:
    parent, workers = start_parent(tmp_path, do)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=20)
    assert wait_until(lambda: not any(worker.is_running() for worker in workers))


def test_ctrl_c_shows_the_parents_traceback_only(tmp_path: Path) -> None:
    parent, workers = start_parent(tmp_path, "hang")
    os.killpg(parent.pid, signal.SIGINT)  # what the terminal does
    _, errors = parent.communicate(timeout=20)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert wait_until(lambda: not any(worker.is_running() for worker in workers))


def test_ctrl_c_while_workers_start_shows_no_traceback_of_theirs(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT.format(here=str(HERE), log="", do="hang")))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"  # the workers' interpreters have only just been launched
    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=20)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


def _slow_make() -> scripted_evaluator.Scripted:
    time.sleep(1.0)
    return scripted_evaluator.make()


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    """Child processes that are pool workers: the resource tracker is none."""
    return [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
