"""Lost workers, lost machines, time limits, GPUs and shared arrays on a Ray cluster of three nodes."""

import functools
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nasengine.errors import InputError, RunError
from nasengine.execution import RayCluster
from nasengine.records import Architecture, Job, Result

sys.path.insert(0, str(Path(__file__).parent))  # workers are told the path

import scripted_evaluator

pytestmark = pytest.mark.ray
QUARANTINED = "its worker died while measuring it and nothing else, twice"


def job(trial: int, do: str = "measure") -> Job:
    return Job(trial, Architecture({"do": do, "x": trial}))


def wait_for_cpus(cpus: float, seconds: float = 60.0) -> None:
    """Until the cluster has so many: it counts a machine that another test has removed until it misses its beats."""
    import ray

    end = time.monotonic() + seconds
    while ray.cluster_resources().get("CPU") != cpus:
        assert time.monotonic() < end, ray.cluster_resources()
        time.sleep(0.1)


def run(cluster: RayCluster, jobs: Sequence[Job]) -> dict[int, Result]:
    """All results; that there is exactly one for each job is checked."""
    with cluster:
        for one in jobs:
            cluster.submit(one)
        results = list(cluster.results())
    assert sorted(result.trial for result in results) == sorted(one.trial for one in jobs)
    return {result.trial: result for result in results}


def begun(log: Path) -> list[tuple[int, int]]:
    """(trial, pid) of every job that a worker began, in their order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def once_begun(log: Path, jobs: int, act: Callable[[], None]) -> threading.Thread:
    """Do something, in a thread, when so many jobs have begun."""

    def watch() -> None:
        end = time.monotonic() + 60
        while len(begun(log)) < jobs and time.monotonic() < end:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_job_that_kills_its_worker_twice_is_given_up_and_no_other(ray_machines: Any) -> None:
    results = run(RayCluster(scripted_evaluator.make, workers=2), [job(0), job(1, "segfault"), job(2), job(3, "leave")])
    assert [results[k].status for k in range(4)] == ["completed", "failed", "completed", "failed"]
    assert results[1].reason == results[3].reason == QUARANTINED
    assert "actor" in results[1].details["worker"]


def test_the_one_bad_job_of_a_chunk_is_found_out(ray_machines: Any) -> None:
    jobs = [job(k, "abort" if k == 150 else "measure") for k in range(300)]
    results = run(RayCluster(scripted_evaluator.make, workers=2), jobs)
    assert [k for k in range(300) if results[k].status != "completed"] == [150]
    assert results[150].reason == QUARANTINED


def test_a_worker_that_is_killed_costs_no_trial(ray_machines: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    make = functools.partial(scripted_evaluator.make, str(log), 0.02)
    killer = once_begun(log, 40, lambda: os.kill(begun(log)[-1][1], signal.SIGKILL))
    results = run(RayCluster(make, workers=2), [job(k) for k in range(150)])
    killer.join()
    assert {result.status for result in results.values()} == {"completed"}
    assert len({pid for _, pid in begun(log)}) == 3


def test_a_machine_that_is_lost_costs_no_trial(ray_machines: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    make = functools.partial(scripted_evaluator.make, str(log), 0.02)
    node = ray_machines.add_node(num_cpus=2)
    begun_then: list[int] = []

    def remove() -> None:
        ray_machines.remove_node(node, allow_graceful=False)
        begun_then.append(len(begun(log)))

    gone = once_begun(log, 60, remove)
    results = run(RayCluster(make, workers=0), [job(k) for k in range(600)])
    gone.join()
    assert {result.status for result in results.values()} == {"completed"}
    assert begun_then[0] < 500


def test_a_trial_over_its_time_limit_fails_alone(ray_machines: Any) -> None:
    jobs = [job(0, "hang"), job(1), job(2, "hang_in_python"), job(3)]
    results = run(RayCluster(scripted_evaluator.make, workers=2, timeout_s=0.7), jobs)
    assert [results[k].status for k in range(4)] == ["failed", "completed", "failed", "completed"]
    assert results[0].reason == results[2].reason == "took longer than 0.7 s"


def test_the_time_limit_finds_the_one_that_hangs_in_a_chunk(ray_machines: Any) -> None:
    jobs = [job(k, "hang" if k == 60 else "measure") for k in range(120)]
    results = run(RayCluster(scripted_evaluator.make, workers=1, timeout_s=0.5), jobs)
    assert [k for k in range(120) if results[k].status != "completed"] == [60]


def test_workers_that_find_no_room_do_not_hold_up_the_others(ray_machines: Any) -> None:
    results = run(RayCluster(scripted_evaluator.make, workers=50), [job(k) for k in range(20)])
    assert {result.status for result in results.values()} == {"completed"}


def test_where_no_worker_finds_room_the_error_says_what_is_asked_and_what_is_there(ray_machines: Any) -> None:
    wait_for_cpus(6)
    cluster = RayCluster(scripted_evaluator.make, threads=64, patience_s=1.0)
    with pytest.raises(RunError, match=r"in 1 s: each asks for 64 CPUs, and the cluster has 6 CPUs and 0 GPUs on 3"):
        run(cluster, [job(0)])


def test_as_many_workers_as_fit_are_asked_for_where_no_number_is_given(ray_machines: Any) -> None:
    wait_for_cpus(6)
    with RayCluster(scripted_evaluator.make, workers=0, threads=2) as cluster:
        cluster.submit(job(0))
        assert cluster.capacity == 3  # three nodes of two CPUs: known before anything is waited for
        assert next(cluster.results()).status == "completed"
        assert cluster.capacity >= 3


class Gpu:
    """Measures which GPU the worker was given."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for one in jobs:
            time.sleep(0.3)
            yield Result(one.trial, "completed", {"gpu": float(os.environ["CUDA_VISIBLE_DEVICES"])})


