"""What the engine itself costs per trial: ask, price, journal, tell, with an evaluator that does nothing.

One thread of one core, `mobile_cnn`, the journal on disk with its usual flushing and syncing. Processor time is
what the engine costs; wall time also holds what the disk and the neighbours on the machine take. `early` and `late`
are the fastest blocks of 1,000 trials among the second to eleventh and among the last ten: neighbours only ever add.

    python benchmarks/engine_overhead.py --out benchmarks/results/engine_overhead.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine

from nasengine.algorithms import ALGORITHMS
from nasengine.costs import Pricer
from nasengine.execution import InProcess
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Job, Result
from nasengine.runs import JOURNAL_NAME, Header, Journal
from nasengine.search.loop import SearchEvent, run_search
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import load_space

BLOCK = 1000
LAG = 16


class Null:
    """Answers at once, with a number that depends on the architecture alone."""

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            yield Result(job.trial, "completed", {"accuracy": zlib.crc32(job.architecture.key.encode()) / 2**32})


def measure(
    space: SearchSpace, algorithm: str, trials: int, pricer: Pricer | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """One search; processor and wall milliseconds per trial in each block of 1,000, and what resuming it costs."""
    directions = {"accuracy": "maximize", "macs": "minimize"} if pricer else {"accuracy": "maximize"}
    objectives = parse_objectives(directions)
    marks: list[tuple[float, float]] = []

    def on_event(event: SearchEvent) -> None:
        if event.kind == "asked" and (event.asked - 1) % BLOCK == 0:
            marks.append((time.process_time(), time.perf_counter()))

    def price(architecture: Architecture) -> dict[str, float]:
        assert pricer is not None
        costs = pricer.price(architecture).as_dict()
        return {"macs": costs["macs"], "params": costs["params"]}

    def search(folder: str) -> None:
        made = ALGORITHMS[algorithm](Domain(space), objectives, seed=0, **settings)
        with Journal(folder, Header.of(space, objectives, seed=0, lag=LAG)) as journal, InProcess(Null) as executor:
            run_search(
                made, executor, journal, trials=trials, lag=LAG, seed=0, budget={"epochs": 1}, objectives=objectives,
                price=price if pricer else None, on_event=on_event,
            )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        search(folder)
        marks.append((time.process_time(), time.perf_counter()))
        size = (Path(folder) / JOURNAL_NAME).stat().st_size
        began = time.process_time()
        search(folder)
        resumed = time.process_time() - began
    blocks = [
        {"cpu_ms": (after[0] - before[0]) / BLOCK * 1e3, "wall_ms": (after[1] - before[1]) / BLOCK * 1e3}
        for before, after in itertools.pairwise(marks)
    ]
    cpu = [block["cpu_ms"] for block in blocks]
    early, late = min(cpu[1:11]), min(cpu[-10:])
    return {
        "algorithm": algorithm,
        "priced": pricer is not None,
        "trials": trials,
        "cpu_ms_per_trial": round(statistics.mean(cpu), 4),
        "wall_ms_per_trial": round(statistics.mean(block["wall_ms"] for block in blocks), 4),
        "early_cpu_ms": round(early, 4),
        "late_cpu_ms": round(late, 4),
        "growth": round(late / early - 1, 4),
        "cpu_ms_per_block": [round(value, 4) for value in cpu],
        "resume_cpu_ms_per_trial": round(resumed / trials * 1e3, 4),
        "journal_bytes_per_trial": round(size / trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobile_cnn")
    parser.add_argument("--trials", type=int, default=30_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    space = load_space(arguments.space)
    pricer = Pricer(space)
    pricer.price(space.sample(np.random.default_rng(0)))  # its tables are made once per space
    rows = []
    print(f"{'algorithm':<24}{'priced':>7}{'cpu ms':>9}{'wall ms':>9}{'early':>9}{'late':>9}{'growth':>9}{'resume':>9}")
    for algorithm, used, settings in [
        ("random_search", None, {}),
        ("regularized_evolution", None, {"population": 100, "tournament": 25}),
        ("regularized_evolution", pricer, {"population": 100, "tournament": 25}),
    ]:
        row = measure(space, algorithm, arguments.trials, used, settings)
        rows.append(row)
        print(
            f"{algorithm:<24}{row['priced']!s:>7}{row['cpu_ms_per_trial']:>9.3f}{row['wall_ms_per_trial']:>9.3f}"
            f"{row['early_cpu_ms']:>9.3f}{row['late_cpu_ms']:>9.3f}{row['growth']:>9.1%}"
            f"{row['resume_cpu_ms_per_trial']:>9.3f}",
            flush=True,
        )
    if arguments.out:
        report = {"space": space.name, "lag": LAG, "seed": 0, "machine": describe_machine(), "rows": rows}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
