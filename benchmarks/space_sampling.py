"""How fast architectures are drawn, encoded, changed and listed, on one core, without pricing or building them.

    python benchmarks/space_sampling.py [SPACE …]        # names or files; mobile_cnn and a few others by default

Each figure is the median of five timings of at least 0.2 s, after a warm-up (of the process's own time, so that a busy
machine does not count against it). The table goes to the terminal, the raw timings to
benchmarks/results/space_sampling.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import describe_machine

from nasengine.space import SearchSpace, load_space

DEFAULT = ["mobile_cnn", "inception_like", "pooling_resnet20"]
RESULTS = Path(__file__).parent / "results" / "space_sampling.json"
REPEATS, LEAST_SECONDS = 5, 0.2


def rates(work: Callable[[], object], items: int) -> list[float]:
    """Items a second of each timing."""
    work()
    found = []
    for _ in range(REPEATS):
        start, calls = time.process_time(), 0
        while (spent := time.process_time() - start) < LEAST_SECONDS:
            work()
            calls += 1
        found.append(items * calls / spent)
    return found


def measure(space: SearchSpace) -> dict[str, list[float]]:
    """What is measured -> architectures a second."""
    rng = np.random.default_rng(0)
    rows = space.sample_encoded(rng, 10_000)
    architectures = space.decode_many(rows)
    pairs = itertools.cycle(itertools.pairwise(architectures[:1000]))
    parents = itertools.cycle(architectures[:1000])

    def again(work: Callable[[], object]) -> Callable[[], object]:
        return lambda: [work() for _ in range(500)]

    return {
        "sample, objects": rates(again(lambda: space.sample(rng)), 500),
        "sample, arrays of 10,000": rates(lambda: space.sample_encoded(rng, 10_000), 10_000),
        "sample by choice, arrays": rates(lambda: space.sample_encoded(rng, 10_000, by="choice"), 10_000),
        "encode": rates(lambda: space.encode_many(architectures), len(architectures)),
        "decode": rates(lambda: space.decode_many(rows), len(rows)),
        "canonical rows": rates(lambda: space.canonical(rows), len(rows)),
        "mutate": rates(again(lambda: space.mutate(next(parents), rng)), 500),
        "crossover": rates(again(lambda: space.crossover(*next(pairs), rng)), 500),
        "enumerate": rates(lambda: sum(1 for _ in itertools.islice(space.enumerate(), 2000)), min(2000, space.size())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spaces", nargs="*", default=DEFAULT)
    spaces = {str(name): load_space(name) for name in parser.parse_args().spaces}
    figures = {name: measure(space) for name, space in spaces.items()}
    record = {
        "unit": "architectures a second of process time, one core, every timing",
        "seed": 0,
        "machine": describe_machine(),
        "spaces": {
            name: {
                "choices": len(space.decisions),
                "size": str(space.size(architecture_part=True)),
                "rates": figures[name],
            }
            for name, space in spaces.items()
        },
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{'architectures a second':<28}" + "".join(f"{name:>20}" for name in spaces))
    for what in next(iter(figures.values())):
        print(f"{what:<28}" + "".join(f"{statistics.median(figures[name][what]):>20,.0f}" for name in spaces))


if __name__ == "__main__":
    main()
