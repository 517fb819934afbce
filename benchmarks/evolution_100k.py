"""100,000 evaluations of NSGA-II and of regularized evolution on 40 separable choices, beside pymoo and Optuna.

Speed: the whole engine (`run_search`, evaluator in process, journal on disk) and the algorithm alone, each in a
process of its own: evaluations a second, growth of its memory, processor time per trial in each tenth of the run.
pymoo and Optuna evaluate the same function; Optuna's time per trial grows, so it gets --optuna evaluations only and
its figures are for these.

Quality: hypervolume after 1,000 evaluations, the same population for all, as a share of the box between the best
and the worst loss of each objective. Three functions of the same 40 choices, anew for each seed: `separable` (two
independent tables), `trade_off` (quality rises with cost, with noise, choices matter unequally), `epistasis` (a
trade-off with a table for each pair of neighbouring choices: not separable).

    python benchmarks/evolution_100k.py --out benchmarks/results/evolution_100k.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from machine import describe_machine
from numpy.typing import NDArray
from peers import optuna_nsga2, pymoo_nsga2

from nasengine.algorithms import ALGORITHMS, Algorithm
from nasengine.execution import InProcess
from nasengine.objectives import hypervolume, parse_objectives
from nasengine.records import Job, Result, Trial
from nasengine.runs import JOURNAL_NAME, Header, Journal
from nasengine.search.loop import SearchEvent, run_search
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.domain import Domain

Marks = list[tuple[int, float]]  # evaluations so far, processor time by then
CHOICES, LAG, POPULATION, EVALUATIONS = 40, 16, 100, 1000
FUNCTIONS = ("separable", "trade_off", "epistasis")
OBJECTIVES = parse_objectives({"quality": "maximize", "cost": "minimize"})
SIZES = np.random.default_rng(0).integers(5, 9, size=CHOICES)


def synthetic_space() -> SearchSpace:
    """40 choices of 5 to 8 options."""
    network = {"type": "any", **{f"c{i:02}": {"choice": list(range(int(n)))} for i, n in enumerate(SIZES)}}
    return space_from_mapping({"name": "synthetic_40", "task": {"kind": "any", "input": [1, 1, 1]}, "network": network})


class Function:
    """Two losses of a row, each the sum of a table's entries, scaled so that 0 is the best and 1 the worst."""

    def __init__(self, kind: str, seed: int) -> None:
        rng = np.random.default_rng([seed, FUNCTIONS.index(kind)])
        costs = [rng.random(n) for n in SIZES]
        if kind == "separable":
            gains = [rng.random(n) for n in SIZES]
        else:
            costs = [np.sort(cost) for cost in costs]
            noise = 0.1 if kind == "trade_off" else 0.0
            gains = [rng.gamma(2) * np.sqrt(cost) + noise * rng.normal(size=len(cost)) for cost in costs]
        self.losses = [-gain for gain in gains]
        self.costs = costs
        self.pairs: list[tuple[int, int, NDArray[np.float64]]] = []
        if kind == "epistasis":
            after = [(i + 1) % CHOICES for i in range(CHOICES)]
            self.pairs = [(i, j, rng.normal(size=(SIZES[i], SIZES[j]))) for i, j in enumerate(after)]
        tables = [*self.losses, *(table for _, _, table in self.pairs)]
        self.low = np.array([sum(table.min() for table in tables), sum(cost.min() for cost in costs)])
        self.span = np.array([sum(table.max() for table in tables), sum(cost.max() for cost in costs)]) - self.low

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        loss = sum(table[rows[:, i]] for i, table in enumerate(self.losses))
        loss = loss + sum(table[rows[:, i], rows[:, j]] for i, j, table in self.pairs)
        cost = sum(table[rows[:, i]] for i, table in enumerate(self.costs))
        return (np.stack([loss, cost], axis=1) - self.low) / self.span


class Tables:
    """The separable function as an evaluator, one architecture at a time."""

    def __init__(self) -> None:
        function = Function("separable", 0)
        self.tables = [(a.tolist(), b.tolist()) for a, b in zip(function.losses, function.costs, strict=True)]

    def measure(self, options: Sequence[int]) -> dict[str, float]:
        loss = cost = 0.0
        for option, (losses, costs) in zip(options, self.tables, strict=True):
            loss += losses[option]
            cost += costs[option]
        return {"quality": -loss, "cost": cost}

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            yield Result(job.trial, "completed", self.measure(list(job.architecture.values())))


