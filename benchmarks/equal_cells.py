"""What recognising equal cells of NAS-Bench-201 costs and saves.

Cost: microseconds of processor time for one identity, the best of five passes over all 15,625 cells; of that, putting
the options into the tree (`fill`). A pass over identities that are known already is beside it.
Saving: of the trials of a random search, how many need no training, mean over 20 seeds.
Whether it is right to save them: the mean difference of the test accuracies (CIFAR-10, 200 epochs) of two cells that
are equal by our key and by the published classes, by our key only, by the published classes only.

    python benchmarks/equal_cells.py --data-dir DATA --out benchmarks/results/equal_cells.json
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine

from nasengine.space import SearchSpace, load_space

EDGES = ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
PASSES, SEEDS = 5, 20


def microseconds(space: SearchSpace, run: Callable[[SearchSpace, Any], object], *, fresh: bool) -> float:
    """Processor time of `run` for one architecture; a fresh space has no identities kept."""
    best = float("inf")
    for _ in range(PASSES):
        used = load_space(space.name) if fresh else space
        architectures = list(used.enumerate())
        for architecture in architectures[:2]:
            run(used, architecture)
        began = time.process_time()
        for architecture in architectures:
            run(used, architecture)
        best = min(best, time.process_time() - began)
    return round(best / len(architectures) * 1e6, 1)


def saved(space: SearchSpace, trials: int) -> dict[str, float]:
    """Shares of a random search's trials that repeat an architecture, and that repeat a network."""
    repeated, equal = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        drawn = [space.sample(rng) for _ in range(trials)]
        repeated.append(1 - len(set(drawn)) / trials)
        equal.append(1 - len({space.identity(architecture) for architecture in drawn}) / trials)
    return {"same_architecture": round(statistics.mean(repeated), 4), "same_network": round(statistics.mean(equal), 4)}


def differences(space: SearchSpace, table: Path) -> dict[str, dict[str, float]]:
    """Pairs and their mean difference in accuracy, of cells that reach their output."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["c10_zen"]]  # empty where nothing reaches the output
    ours = [space.identity(of_digits(space, row["ops"])) for row in rows]
    published = [row["iso_id"] for row in rows]
    accuracy = [float(row["c10_test_200e"]) for row in rows]
    found: dict[str, list[float]] = {"equal in both": [], "by our key only": [], "by the published classes only": []}
    for first, second in pairs(ours):
        both = published[first] == published[second]
        found["equal in both" if both else "by our key only"].append(abs(accuracy[first] - accuracy[second]))
    for first, second in pairs(published):
        if ours[first] != ours[second]:
            found["by the published classes only"].append(abs(accuracy[first] - accuracy[second]))
    return {
        name: {"pairs": len(values), "mean_difference": round(statistics.fmean(values), 3)}
        for name, values in found.items()
    }


def of_digits(space: SearchSpace, digits: str) -> Any:
    chosen = (OPERATIONS[int(digit)] for digit in digits)
    return space.architecture({f"let.cell.edges.{edge}": option for edge, option in zip(EDGES, chosen, strict=True)})


def pairs(keys: Iterable[Hashable]) -> Iterable[tuple[int, int]]:
    classes: dict[Hashable, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        classes[key].append(number)
    return itertools.chain.from_iterable(itertools.combinations(members, 2) for members in classes.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("NASENGINE_DATA"), help="holds nas_bench_201/")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    space = load_space("nas_bench_201")
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "architectures": space.size(),
        "networks": len({space.identity(architecture) for architecture in space.enumerate()}),
        "identity_us": microseconds(space, SearchSpace.identity, fresh=True),
        "fill_us": microseconds(space, SearchSpace.fill, fresh=True),
        "known_identity_us": microseconds(space, SearchSpace.identity, fresh=False),
        "random_search": {trials: saved(space, trials) for trials in (100, 300, 1000, 3000)},
    }
    print(f"{report['networks']:,} networks among {report['architectures']:,} architectures")
    print(f"identity {report['identity_us']} us (fill: {report['fill_us']} us), known {report['known_identity_us']} us")
    for trials, shares in report["random_search"].items():
        again, equal = shares["same_architecture"], shares["same_network"]
        print(f"{trials:>6} random trials: {again:.1%} repeat an architecture, {equal:.1%} a network")
    if arguments.data_dir is not None:
        report["accuracies"] = differences(space, Path(arguments.data_dir) / "nas_bench_201" / "nb201.csv")
        for name, figures in report["accuracies"].items():
            print(f"{name:<32}{figures['pairs']:>9,} pairs{figures['mean_difference']:>8} points apart")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
