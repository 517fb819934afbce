"""How many evaluations a second: the Ray executor alone, the whole search in process and over Ray, and Ray Tune beside.

The executor alone measures nothing (a number drawn from the architecture) in chunks of its own choosing. The whole
search asks, journals and tells; its evaluator looks up NAS-Bench-201 (all trials are measured, repeats too), with a
lag of 256. Ray Tune measures nothing either: as a function, a process for each trial; as a class whose actors are used
again; and as a function whose searcher is our algorithm.

    python benchmarks/ray_executor.py --data-dir DATA --out benchmarks/results/ray_executor.json
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from machine import describe_machine
from ray import tune

from nasengine.algorithms import ALGORITHMS
from nasengine.evaluators import make_evaluator
from nasengine.execution import Executor, InProcess, RayCluster
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Job, Result
from nasengine.runs import Header, Journal
from nasengine.search.loop import run_search
from nasengine.search.ray_tune import TuneSearcher
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import load_space

LAG, WORKERS = 256, 2
OBJECTIVES = parse_objectives({"accuracy": "maximize"})
SETTINGS = {"random_search": {}, "regularized_evolution": {"population": 100, "tournament": 25}}


class Null:
    """Measures nothing: a number that depends on the architecture alone."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            yield Result(job.trial, "completed", {"accuracy": zlib.crc32(job.architecture.key.encode()) / 2**32})


def executor_alone(space: SearchSpace, jobs: int) -> dict[str, Any]:
    """The best of five rounds: the first ones learn the size of a call, and neighbours on the machine only ever add."""
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(1000)]
    rounds: list[float] = []
    began = time.perf_counter()
    with RayCluster(Null, workers=WORKERS) as cluster:
        for number in range(6):
            count = jobs if number else 2000
            # An architecture of its own each time: what it has computed of itself must not be used again.
            batch = [Job(k, Architecture(dict(drawn[k % 1000])), {"epochs": 1.0}, k) for k in range(count)]
            for job in batch:
                cluster.submit(job)
            results = cluster.results()
            if not number:
                next(results)
                started = time.perf_counter() - began
                list(results)
                continue
            before = time.perf_counter()
            answered = sum(1 for _ in results)
            assert answered == count
            rounds.append(count / (time.perf_counter() - before))
    return {
        "what": "executor alone, null evaluations",
        "executor": "ray",
        "evaluations": jobs,
        "a_second": round(max(rounds)),
        "rounds": [round(rate) for rate in rounds],
        "seconds_to_the_first_result": round(started, 1),
    }


def whole_search(
    space: SearchSpace, plan: dict[str, Any], algorithm: str, executor: str, trials: int
) -> dict[str, Any]:
    """One search after a short one that starts the workers; from the first ask to the last tell."""
    make = functools.partial(make_evaluator, plan)
    place: Executor = RayCluster(make, workers=WORKERS) if executor == "ray" else InProcess(make)
    with place:
        search(space, algorithm, place, 1000)
        began, cpu = time.perf_counter(), time.process_time()
        search(space, algorithm, place, trials)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return {
        "what": f"whole search, {algorithm}",
        "executor": executor,
        "evaluations": trials,
        "a_second": round(trials / seconds),
        "driver_cpu_ms_per_trial": round(1000 * cpu_s / trials, 3),
    }


def search(space: SearchSpace, algorithm: str, place: Executor, trials: int) -> None:
    made = ALGORITHMS[algorithm](Domain(space), OBJECTIVES, seed=0, **SETTINGS[algorithm])
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(folder, Header.of(space, OBJECTIVES, seed=0, lag=LAG)) as journal,
    ):
        run_search(
            made, place, journal, trials=trials, lag=LAG, seed=0, budget={}, objectives=OBJECTIVES, reuse=False
        )  # fmt: skip


def ray_tune(space: SearchSpace, trials: int) -> list[dict[str, Any]]:
    """Ray Tune with null evaluations."""

    os.environ.update(RAY_AIR_NEW_OUTPUT="0", RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    ray.init(
        address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    choices = {path: tune.choice(list(decision.options)) for path, decision in space.choices.items()}

    def null(config: dict[str, Any]) -> dict[str, float]:
        return {"accuracy": zlib.crc32(json.dumps(config, sort_keys=True).encode()) / 2**32}

    def as_function(config: dict[str, Any]) -> None:
        tune.report(null(config))

    class AsClass(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.config = config

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            return True

        def step(self) -> dict[str, Any]:
            return {**null(self.config), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing to keep; Tune insists on the method."""

        def load_checkpoint(self, checkpoint: object) -> None:
            """Nothing was kept."""

    ours = TuneSearcher(space, "random_search")
    rows = []
    for name, trainable, searcher, reuse, number in [
        ("Ray Tune, function", as_function, None, False, trials),
        ("Ray Tune, class with reuse_actors", AsClass, None, True, 4 * trials),
        ("Ray Tune, function, our searcher", as_function, ours, False, trials),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            tune.Tuner(
                trainable,
                param_space=choices if searcher is None else None,
                tune_config=tune.TuneConfig(
                    num_samples=number, metric="accuracy", mode="max", search_alg=searcher, reuse_actors=reuse
                ),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
            seconds = time.perf_counter() - began
        rows.append({"what": name, "executor": "ray", "evaluations": number, "a_second": round(number / seconds, 2)})
    ray.shutdown()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds nas_bench_201/")
    parser.add_argument("--jobs", type=int, default=40_000, help="of a round of the executor alone")
    parser.add_argument("--trials", type=int, default=10_000, help="of a whole search")
    parser.add_argument("--tune-trials", type=int, default=10, help="in a process each; 4 times as many in actors")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # Ray Tune's own
    space = load_space("nas_bench_201")
    plan = {
        "space": dict(space.tree.resolved),
        "evaluator": {"type": "table", "file": "nas_bench_201_cifar10"},
        "data": {"folder": str(arguments.data_dir.resolve())},
        "device": "cpu",
    }
    rows = [executor_alone(space, arguments.jobs)]
    for algorithm in SETTINGS:
        rows += [whole_search(space, plan, algorithm, place, arguments.trials) for place in ("in_process", "ray")]
    if arguments.tune_trials:
        rows += ray_tune(space, arguments.tune_trials)
    print(f"{'what':<40}{'executor':>12}{'number':>9}{'a second':>11}")
    for row in rows:
        print(f"{row['what']:<40}{row['executor']:>12}{row['evaluations']:>9}{row['a_second']:>11}")
    if arguments.out:
        report = {"workers": WORKERS, "lag": LAG, "seed": 0, "machine": describe_machine(), "rows": rows}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
