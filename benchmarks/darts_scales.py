"""DARTS over scales on CIFAR-10: which resolution a relaxed search gives each block of a ResNet-20, and its worth.

The published relaxed searches of this space find networks of 89.23 % to 90.03 %, below the default's 90.52 %
(arXiv 2306.11982, table 1). Each seed is a run of the strategy `darts`; with --retrain what it found and the default
are then trained alike, three seeds each, and tested.

    python benchmarks/darts_scales.py --data-dir DIR --gpus 2 --limit 540 --out DIR      # 100 epochs, seeds 0, 1, 2
    python benchmarks/darts_scales.py --epochs 800 --seeds 0 --limit 540 --out DIR       # as long as published
    python benchmarks/darts_scales.py --epochs 800 --seeds 0 --limit 540 --resume DIR --out DIR2   # goes on with it

--out holds darts_scales.json, written anew while epochs end, and darts_scales.tar with the runs, for the next call.
A relaxed step costs about three ResNet-20 at full resolution, twice; 100 epochs should take 60 to 150 s on an H200.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine
from workers import on_every_gpu

import nasengine as nas
from nasengine.algorithms.probabilities import Probabilities
from nasengine.runs.files import write_atomically
from nasengine.search.events import Event, PhaseEnded, PreparationProgress, TrainingEnded
from nasengine.search.language.strategy import load_strategy, strategy_from_mapping

SPACE, STRATEGY = "pooling_resnet20_scales", "darts"
STATE = "darts_scales.tar"
PUBLISHED = {"default": 0.9052, "darts_shared": 0.8923, "darts_separate_same_start": 0.8985, "darts_separate": 0.9003}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=float, default=100, help="of the relaxed search; published: 800")
    parser.add_argument("--retrain", type=float, default=0, help="epochs of the networks found and of the default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds, after which everything ends")
    parser.add_argument("--gpus", type=int, default=1, help="processes, one for each GPU; seeds are divided")
    parser.add_argument("--work", type=Path, help="folder of the runs; default: a temporary one")
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help="a setting of the strategy")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work_on(arguments.seeds[arguments.worker :: arguments.gpus], arguments)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if arguments.resume:
            with tarfile.open(arguments.resume / STATE) as archive:
                archive.extractall(work, filter="data")
        own = ["--work", str(work), "--began", str(time.time())]
        each = [[*own, "--worker", str(index)] for index in range(arguments.gpus)]
        on_every_gpu(each, work, "seed-*/prepare/history.jsonl", lambda: write(arguments, work))
        with tarfile.open(arguments.out / STATE, "w:gz") as archive:
            for folder in sorted(work.glob("seed-*")):
                archive.add(folder, arcname=folder.name)
        for each_seed in write(arguments, work):
            print(
                f"seed {each_seed['seed']}: {each_seed['epochs']} epochs, {each_seed['seconds_an_epoch']:.2f} s each, "
                f"{each_seed['steps_a_second']:.0f} steps/s, scales {each_seed['scales']}, "
                f"{each_seed['macs'] / 1e6:.1f} M MACs, certainty {each_seed['certainty']:.2f}, "
                f"test {each_seed['test_accuracy']}",
                flush=True,
            )


def work_on(seeds: list[int], arguments: argparse.Namespace) -> None:
    """The runs of one process."""
    try:
        for seed in seeds:
            search(arguments.work / f"seed-{seed}", seed, arguments, arguments.began + arguments.limit)
    except KeyboardInterrupt:
        print("the time is up", flush=True)


def search(folder: Path, seed: int, arguments: argparse.Namespace, deadline: float) -> None:
    """One run, or what is left of it."""

    def follow(event: Event) -> None:
        if isinstance(event, PreparationProgress) and event.epoch % max(1, event.epochs // 20) == 0:
            measured = ", ".join(f"{name} {value:.4g}" for name, value in event.measurements.items())
            left = event.seconds * (event.epochs - event.epoch)
            print(f"seed {seed}, epoch {event.epoch}/{event.epochs}: {measured}, {left:.0f} s are left", flush=True)
        if isinstance(event, (PhaseEnded, TrainingEnded)):
            print(f"seed {seed}: {json.dumps(event.to_json())[:200]}", flush=True)
        if time.time() > deadline:
            raise KeyboardInterrupt

    if (folder / "run.yaml").is_file():
        nas.resume(folder, data_dir=arguments.data_dir, on_event=follow)
        return
    nas.search(
        SPACE,
        strategy(arguments),
        data=arguments.data,
        data_dir=arguments.data_dir,
        run=folder,
        seed=seed,
        device=arguments.device,
        set=[f"prepare.budget.epochs={arguments.epochs:g}", *arguments.set],
        on_event=follow,
    )


def strategy(arguments: argparse.Namespace) -> Any:
    """The shipped strategy: without retraining, or with one more of the default."""
    content = load_strategy(STRATEGY).plain()
    *others, last = content["phases"]
    retrain = {**last["retrain"], "budget": {"epochs": arguments.retrain}}
    default = {key: value for key, value in retrain.items() if key != "best"}
    more = [{"retrain": retrain}, {"retrain": {**default, "name": "default", "architecture": "known.default"}}]
    return strategy_from_mapping({**content, "phases": [*others, *(more if arguments.retrain else [])]}, STRATEGY)


def write(arguments: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Everything that is known so far; returns the records of the seeds."""
    records = [found for seed in arguments.seeds if (found := record(work / f"seed-{seed}", seed)) is not None]
    result = {
        "space": SPACE,
        "strategy": load_strategy(STRATEGY).plain(),
        "epochs": arguments.epochs,
        "set": arguments.set,
        "data": arguments.data,
        "published": PUBLISHED,
        "runs": records,
        "machine": describe_machine(),
    }
    write_atomically(arguments.out / "darts_scales.json", json.dumps(result, indent=1) + "\n")
    return records


def record(folder: Path, seed: int) -> dict[str, Any] | None:
    """What a run came to; None before its first epoch has ended."""
    history = folder / "prepare" / "history.jsonl"
    if not history.is_file():
        return None
    ended, _, _ = history.read_text().rpartition("\n")  # what stands behind it is being written
    lines = [json.loads(line) for line in ended.splitlines()]
    if not lines:
        return None
    space = nas.load_space(SPACE)
    architecture = Probabilities(space, lines[-1]["probabilities"]).architecture()
    seconds = statistics.median(line["seconds"] for line in lines)  # the first ones record graphs
    run = nas.open_run(folder)
    tested: dict[str, list[float]] = {}
    for training in run.retrained:
        if training.completed:
            tested.setdefault(training.phase, []).append(training.measurements["test_accuracy"])
    return {
        "seed": seed,
        "epochs": len(lines),
        "seconds_an_epoch": seconds,
        "steps_a_second": lines[-1]["images"] / run.strategy.data.batch / seconds,
        "scales": list(architecture.values()),
        "macs": nas.costs(space, architecture).macs,
        "certainty": lines[-1]["certainty"],
        "inherited_accuracy": [trial.measurements.get("accuracy") for trial in run.trials],
        "test_accuracy": tested,
        "history": [{key: value for key, value in line.items() if key != "probabilities"} for line in lines],
        "probabilities": lines[-1]["probabilities"],
    }


if __name__ == "__main__":
    main()
