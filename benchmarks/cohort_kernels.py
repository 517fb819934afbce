"""In which kernels the steps of a cohort spend their time: ResNet-20 on one stream of one GPU, by torch's profiler.

    python benchmarks/cohort_kernels.py --batch 256 1024 --compiled no yes --out DIR

On one stream no two kernels run at a time, so that their times add up; on the six streams of a cohort they overlap.
"""

from __future__ import annotations

import argparse
import collections
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from cohort import RECIPE, SPACE, made_up_part
from machine import describe_machine
from torch.profiler import ProfilerActivity, profile

import nasengine as nas
from nasengine.runs.files import write_atomically
from nasengine.tasks import TASKS
from nasengine.training import EpochRecord, Member, train_cohort, training_settings

MEMBERS, STEPS = 6, 20
WATCHED = 2  # epochs after the first, which tries kernels, compiles and captures
KEPT = 60  # kernels of a row


def kernels(batch: int, compiled: str) -> dict[str, Any]:
    """A row: microseconds and kernels of a step of one network, by the names of the kernels."""
    space = nas.load_space(SPACE)
    watching = profile(activities=[ProfilerActivity.CUDA])

    def begin_or_end(record: EpochRecord) -> None:
        torch.cuda.synchronize()
        if record.epoch == 1:
            watching.start()
        elif record.epoch == 1 + WATCHED:
            watching.stop()

    architecture = space.known["default"].architecture
    cohort = [Member(nas.build(space, architecture, seed=seed), seed, 0) for seed in range(MEMBERS)]
    cohort[-1] = replace(cohort[-1], on_epoch=begin_or_end)
    train_cohort(
        cohort, made_up_part(torch.device("cuda")), TASKS["image_classification"](),
        settings=training_settings({**RECIPE, "batch": batch, "compiled": compiled}),
        budget={"epochs": 2 + WATCHED, "steps_per_epoch": STEPS}, streams=1,
    )  # fmt: skip
    spent: collections.Counter[str] = collections.Counter()
    runs: collections.Counter[str] = collections.Counter()
    for event in watching.events() or ():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            spent[event.name] += event.time_range.elapsed_us()
            runs[event.name] += 1
    steps = WATCHED * STEPS * MEMBERS
    return {
        "batch": batch,
        "compiled": compiled,
        "us": round(sum(spent.values()) / steps, 1),
        "runs": round(sum(runs.values()) / steps, 1),
        "kernels": [
            [name[:300], round(us / steps, 2), round(runs[name] / steps, 2)] for name, us in spent.most_common(KEPT)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--compiled", nargs="+", default=["no", "yes"], choices=["no", "yes"])
    parser.add_argument("--shown", type=int, default=25, help="kernels that are printed of each row")
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON file")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for compiled in arguments.compiled:
        for batch in arguments.batch:
            row = kernels(batch, compiled)
            rows.append(row)
            report = {"machine": describe_machine(), "rows": rows}
            write_atomically(arguments.out / "cohort_kernels.json", json.dumps(report, indent=1) + "\n")
            print(f"batch {batch}, compiled {compiled}: {row['us']} us a step, {row['runs']} kernels", flush=True)
            for name, us, runs in row["kernels"][: arguments.shown]:
                print(f"{us:9.2f} us {runs:6.2f}x {us / runs:8.2f} us  {name[:120]}", flush=True)


if __name__ == "__main__":
    main()
