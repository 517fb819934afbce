"""What architectures of a small space are worth trained alone on CIFAR-10: the truth that rankings are held to.

Every architecture (or some, spread evenly over the space) is trained from fresh weights on all 50,000 training images,
some side by side on each GPU, and tested once. The file that comes of it is what `benchmarks/mixture.py --truth` reads.

    python benchmarks/stand_alone_truth.py --space pooling_resnet18 --only 24 --epochs 15 --gpus 2 --limit 540 --out DIR
    python benchmarks/mixture.py --space pooling_resnet18 --models 4 --truth DIR/truth.json --out DIR2

Or only those that a space knows by name, and those that relaxed searches have found (`darts_scales.py`):

    python benchmarks/stand_alone_truth.py --space pooling_resnet20_scales --known default best_of_36
        --darts DIR/darts_scales.json --epochs 30 --seeds 0 1 2 --out DIR3

truth.json is written anew after every wave of a GPU. With --limit a wave that would end too late is not begun (one
that turns out to is given up after its second epoch); --resume DIR goes on with what an earlier call did not reach.
Time is foretold by multiply-accumulates: networks of about the same cost train side by side, the dearest first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from workers import on_every_gpu

from nasengine.build import build
from nasengine.costs import Pricer
from nasengine.data import Part, load_data
from nasengine.errors import TrialError
from nasengine.evaluators import make_task
from nasengine.records import Architecture
from nasengine.runs.files import write_atomically
from nasengine.space import SearchSpace, load_space
from nasengine.training import choose_device, evaluate, training_settings
from nasengine.training.cohort import train_cohort
from nasengine.training.course import EpochRecord, Member

RECIPE: dict[str, Any] = {
    "optimizer": {"type": "sgd", "rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True},
    "schedule": {"type": "cosine", "warm_up": 2},
    "augmentation": "crop_flip",
    "compiled": "no",  # compiling takes a time that is not known before
}
GUESS = 1.2e13  # multiply-accumulates of forward passes that a GPU trains in a second, until they are measured
MARGIN = 1.15  # by which a wave may take longer than the last one says


@dataclass(frozen=True)
class Wanted:
    """One training."""

    architecture: Architecture
    seed: int
    macs: int


class TooLate(Exception):  # noqa: N818  no error: the time is up
    """A wave would end after the limit."""


def main() -> int:
    arguments = read_arguments()
    space = load_space(arguments.space)
    wanted = everything_wanted(space, arguments)
    if arguments.worker is not None:
        work_on(space, wanted, arguments)
        return 0
    began = time.perf_counter()
    arguments.out.mkdir(parents=True, exist_ok=True)
    known = read(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "known.json").write_text(json.dumps(known))
        own = ["--work", str(work), "--began", str(time.time())]
        found: dict[str, Any] = {}

        def collect() -> None:
            parts = sorted(work.glob("part-*.json"))
            found["rows"] = known + [row for path in parts for row in json.loads(path.read_text())]
            found["truth"] = write(space, wanted, found["rows"], arguments, time.perf_counter() - began)

        each = [[*own, "--worker", str(index)] for index in range(arguments.gpus)]
        on_every_gpu(each, work, "part-*.json", collect)
    rows, truth = found["rows"], found["truth"]
    for key, value in sorted(truth.items(), key=lambda item: -item[1]):
        print(f"{value:6.2f}  {key}", flush=True)
    print(f"{len(rows)} of {len(wanted)} trainings, {time.perf_counter() - began:.0f} s in this call", flush=True)
    return 0 if len(rows) >= len(wanted) else 3


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="pooling_resnet18")
    parser.add_argument("--only", type=int, help="so many architectures, spread evenly; default: all")
    parser.add_argument("--known", nargs="+", default=[], help="only these of the space's known architectures")
    parser.add_argument("--darts", type=Path, help="only what the whole runs in this file have found, and --known")
    parser.add_argument("--epochs", type=float, default=15)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path, help="default: $NASENGINE_DATA/cifar10")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--wave", type=int, default=4, help="networks side by side on a GPU")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds; no wave is begun that would end later")
    parser.add_argument("--images", type=int, help="train and test on the first so many images (to try things out)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def everything_wanted(space: SearchSpace, arguments: argparse.Namespace) -> list[Wanted]:
    """Some architectures, spread evenly over the space or named, with every seed."""
    pricer = Pricer(space)
    if arguments.known or arguments.darts:
        named = [space.known[name].architecture for name in arguments.known]
        chosen = list(dict.fromkeys([*named, *(found_by_darts(space, arguments.darts) if arguments.darts else [])]))
    else:
        everything = list(space.enumerate())
        count = min(arguments.only or len(everything), len(everything))
        chosen = [everything[place] for place in np.linspace(0, len(everything) - 1, count).round().astype(int)]
    return [Wanted(one, seed, pricer.price(one).macs) for seed in arguments.seeds for one in chosen]


def found_by_darts(space: SearchSpace, file: Path) -> list[Architecture]:
    """The most probable architecture of every run in a file of darts_scales.py that was not cut short."""
    content = json.loads(file.read_text())
    names = list(space.known["default"].architecture)
    whole = [run for run in content["runs"] if run["epochs"] >= content["epochs"]]
    return [space.architecture(dict(zip(names, run["scales"], strict=True))) for run in whole]


def divide(wanted: Iterable[Wanted], parts: int) -> list[list[Wanted]]:
    """Shares of about the same cost; the dearest first."""
    shares: list[list[Wanted]] = [[] for _ in range(max(1, parts))]
    for each in sorted(wanted, key=lambda each: -each.macs):
        min(shares, key=lambda share: sum(other.macs for other in share)).append(each)
    return shares


def read(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of an earlier call.

    Raises:
        SystemExit: it trained otherwise.
    """
    path = arguments.resume / "truth.json" if arguments.resume else None
    if path is None or not path.is_file():
        return []
    earlier = json.loads(path.read_text())
    for key in ("space", "epochs", "batch", "data", "images"):
        if key in earlier and earlier[key] != getattr(arguments, key):
            raise SystemExit(f"{path} has {key} {earlier[key]}, not {getattr(arguments, key)}")
    rows: list[dict[str, Any]] = earlier["rows"]
    return rows


