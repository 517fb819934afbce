"""Optuna's samplers as algorithms: what an ask costs, and whether asking a fresh sampler each time costs quality.

Cost: processor time of an ask after 100, 300 and 1,000 completed trials on `mobile_cnn`, lag 1. Quality: NAS-Bench-201
on CIFAR-10, one trial after the other, validation accuracy after 200 epochs; regret is what the best found so far lacks
of the best of all 15,625 cells. `optuna_tpe` is Optuna used the ordinary way: one sampler object, `study.ask`,
`study.tell`, the same settings. `tpe_with_repeats` differs from it only in that each trial asks a fresh sampler; `tpe`
also avoids repeats. `tpe_with_repeats` and `optuna_tpe` have three times as many seeds as the others. The p-values
are of Mann-Whitney tests over seeds, two-sided.

Numerical libraries should have one thread each: OMP_NUM_THREADS=1.

    python benchmarks/optuna_samplers.py --data-dir DIR --out benchmarks/results/optuna_samplers.json
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from machine import describe_machine
from scipy.stats import mannwhitneyu

from nasengine.algorithms import ALGORITHMS
from nasengine.objectives import parse_objectives
from nasengine.records import Trial
from nasengine.space.domain import Domain
from nasengine.space.loading import load_space

EDGES = ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")  # the order of the digits in the table
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EVALUATIONS = 300
SHOWN = (50, 100, 200, 300)
PAIR, MORE = ("tpe_with_repeats", "optuna_tpe"), 3
SEARCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "random_search": ("random_search", {}),
    "regularized_evolution": ("regularized_evolution", {"population": 20, "tournament": 5}),
    "tpe_with_repeats": ("tpe", {"avoid_repeats": False}),
    "tpe": ("tpe", {}),
    "nsga3": ("nsga3", {"population": 20}),
    "cma_es": ("cma_es", {}),
}
Table = Mapping[str, float]


def read_table(folder: Path) -> Table:
    """Six digits -> validation accuracy after 200 epochs, percent."""
    with open(folder / "nas_bench_201" / "nb201.csv", encoding="utf-8", newline="") as file:
        return {row["ops"]: float(row["c10_val_200e"]) for row in csv.DictReader(file)}


def search(name: str, table: Table, seed: int) -> tuple[list[float], int]:
    """The accuracies in the order of the trials, and how many cells are different."""
    algorithm, settings = SEARCHES[name]
    objectives = parse_objectives({"accuracy": "maximize"})
    made = ALGORITHMS[algorithm](Domain(load_space("nas_bench_201")), objectives, seed=seed, **settings)
    found, cells = [], set()
    for number in range(EVALUATIONS):
        candidate = made.ask(number)
        assert candidate is not None
        taken = [candidate.architecture[f"let.cell.edges.{edge}"] for edge in EDGES]
        cells.add(tuple(taken))
        found.append(table["".join(str(OPERATIONS.index(operation)) for operation in taken)])
        made.tell(Trial(number, candidate, "completed", {"accuracy": found[-1]}))
    return found, len(cells)


def search_plainly(table: Table, seed: int) -> tuple[list[float], int]:
    """Optuna's TPE as its documentation uses it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    found, cells = [], set()
    for _ in range(EVALUATIONS):
        trial = study.ask()
        taken = [trial.suggest_categorical(edge, OPERATIONS) for edge in EDGES]
        cells.add(tuple(taken))
        found.append(table["".join(str(OPERATIONS.index(operation)) for operation in taken)])
        study.tell(trial, found[-1])
    return found, len(cells)


def one_search(task: tuple[str, int, Table]) -> tuple[str, list[float], int, float]:
    name, seed, table = task
    began = time.process_time()
    found, cells = search_plainly(table, seed) if name == "optuna_tpe" else search(name, table, seed)
    regret = max(table.values()) - np.maximum.accumulate(found)
    return name, regret.tolist(), cells, time.process_time() - began