def test_two_workers_share_a_gpu_and_a_third_waits_for_none(ray_machines: Any) -> None:
    node = ray_machines.add_node(num_cpus=4, num_gpus=1)
    try:
        with RayCluster(Gpu, workers=3, gpus=0.5) as cluster:
            for k in range(6):
                cluster.submit(job(k))
            results = list(cluster.results())
            steps = sorted(slot.step for slot in cluster._slots)
        assert {result.measurements["gpu"] for result in results} == {0.0}
        assert steps == ["machine", "ready", "ready"]
    finally:
        ray_machines.remove_node(node, allow_graceful=False)


class Shared:
    """Measures whether its arrays are views of the object store, and that they are right."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        images = self.arrays["images"]
        found = {"sum": float(images.sum()), "writable": float(images.flags.writeable), "own": images.flags.owndata}
        for one in jobs:
            yield Result(one.trial, "completed", found)


def test_shared_arrays_reach_the_workers_without_a_copy(ray_machines: Any) -> None:
    asked = []

    def share() -> dict[str, NDArray[Any]]:
        asked.append(1)
        return {"images": np.ones((1000, 1000), np.uint8), "names": np.array(["a", "b"])}

    results = run(RayCluster(Shared, workers=2, share=share), [job(0), job(1)])
    assert [result.measurements for result in results.values()] == [{"sum": 1e6, "writable": 0.0, "own": 0.0}] * 2
    assert asked == [1]


def test_workers_that_die_while_starting_end_the_search_with_one_error(ray_machines: Any) -> None:
    with pytest.raises(RunError, match="died before they had an evaluator"):
        run(RayCluster(scripted_evaluator.make_dies, workers=2), [job(0)])


def test_a_cluster_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from nasengine.execution.ray_session import RaySession

    def refuse(**unused: object) -> None:
        raise ConnectionError("Could not find any running Ray instance\nsecond line")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(RunError, match=r"no Ray cluster answers at 'auto': Could not find any running Ray instance$"):
        RaySession("auto", 1)


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'nasengine\[ray\]'"):
        RayCluster(scripted_evaluator.make)


def test_wrong_settings_are_bad_input() -> None:
    with pytest.raises(InputError, match="-1 workers"):
        RayCluster(scripted_evaluator.make, workers=-1)
    with pytest.raises(InputError, match="time limit"):
        RayCluster(scripted_evaluator.make, timeout_s=0)