def write(
    space: SearchSpace,
    wanted: Sequence[Wanted],
    rows: Sequence[Mapping[str, Any]],
    arguments: argparse.Namespace,
    seconds: float,
) -> dict[str, float]:
    """All that is known so far, in a file; returns the mean accuracies in percent."""
    by_key: dict[str, list[float]] = {}
    for row in rows:
        by_key.setdefault(row["architecture"], []).append(row["test_accuracy"])
    truth = {key: 100 * statistics.fmean(values) for key, values in by_key.items()}
    report = {
        "space": space.name,
        "epochs": arguments.epochs,
        "batch": arguments.batch,
        "data": arguments.data,
        "images": arguments.images,
        "recipe": RECIPE,
        "seeds": arguments.seeds,
        "seconds": round(seconds, 1),
        "machine": describe_machine(),
        "truth": truth,
        "macs": {each.architecture.key: each.macs for each in wanted},
        "rows": rows,
    }
    write_atomically(arguments.out / "truth.json", json.dumps(report, indent=1) + "\n")
    return truth


def load_parts(arguments: argparse.Namespace, device: torch.device) -> tuple[Part, Part]:
    """Images to train on and to test with, on the device."""
    folder = arguments.data_dir
    if folder is None and arguments.data == "cifar10" and "NASENGINE_DATA" in os.environ:
        folder = Path(os.environ["NASENGINE_DATA"]) / "cifar10"
    data = load_data(arguments.data, None if folder is None else str(folder), shape=(3, 32, 32), classes=10)
    parts = data.train, data.test
    if arguments.images is not None:
        parts = tuple(part.select(np.arange(min(len(part), arguments.images))) for part in parts)
    training, test = parts
    return training.to(device), test.to(device)


def next_wave(left: Sequence[Wanted], most: int, seconds: float, macs_a_second: float) -> list[Wanted]:
    """The first that can be trained side by side in so much time; dearer ones are passed over."""
    wave: list[Wanted] = []
    for each in left:
        if len(wave) < most and sum(other.macs for other in (*wave, each)) <= seconds * macs_a_second:
            wave.append(each)
    return wave


def work_on(space: SearchSpace, wanted: Sequence[Wanted], arguments: argparse.Namespace) -> None:
    """Train a share of the networks, a wave at a time, as long as there is time for another."""
    known = {(row["architecture"], row["seed"]) for row in json.loads((arguments.work / "known.json").read_text())}
    missing = [each for each in wanted if (each.architecture.key, each.seed) not in known]
    left = divide(missing, arguments.gpus)[arguments.worker]
    device, task = choose_device(arguments.device), make_task(space)
    training, test = load_parts(arguments, device)
    settings = training_settings({**RECIPE, "batch": arguments.batch})
    rows: list[dict[str, Any]] = []
    images = arguments.epochs * len(training)
    speed, until = GUESS, arguments.began + arguments.limit
    while left:
        said = f"GPU {arguments.worker}:"
        foretold = sum(each.macs for each in left) * images / speed
        print(f"{said} {len(left)} networks are left, about {foretold:.0f} s", flush=True)
        wave = next_wave(left, arguments.wave, until - time.time(), speed / images / MARGIN)
        if not wave:
            print(f"{said} no time is left for them", flush=True)
            break
        left = [each for each in left if each not in wave]
        started = time.perf_counter()

        def watch(epoch: EpochRecord) -> None:
            if epoch.epoch > 1 and epoch.seconds * (epoch.epochs - epoch.epoch) > until - time.time():
                raise TooLate

        members = [Member(build(space, each.architecture, seed=each.seed), each.seed, each.seed) for each in wave]
        members[0] = Member(members[0].network, members[0].seed, members[0].order, on_epoch=watch)
        try:
            outcomes = train_cohort(members, training, task, settings=settings, budget={"epochs": arguments.epochs})
        except TooLate:
            print(f"{said} {len(wave)} networks would end too late and were given up", flush=True)
            break
        for each, member, outcome in zip(wave, members, outcomes, strict=True):
            if isinstance(outcome, TrialError):
                print(f"{each.architecture.key} seed {each.seed} failed: {outcome}", flush=True)
                continue
            accuracy = evaluate(member.network, test, task, batch=1000)["accuracy"]
            row = {"architecture": each.architecture.key, "seed": each.seed, "test_accuracy": accuracy}
            rows.append({**row, "seconds": round(outcome.seconds, 2)})
        spent = time.perf_counter() - started
        speed = sum(each.macs for each in wave) * images / spent
        write_atomically(arguments.work / f"part-{arguments.worker}.json", json.dumps(rows) + "\n")
        found = ", ".join(f"{100 * row['test_accuracy']:.2f}" for row in rows[-len(wave) :])
        memory = f", {torch.cuda.max_memory_reserved() / 2**30:.0f} GiB" if device.type == "cuda" else ""
        rate = f"{len(wave) * images / spent:,.0f} images/s, {speed:.3g} MACs/s{memory}"
        print(f"{said} {found} in {spent:.0f} s, {rate}", flush=True)
        del members, outcomes
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    sys.exit(main())