def measure_quality(table: Table, seeds: int, workers: int) -> dict[str, Any]:
    names = (*SEARCHES, "optuna_tpe")
    many = {name: MORE * seeds if name in PAIR else seeds for name in names}
    tasks = [(name, seed, table) for seed in range(MORE * seeds) for name in names if seed < many[name]]
    regrets: dict[str, list[list[float]]] = {name: [] for name in names}
    cells: dict[str, list[int]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for name, regret, different, taken in pool.imap(one_search, tasks):
            regrets[name].append(regret)
            cells[name].append(different)
            seconds[name].append(taken)
    rows = {}
    for name in names:
        matrix = np.array(regrets[name])  # (seeds, evaluations)
        rows[name] = {
            "seeds": many[name],
            "settings": {} if name == "optuna_tpe" else SEARCHES[name][1],
            "different_cells": float(np.mean(cells[name])),
            "processor_seconds": round(float(np.mean(seconds[name])), 2),
            "regret_percent": {
                str(n): {
                    "mean": round(float(matrix[:, n - 1].mean()), 4),
                    "standard_error": round(float(matrix[:, n - 1].std(ddof=1) / np.sqrt(many[name])), 4),
                }
                for n in SHOWN
            },
        }
    plain = np.array(regrets["optuna_tpe"])
    tests = {
        name: {
            str(n): round(float(mannwhitneyu(np.array(regrets[name])[:, n - 1], plain[:, n - 1]).pvalue), 4)
            for n in SHOWN
        }
        for name in ("tpe_with_repeats", "tpe", "regularized_evolution")
    }
    return {"seeds": seeds, "evaluations": EVALUATIONS, "searches": rows, "p_against_optuna_tpe": tests}


def show_quality(quality: dict[str, Any]) -> None:
    print(f"{'':24}" + "".join(f"{f'regret at {n}':>18}" for n in SHOWN) + f"{'cells':>8}{'s':>8}")
    for name, row in quality["searches"].items():
        shown = (row["regret_percent"][str(n)] for n in SHOWN)
        cells = "".join(f"{at['mean']:>9.3f} ± {at['standard_error']:.3f} " for at in shown)
        print(f"{name:24}{cells}{row['different_cells']:>8.0f}{row['processor_seconds']:>8.1f}")
    print("p against optuna_tpe:", json.dumps(quality["p_against_optuna_tpe"]), flush=True)


def measure_asks(name: str, settings: dict[str, Any], objectives: int, told: int, asks: int) -> float:
    """Median processor milliseconds of an ask after so many completed trials."""
    directions = dict(list({"accuracy": "maximize", "macs": "minimize"}.items())[:objectives])
    begun: Callable[..., Any] = ALGORITHMS[name]
    key = "population" if name == "nsga3" else "startup"
    made = begun(
        Domain(load_space("mobile_cnn")),
        parse_objectives(directions),
        seed=0,
        **{key: told // 2 if name == "nsga3" else told},
        **settings,
    )
    taken = []
    for number in range(told + asks):
        began = time.process_time()
        candidate = made.ask(number)
        if number >= told:
            taken.append(time.process_time() - began)
        draw = zlib.crc32(candidate.architecture.key.encode())
        made.tell(Trial(number, candidate, "completed", {"accuracy": draw % 997 / 997, "macs": draw % 1009}))
    return round(1000 * float(np.median(taken)), 1)


def measure_costs() -> list[dict[str, Any]]:
    cases: list[tuple[str, dict[str, Any], int, tuple[int, ...], int]] = [
        ("tpe", {}, 1, (100, 300, 1000), 9),
        ("tpe", {"group": True}, 1, (100, 300, 1000), 9),
        ("tpe", {"multivariate": False}, 1, (100, 300, 1000), 5),
        ("tpe", {}, 2, (100, 300, 1000), 9),
        ("nsga3", {}, 2, (100, 300, 1000), 9),
        ("cma_es", {}, 1, (100, 300, 1000), 9),
        ("gp", {}, 1, (100, 300), 3),
        ("gp", {}, 2, (100,), 2),
    ]
    rows = []
    for name, settings, objectives, trials, asks in cases:
        row: dict[str, Any] = {"algorithm": name, "settings": settings, "objectives": objectives}
        row["ask_ms"] = {str(told): measure_asks(name, settings, objectives, told, asks) for told in trials}
        print(f"{name:8} {settings or ''!s:24} {objectives} objectives  ", end="")
        print("  ".join(f"after {told}: {ms:g} ms" for told, ms in row["ask_ms"].items()), flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("NASENGINE_DATA"), help="holds nas_bench_201/")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--part", choices=("quality", "cost", "both"), default="both")
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    arguments = parser.parse_args()
    if arguments.data_dir is None and arguments.part != "cost":
        parser.error("--data-dir or NASENGINE_DATA must name the folder that holds nas_bench_201/")
    found: dict[str, Any] = {}
    if arguments.part != "cost":
        found["quality"] = measure_quality(read_table(arguments.data_dir), arguments.seeds, arguments.workers)
        show_quality(found["quality"])
    if arguments.part != "quality":
        found["cost"] = measure_costs()
    if arguments.out:
        machine = describe_machine()
        machine["versions"] = {**machine["versions"], "optuna": optuna.__version__}
        arguments.out.write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
