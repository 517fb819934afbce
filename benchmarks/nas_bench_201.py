"""NAS-Bench-201, CIFAR-10: our algorithms through the engine, beside pymoo's and Optuna's NSGA-II on the same table.

Each search has 300 evaluations. It sees the validation accuracy after 200 epochs (one training) and, with two
objectives, the latency of 32 images on a GPU. Its incumbent is the best by validation accuracy; the *regret* is what
the incumbent lacks of the best cell of the table, in points of test accuracy (mean of one to three trainings) and of
validation accuracy. Intervals are 95 % bootstrap intervals of the mean over seeds; p-values are of two-sided
Mann-Whitney tests against random search, by test regret. The hypervolume is that of validation accuracy and latency
below the slowest cell and 20 points under the best, as a share of what the whole table has.

Ours run with the usual lag of 16 and, where `lag 1` says so, knowing every earlier trial; Optuna knows every earlier
trial, pymoo all earlier generations. Settings are those of the shipped strategies, the peers have NSGA-II's population.

    NASENGINE_DATA=DIR python benchmarks/nas_bench_201.py --out benchmarks/results/nas_bench_201.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from numpy.typing import NDArray
from peers import optuna_nsga2, pymoo_nsga2

from nasengine.algorithms import ALGORITHMS
from nasengine.evaluators.table import TableEvaluator
from nasengine.evaluators.tabular import Tabulated, describe, load_table
from nasengine.execution import InProcess
from nasengine.objectives import hypervolume, parse_objectives
from nasengine.report.curves import Array, bootstrap_interval, hypervolume_curve, incumbent, mann_whitney
from nasengine.runs import Header, Journal
from nasengine.search.loop import run_search
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import load_space

EVALUATIONS, LAG = 300, 16
SHOWN = (50, 100, 200, 300)
ONE = parse_objectives({"accuracy": "maximize"})
TWO = parse_objectives({"accuracy": "maximize", "latency_ms": "minimize"})
NSGA2 = {"population": 20, "children": 10}
EVOLUTION = {"population": 20, "tournament": 5}
Search = tuple[str, int, int, Mapping[str, Any]]  # algorithm, objectives, lag, settings
SEARCHES: dict[str, Search] = {
    "random_search": ("random_search", 1, LAG, {}),
    "regularized_evolution": ("regularized_evolution", 1, LAG, EVOLUTION),
    "regularized_evolution, lag 1": ("regularized_evolution", 1, 1, EVOLUTION),
    "local_search": ("local_search", 1, LAG, {}),
    "local_search, lag 1": ("local_search", 1, 1, {}),
    "nsga2, accuracy alone": ("nsga2", 1, LAG, NSGA2),
    "nsga2": ("nsga2", 2, LAG, NSGA2),
    "nsga2, lag 1": ("nsga2", 2, 1, NSGA2),
    "pymoo nsga2": ("pymoo", 2, 0, {"population": 20}),
    "optuna nsga2": ("optuna", 2, 0, {"population": 20}),
    "regularized_evolution, two": ("regularized_evolution", 2, LAG, EVOLUTION),
    "local_search, two": ("local_search", 2, LAG, {}),
    "tpe": ("tpe", 1, LAG, {}),
    "tpe, two": ("tpe", 2, LAG, {}),
}


class Cells:
    """The table as arrays, by the number of a cell."""

    def __init__(self) -> None:
        self.space: SearchSpace = load_space("nas_bench_201")
        name = "nas_bench_201_cifar10"
        self.table: Tabulated = load_table(describe(name, self.space, None, {}), self.space, None)
        self.accuracy = np.array(self.table.at("accuracy", {"epochs": 200}))
        self.test = np.array(self.table.truth("accuracy"))
        latency = np.array(self.table.at("latency_ms", {}))
        span = latency.max() - latency.min()
        worse = (self.accuracy.max() - self.accuracy) / 0.2  # 1 is 20 points below the best
        self.points = np.stack([worse, (latency - latency.min()) / span], axis=1)  # (N, 2)
        self.volume = hypervolume(self.points.tolist(), (1.0, 1.0))
        self.sizes = np.array([len(decision.options) for decision in self.space.decisions])
        rows = self.space.encode_many(self.table.architectures)
        self.number = {row.tobytes(): number for number, row in enumerate(rows)}

    def numbers(self, rows: NDArray[Any]) -> list[int]:
        return [self.number[row.astype(np.int16).tobytes()] for row in rows]


def ours(cells: Cells, name: str, objectives: int, lag: int, settings: Mapping[str, Any], seed: int) -> list[int]:
    """The cells that a search through the engine measured, in the order of its trials."""
    wanted = TWO if objectives == 2 else ONE
    algorithm = ALGORITHMS[name](Domain(cells.space), wanted, seed=seed, **settings)
    header = Header.of(cells.space, wanted, seed=seed, lag=lag)
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(folder, header) as journal,
        InProcess(lambda: TableEvaluator(cells.table)) as executor,
    ):
        outcome = run_search(
            algorithm, executor, journal, trials=EVALUATIONS, lag=lag, seed=seed, budget={"epochs": 200},
            objectives=wanted,
        )  # fmt: skip
    return [cells.table.rows[trial.architecture.key] for trial in outcome.trials]


def search(label: str, seed: int) -> dict[str, Array]:
    """Curves of one search, a number per evaluation."""
    global CELLS
    if CELLS is None:
        CELLS = Cells()
    cells = CELLS
    name, objectives, lag, settings = SEARCHES[label]
    if name in ("pymoo", "optuna"):
        peer = pymoo_nsga2 if name == "pymoo" else optuna_nsga2

        def evaluate(rows: NDArray[Any]) -> NDArray[np.float64]:
            return cells.points[cells.numbers(rows)]

        rows, _ = peer(cells.sizes, evaluate, EVALUATIONS, seed=seed, **settings)
        found = cells.numbers(rows)
    else:
        found = ours(cells, name, objectives, lag, settings, seed)
    best = np.array(found)[incumbent((-cells.accuracy[found]).tolist())]
    volume = hypervolume_curve(cells.points[found].tolist(), (1.0, 1.0)) / cells.volume
    return {
        "test_regret": (cells.test.max() - cells.test[best]) * 100,
        "validation_regret": (cells.accuracy.max() - cells.accuracy[best]) * 100,
        "hypervolume": volume,
    }


CELLS: Cells | None = None  # of this process


def summarize(label: str, curves: list[dict[str, Array]], random: list[float] | None) -> dict[str, Any]:
    name, objectives, lag, settings = SEARCHES[label]
    row: dict[str, Any] = {"search": label, "algorithm": name, "objectives": objectives, "settings": dict(settings)}
    if lag:
        row["lag"] = lag
    for what in ("test_regret", "validation_regret", "hypervolume"):
        values = np.array([curve[what] for curve in curves])  # (S, T)
        places = np.arange(9, EVALUATIONS, 10)
        low, high = bootstrap_interval(values)
        row[what] = {
            "evaluations": (places + 1).tolist(),
            "mean": np.round(values.mean(axis=0)[places], 5).tolist(),
            "low": np.round(low[places], 5).tolist(),
            "high": np.round(high[places], 5).tolist(),
            "final": np.round(values[:, -1], 5).tolist(),
        }
    if random is not None:
        row["p_against_random"] = mann_whitney(row["test_regret"]["final"], random)
    return row


def shown(row: Mapping[str, Any]) -> str:
    regret, validation, volume = row["test_regret"], row["validation_regret"], row["hypervolume"]
    at = [regret["mean"][n // 10 - 1] for n in SHOWN]
    p = f"{row['p_against_random']:.0e}" if "p_against_random" in row else ""
    return (
        f"{row['search']:<30}" + "".join(f"{value:>7.3f}" for value in at) + f"  [{regret['low'][-1]:.3f}, "
        f"{regret['high'][-1]:.3f}]{validation['mean'][-1]:>8.3f}{p:>8}{volume['mean'][-1]:>9.4f}  "
        f"[{volume['low'][-1]:.4f}, {volume['high'][-1]:.4f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=list(SEARCHES), default=list(SEARCHES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    began = time.perf_counter()
    print(
        f"{'test regret after':<30}" + "".join(f"{n:>7}" for n in SHOWN) + "  95 % interval    valid.       p   volume"
    )
    rows = []
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        running = {
            label: [pool.submit(search, label, seed) for seed in range(arguments.seeds)] for label in arguments.only
        }
        random: list[float] | None = None
        for label, futures in running.items():
            row = summarize(label, [future.result() for future in futures], random)
            if label == "random_search":
                random = row["test_regret"]["final"]
            rows.append(row)
            print(shown(row), flush=True)
    print(f"{time.perf_counter() - began:.0f} s")
    if arguments.out:
        report = {
            "table": "nas_bench_201_cifar10, 200 epochs, latency_ms",
            "evaluations": EVALUATIONS,
            "seeds": arguments.seeds,
            "machine": describe_machine(),
            "searches": rows,
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