def make(name: str, seed: int = 0) -> Algorithm:
    """Ours, as it comes, save that both have the same population."""
    space = synthetic_space()
    settings = {} if name == "random_search" else {"population": POPULATION}
    return ALGORITHMS[name](Domain(space), OBJECTIVES, seed=seed, **settings)


def through_the_engine(name: str, evaluations: int, marks: Marks) -> dict[str, Any]:
    """`run_search`, a journal on disk, the evaluator in this process."""

    def on_event(event: SearchEvent) -> None:
        if event.kind == "asked" and event.asked % (evaluations // 10) == 0:
            marks.append((event.asked, time.process_time()))

    algorithm = make(name)
    header = Header.of(algorithm.domain.space, OBJECTIVES, seed=0, lag=LAG)
    with tempfile.TemporaryDirectory() as folder:
        with Journal(folder, header) as journal, InProcess(Tables) as executor:
            run_search(
                algorithm, executor, journal, trials=evaluations, lag=LAG, seed=0, budget={}, objectives=OBJECTIVES,
                on_event=on_event,
            )  # fmt: skip
        return {"journal_mb": round((Path(folder) / JOURNAL_NAME).stat().st_size / 1e6, 1)}


def alone(name: str, evaluations: int, marks: Marks) -> dict[str, Any]:
    """Ask and tell by the lag rule, nothing else; nothing is kept but what the algorithm keeps."""
    algorithm, tables = make(name), Tables()
    waiting: deque[Trial] = deque()
    for number in range(evaluations):
        if len(waiting) == LAG:
            algorithm.tell(waiting.popleft())
        candidate = algorithm.ask(number)
        assert candidate is not None
        found = tables.measure(list(candidate.architecture.values()))
        waiting.append(Trial(number, candidate, "completed", found))
        if (number + 1) % (evaluations // 10) == 0:
            marks.append((number + 1, time.process_time()))
    return {}


def pymoo_alone(name: str, evaluations: int, marks: Marks) -> dict[str, Any]:
    pymoo_nsga2(SIZES, Function("separable", 0), evaluations, seed=0, population=POPULATION, marks=marks)
    return {}


def optuna_alone(name: str, evaluations: int, marks: Marks) -> dict[str, Any]:
    optuna_nsga2(SIZES, Function("separable", 0), evaluations, seed=0, population=POPULATION, marks=marks)
    return {}


WAYS: dict[str, Callable[[str, int, Marks], dict[str, Any]]] = {
    "engine": through_the_engine, "alone": alone, "pymoo": pymoo_alone, "optuna": optuna_alone,
}  # fmt: skip


def speed(way: str, name: str, evaluations: int) -> dict[str, Any]:
    """One row of the table; to be called in a fresh process, whose memory it measures."""
    WAYS[way](name, 500, [])  # imports, caches
    process = psutil.Process()
    before, began = process.memory_info().rss, time.perf_counter()
    marks: Marks = [(0, time.process_time())]
    also = WAYS[way](name, evaluations, marks)
    wall = time.perf_counter() - began
    grown = process.memory_info().rss - before
    ends = np.interp(np.linspace(0, evaluations, 11), *np.array(marks).T)  # processor time at each tenth
    tenths = [round(float(value), 1) for value in np.diff(ends) / (evaluations / 10) * 1e6]
    middle = float(np.median(tenths))
    return {
        "way": way,
        "algorithm": name,
        "evaluations": evaluations,
        "per_second": round(evaluations / wall),
        "per_cpu_second": round(evaluations / (ends[-1] - ends[0])),
        "rss_growth_mb": round(grown / 1e6, 1),
        "cpu_us_per_trial_in_tenths": tenths,
        "last_to_second_tenth": round(tenths[-1] / tenths[1] - 1, 3),
        "largest_from_median": round(max(abs(value / middle - 1) for value in tenths[1:]), 3),
        **also,
    }


def in_a_fresh_process(way: str, name: str, evaluations: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(speed, way, name, evaluations).result()


def ours(name: str, function: Function, seed: int) -> NDArray[np.float64]:
    """The losses of all evaluations of one of our algorithms under the usual lag."""
    algorithm = make(name, seed)
    trials: list[Trial] = []
    points = []
    for number in range(EVALUATIONS):
        if number >= LAG:
            algorithm.tell(trials[number - LAG])
        candidate = algorithm.ask(number)
        assert candidate is not None
        point = function(algorithm.domain.space.encode(candidate.architecture)[None])[0]
        points.append(point)
        trials.append(Trial(number, candidate, "completed", {"quality": -point[0], "cost": point[1]}))
    return np.array(points)


def searchers() -> dict[str, Callable[[Function, int], NDArray[np.float64]]]:
    common = {"population": POPULATION}
    return {
        "nsga2": lambda function, seed: ours("nsga2", function, seed),
        "pymoo nsga2": lambda f, seed: pymoo_nsga2(SIZES, f, EVALUATIONS, seed=seed, **common)[1],
        "pymoo nsga2, 20 offspring": lambda f, seed: pymoo_nsga2(
            SIZES, f, EVALUATIONS, seed=seed, offspring=20, **common
        )[1],
        "optuna nsga2": lambda f, seed: optuna_nsga2(SIZES, f, EVALUATIONS, seed=seed, **common)[1],
        "regularized_evolution": lambda function, seed: ours("regularized_evolution", function, seed),
        "random_search": lambda function, seed: ours("random_search", function, seed),
    }


def quality(seeds: int, optuna_seeds: int) -> list[dict[str, Any]]:
    rows = []
    for kind in FUNCTIONS:
        for name, search in searchers().items():
            chosen = range(optuna_seeds if name.startswith("optuna") else seeds)
            volumes = [hypervolume(search(Function(kind, seed), seed).tolist(), (1.0, 1.0)) for seed in chosen]
            row = {"function": kind, "algorithm": name, "seeds": len(volumes), "hypervolume": np.round(volumes, 4)}
            rows.append(row)
            error = float(np.std(volumes, ddof=1) / len(volumes) ** 0.5)
            row |= {"mean": round(float(np.mean(volumes)), 4), "standard_error": round(error, 4)}
            row["hypervolume"] = row["hypervolume"].tolist()
            wins = ""
            if name == "nsga2":
                mine = volumes
            else:
                row["ours_is_higher"] = sum(a > b for a, b in zip(mine, volumes, strict=False))
                wins = f"{row['ours_is_higher']:>6} of {len(volumes)}"
            print(f"{kind:<12}{name:<28}{row['mean']:>9.4f}{error:>9.4f}{wins:>12}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--optuna", type=int, default=3_000, help="evaluations for the speed of Optuna")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--optuna-seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    n = arguments.evaluations
    speeds = []
    print(f"{'way':<8}{'algorithm':<24}{'n':>8}{'a second':>10}{'MB more':>9}  microseconds of processor in each tenth")
    for way, name, count in [
        ("engine", "nsga2", n), ("engine", "regularized_evolution", n), ("engine", "random_search", n),
        ("alone", "nsga2", n), ("alone", "regularized_evolution", n), ("alone", "random_search", n),
        ("pymoo", "nsga2", n), ("optuna", "nsga2", arguments.optuna),
    ]:  # fmt: skip
        row = in_a_fresh_process(way, name, count)
        speeds.append(row)
        tenths = " ".join(f"{value:.0f}" for value in row["cpu_us_per_trial_in_tenths"])
        print(f"{way:<8}{name:<24}{count:>8}{row['per_second']:>10}{row['rss_growth_mb']:>9}  {tenths}", flush=True)
    print(f"\n{'function':<12}{'algorithm':<28}{'volume':>9}{'± error':>9}{'ours higher':>12}")
    rows = quality(arguments.seeds, arguments.optuna_seeds)
    if arguments.out:
        report = {
            "space": f"{CHOICES} choices of 5 to 8 options",
            "lag": LAG,
            "population": POPULATION,
            "machine": describe_machine(),
            "speed": speeds,
            "hypervolume_at_evaluations": EVALUATIONS,
            "quality": rows,
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
