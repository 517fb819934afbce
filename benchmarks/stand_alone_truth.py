"""What architectures of a small space are worth trained alone on CIFAR-10: the truth that rankings are held to.

Every architecture (or some, spread evenly over the space) is trained from fresh weights on all 50,000 training images,
some side by side on each GPU, and tested once. The file that comes of it is what `benchmarks/mixture.py --truth` reads.

    python benchmarks/stand_alone_truth.py --space pooling_resnet18 --only 24 --epochs 30 --gpus 4 --out DIR
    python benchmarks/mixture.py --space pooling_resnet18 --models 4 --truth DIR/truth.json --out DIR2

Results are written as they come; --resume DIR goes on with what an earlier call did not reach.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine

from nasengine.build import build
from nasengine.costs import Pricer
from nasengine.data import load_data
from nasengine.errors import TrialError
from nasengine.evaluators import make_task
from nasengine.runs.files import write_atomically
from nasengine.space import load_space
from nasengine.training import choose_device, evaluate, training_settings
from nasengine.training.cohort import train_cohort
from nasengine.training.course import Member

RECIPE: dict[str, Any] = {
    "optimizer": {"type": "sgd", "rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True},
    "schedule": {"type": "cosine", "warm_up": 2},
    "augmentation": "crop_flip",
}


def main() -> int:
    arguments = read_arguments()
    space = load_space(arguments.space)
    everything = list(space.enumerate())
    count = min(arguments.only or len(everything), len(everything))
    chosen = [everything[place] for place in np.linspace(0, len(everything) - 1, count).round().astype(int)]
    wanted = [(one, seed) for seed in arguments.seeds for one in chosen]
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.worker is not None:
        work_on(space, wanted[arguments.worker :: arguments.gpus], arguments)
        return 0
    known = read(arguments.resume) if arguments.resume else []
    write_atomically(arguments.out / "known.json", json.dumps(known) + "\n")
    began = time.perf_counter()
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--worker", str(index)],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": str(index), "OMP_NUM_THREADS": "2"},
        )
        for index in range(arguments.gpus)
    ]
    for worker in workers:
        worker.wait()
    rows = known + [row for path in sorted(arguments.out.glob("part-*.json")) for row in json.loads(path.read_text())]
    pricer = Pricer(space)
    by_key: dict[str, list[float]] = {}
    for row in rows:
        by_key.setdefault(row["architecture"], []).append(row["test_accuracy"])
    truth = {key: 100 * statistics.fmean(values) for key, values in by_key.items()}
    report = {
        "space": space.name,
        "epochs": arguments.epochs,
        "batch": arguments.batch,
        "recipe": RECIPE,
        "seeds": arguments.seeds,
        "seconds": round(time.perf_counter() - began, 1),
        "machine": describe_machine(),
        "truth": truth,
        "macs": {one.key: pricer.price(one).macs for one in chosen},
        "rows": rows,
    }
    write_atomically(arguments.out / "truth.json", json.dumps(report, indent=1) + "\n")
    for path in (arguments.out / "known.json", *arguments.out.glob("part-*.json")):
        path.unlink()
    for key, value in sorted(truth.items(), key=lambda item: -item[1]):
        print(f"{value:6.2f}  n {len(by_key[key])}  {key}", flush=True)
    print(f"{len(rows)} of {len(wanted)} trainings in {report['seconds']} s", flush=True)
    return 0 if len(rows) >= len(wanted) else 3


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="pooling_resnet18")
    parser.add_argument("--only", type=int, help="so many architectures, spread evenly; default: all")
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path, help="default: $NASENGINE_DATA/cifar10")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--wave", type=int, default=4, help="networks side by side on a GPU")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds; no wave is begun that would end later")
    parser.add_argument("--images", type=int, help="train on the first so many images (to try things out)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def read(folder: Path) -> list[dict[str, Any]]:
    path = folder / "truth.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.is_file() else []
    return rows


def work_on(space: Any, wanted: list[tuple[Any, int]], arguments: argparse.Namespace) -> None:
    """Train a share of the networks, a wave at a time, as long as there is time for another."""
    began = time.perf_counter()
    known = {(row["architecture"], row["seed"]) for row in json.loads((arguments.out / "known.json").read_text())}
    left = [(one, seed) for one, seed in wanted if (one.key, seed) not in known]
    device, task = choose_device(arguments.device), make_task(space)
    folder = arguments.data_dir
    if folder is None and arguments.data == "cifar10" and "NASENGINE_DATA" in os.environ:
        folder = Path(os.environ["NASENGINE_DATA"]) / "cifar10"
    data = load_data(arguments.data, None if folder is None else str(folder), shape=(3, 32, 32), classes=10)
    training = data.train if arguments.images is None else data.train.select(np.arange(arguments.images))
    training, test = training.to(device), data.test.to(device)
    settings = training_settings({**RECIPE, "batch": arguments.batch})
    rows: list[dict[str, Any]] = []
    longest = 0.0
    while left and time.perf_counter() - began + longest < arguments.limit:
        wave, left = left[: arguments.wave], left[arguments.wave :]
        started = time.perf_counter()
        members = [Member(build(space, one, seed=seed), seed=seed, order=seed) for one, seed in wave]
        outcomes = train_cohort(members, training, task, settings=settings, budget={"epochs": arguments.epochs})
        for (one, seed), member, outcome in zip(wave, members, outcomes, strict=True):
            if isinstance(outcome, TrialError):
                print(f"{one.key} seed {seed} failed: {outcome}", flush=True)
                continue
            accuracy = evaluate(member.network, test, task, batch=1000)["accuracy"]
            rows.append({"architecture": one.key, "seed": seed, "test_accuracy": accuracy})
        spent = time.perf_counter() - started
        longest = max(longest, spent)
        write_atomically(arguments.out / f"part-{arguments.worker}.json", json.dumps(rows) + "\n")
        images = len(wave) * arguments.epochs * len(training)
        found = ", ".join(f"{100 * row['test_accuracy']:.2f}" for row in rows[-len(wave) :])
        print(f"GPU {arguments.worker}: {found} in {spent:.0f} s, {images / spent:,.0f} images/s", flush=True)
        del members, outcomes
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
