"""The search loop on a Ray cluster: every algorithm's journal is the in-process one, whatever becomes of workers."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasengine.algorithms import ALGORITHMS
from nasengine.execution import Executor, InProcess, RayCluster
from nasengine.objectives import parse_objectives
from nasengine.records import Job, Result
from nasengine.runs import Header, Journal, canonical_records, status
from nasengine.search.loop import run_search
from nasengine.space.domain import Domain
from tests.contracts import test_algorithms as contract
from tests.execution.scripted_evaluator import value_of
from tests.search import test_loop_local_pool as local

sys.path.insert(0, str(Path(__file__).parents[2]))  # workers are told the path

pytestmark = pytest.mark.ray
OBJECTIVES = parse_objectives({"accuracy": "maximize", "macs": "minimize"})
LAG = 6


class Noisy:
    """Measures two numbers that depend on the architecture, one on the seed too; ends out of order, fails at times."""

    def __init__(self, sleep_s: float = 0.0, log: str = "") -> None:
        self.sleep_s, self.log = sleep_s, log

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            if self.log:
                with open(self.log, "a") as file:
                    file.write(f"{os.getpid()}\n")
            value = value_of(job.architecture)
            time.sleep(2 * self.sleep_s * (value * 7919 % 1))
            if value * 12 % 1 < 1 / 12:
                raise ValueError(f"drew {value:.3f}")
            noise = np.random.default_rng(job.seed).random()
            yield Result(job.trial, "completed", {"accuracy": value + noise, "macs": value * 1000})


def search(folder: Path, name: str, executor: Executor, trials: int = 24) -> list[dict[str, Any]]:
    """The canonical journal of one search; the executor stays open."""
    space = contract.load(contract.SPACE)
    algorithm = contract.make(name, Domain(space))
    folder.mkdir()
    with Journal(folder, Header.of(space, algorithm.objectives, seed=0, lag=LAG)) as journal:
        run_search(
            algorithm,
            executor,
            journal,
            trials=max(LAG + 2, contract.some(trials, name)),
            lag=LAG,
            seed=0,
            budget={"epochs": 1},
            objectives=algorithm.objectives,
        )
    return canonical_records(folder)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Algorithm -> its journal in this process."""
    folder = tmp_path_factory.mktemp("in_process")
    return {name: search(folder / name, name, InProcess(Noisy)) for name in ALGORITHMS}


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_algorithm_proposes_on_a_cluster_what_it_proposes_in_process(
    ray_machines: Any, tmp_path: Path, expected: dict[str, list[dict[str, Any]]], workers: int
) -> None:
    with RayCluster(functools.partial(Noisy, 0.002), workers=workers) as cluster:
        found = {name: search(tmp_path / name, name, cluster) for name in ALGORITHMS}
    assert [name for name in ALGORITHMS if found[name] != expected[name]] == []


def lost_during(act: Callable[[list[int]], None], log: Path, after: int) -> threading.Thread:
    """Call `act` with the pids that measured so far, once so many jobs have begun."""

    def watch() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pids = [int(line) for line in log.read_text().split()] if log.exists() else []
            if len(pids) >= after:
                act(pids)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_worker_and_then_a_machine_lost_during_a_search_leave_no_trace_in_its_journal(
    ray_machines: Any, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    name, trials = "regularized_evolution", 250
    node = ray_machines.add_node(num_cpus=4)
    killed = lost_during(lambda pids: os.kill(pids[-1], signal.SIGKILL), log, 40)
    removed = lost_during(lambda pids: ray_machines.remove_node(node, allow_graceful=False), log, 90)
    with RayCluster(functools.partial(Noisy, 0.02, str(log)), workers=6) as cluster:
        found = search(tmp_path / "cluster", name, cluster, trials)
        killed.join()
        removed.join()
        # On a busy machine the search ends before those sent for have come, so they get more to do.
        end = time.monotonic() + 60
        for again in range(1000):
            if len(set(log.read_text().split())) > 6 or time.monotonic() > end:
                break
            search(tmp_path / f"again_{again}", name, cluster)
    assert found == search(tmp_path / "in_process", name, InProcess(Noisy), trials)
    assert len(set(log.read_text().split())) > 6, "nobody was replaced"
    told = [record["trial"] for record in found if record["record"] == "told"]
    assert told == list(range(trials))


def test_ctrl_c_on_a_terminal_waits_for_what_the_workers_are_doing(tmp_path: Path) -> None:
    here = Path(__file__).parent
    text = local.SEARCH.format(here=str(here), execution=str(here.parent / "execution"))
    script = tmp_path / "search.py"
    script.write_text(textwrap.dedent(text).replace("LocalPool", "RayCluster"))
    run = tmp_path / "run"
    run.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(run)],
        env={**os.environ, "PYTHONPATH": str(here.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    end = time.monotonic() + 60
    while local.ended(run) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # Ray's processes get it too
    assert process.stdout.readline() == "interrupted\n"
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    found = status(run).phases[0]
    assert found.running == ()
    assert found.counts["failed"] == 0
    assert found.asked < 200
