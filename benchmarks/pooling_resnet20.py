"""Where should a ResNet-20 pool? Regularized evolution on CIFAR-10, and the default network beside the winner.

Winner and default are trained alike on all 50,000 training images, three seeds each, and tested once at the end.

    python benchmarks/pooling_resnet20.py --data-dir DIR --out benchmarks/results/pooling_resnet20.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from machine import describe_machine

import nasengine as nas
from nasengine.search.events import Event, SearchProgress, TrainingEnded

STRATEGY = Path(__file__).parent / "strategies" / "pooling_evolution.yaml"


def units_per_resolution(pools: tuple[int, ...]) -> list[int]:
    """[b1, b2, b3] of the study (the stem counted in b1) for the blocks that pool."""
    first, second = pools
    return [first, second - first, 10 - second]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--run", type=Path, help="folder of the run, which is resumed if it is there; default: a new one in runs/"
    )
    parser.add_argument("--executor", default="in_process")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="a setting of the strategy: search.budget.trials=4")
    arguments = parser.parse_args()

    began = time.perf_counter()
    marks: dict[str, float] = {}

    def follow(event: Event) -> None:
        ended = isinstance(event, SearchProgress) and event.progress.kind == "ended"
        if ended or isinstance(event, TrainingEnded):
            marks[type(event).__name__] = time.perf_counter() - began
            print(f"{time.perf_counter() - began:7.1f} s  {json.dumps(event.to_json())}"[:300], flush=True)

    if arguments.run and (arguments.run / "run.yaml").exists():
        run = nas.resume(arguments.run, on_event=follow)
    else:
        run = nas.search(
            "pooling_resnet20", STRATEGY, data="cifar10", data_dir=arguments.data_dir, run=arguments.run,
            seed=arguments.seed, executor=arguments.executor, workers=arguments.workers, set=arguments.set,
            on_event=follow,
        )  # fmt: skip

    trials = [
        {
            "trial": trial.number,
            "blocks": units_per_resolution(trial.architecture["network.downsample_at"]),
            "status": trial.status,
            **trial.measurements,
        }
        for trial in run.trials
    ]
    groups: dict[str, dict[str, object]] = {}
    for record in run.retrained:
        group = groups.setdefault(
            record.phase,
            {
                "blocks": units_per_resolution(record.architecture["network.downsample_at"]),
                "macs": nas.costs(run.space, record.architecture).macs,
                "budget": dict(record.budget),
                "test_accuracy": [],
                "seconds": [],
            },
        )
        group["test_accuracy"].append(record.measurements["test_accuracy"])
        group["seconds"].append(record.seconds)
    for group in groups.values():
        values = torch.tensor(group["test_accuracy"], dtype=torch.float64)
        group["mean"], group["deviation"], group["n"] = values.mean().item(), values.std().item(), len(values)

    previous = json.loads(arguments.out.read_text())["processes"] if arguments.out.exists() else []
    process = {"seconds_until_search_ended": marks.get("SearchProgress"), "seconds": time.perf_counter() - began}
    result = {
        "space": "pooling_resnet20", "strategy": STRATEGY.read_text(), "seed": arguments.seed,
        "set": arguments.set, "executor": arguments.executor, "workers": arguments.workers,
        "distinct_architectures": len({trial.architecture for trial in run.trials}),
        "processes": [*previous, process],
        "retrained": groups, "trials": trials,
        "machine": describe_machine(),
        "data": "CIFAR-10 (99.83 % bit-exact copy)",
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, group in groups.items():
        print(
            f"{name:<8} {group['blocks']}  {group['macs'] / 1e6:6.2f} M MACs  "
            f"test {100 * group['mean']:.2f} ± {100 * group['deviation']:.2f} % (n={group['n']})"
        )


if __name__ == "__main__":
    main()
