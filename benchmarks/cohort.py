"""Cohorts: how fast many ResNet-20 train side by side on one GPU, and what training all 36 of a space then costs.

The members are networks of `pooling_resnet20`, over again where more are wanted than there are. For speed the images
are random 32x32x3 bytes; a row is the median of the epochs after the first, which warms up, compiles and captures.

    python benchmarks/cohort.py --batch 256 1024 --members 36 --streams 1 6 12 --compiled no yes --seconds 6
    python benchmarks/cohort.py --batch 256 1024 --compiled no --cudnn-guesses

    python benchmarks/cohort.py --brute-force --data-dir DIR --epochs 40 --seeds 0

The second is `nasengine search pooling_resnet20 brute_force`, its search phase, and holds what it found against the
published accuracies. Only validation accuracies are read. Results are written as they come; those of other settings
that a file of --brute-force has already are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from machine import describe_machine
from mixture_truth import read_truth
from pooling_spaces import load_pooling_space

import nasengine as nas
from nasengine.agreement import agreement
from nasengine.data import Part
from nasengine.search.events import Event, SearchProgress
from nasengine.tasks import TASKS
from nasengine.training import Member, TrainingReport, choose_device, train, train_cohort, training_settings
from nasengine.training import cohort as cohort_trainer
from nasengine.training import loop as alone_trainer
from nasengine.training.cohort_lanes import Lane

SPACE = "pooling_resnet20"
IMAGES = 20_480
ENUMERATED = 1000  # of a larger space members are drawn
GUESS = 200_000  # images/s in all, from which the number of steps is taken
RECIPE: dict[str, Any] = {
    "optimizer": {"type": "sgd", "rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True},
    "augmentation": "crop_flip",
}


def made_up_part(device: torch.device) -> Part:
    """IMAGES random images on the device."""
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, device=device, generator=generator)
    labels = torch.randint(0, 10, (IMAGES,), device=device, generator=generator)
    return Part(images, labels, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def rate_of(seconds: list[float], images: int) -> float:
    """Images a second in an epoch after the first, in the middle of them."""
    return images / statistics.median(seconds[1:])


def alone(space: nas.SearchSpace, part: Part, batch: int, *, graph: bool, seconds: float) -> dict[str, Any]:
    """One network by itself."""
    steps = max(10, 100 * 256 // batch)
    epochs = 1 + max(2, round(seconds * 40_000 / (steps * batch)))
    took: list[float] = []
    train(
        nas.build(space, space.known["default"].architecture, seed=0), part, TASKS["image_classification"](),
        settings=training_settings({**RECIPE, "batch": batch, "cuda_graph": graph}),
        budget={"epochs": epochs, "steps_per_epoch": steps}, seed=0,
        on_epoch=lambda record: took.append(record.seconds),
    )  # fmt: skip
    row: dict[str, Any] = {"what": "one alone, " + ("graphed" if graph else "eager"), "batch": batch, "members": 1}
    return {**row, "images_per_second": round(rate_of(took, steps * batch)), "epochs": epochs}


@contextlib.contextmanager
def lanes_timed() -> Iterator[dict[int, list[float]]]:
    """Milliseconds that each lane took for its steps of an epoch on the device, all epochs; at the end of the context.

    An epoch takes as long as its slowest lane, and lanes that are done leave a part of the device unused.
    """
    took: dict[int, list[float]] = {}
    begun: dict[int, torch.cuda.Event] = {}
    ended: list[tuple[int, torch.cuda.Event, torch.cuda.Event]] = []
    begin, end = Lane.begin, Lane.end

    def event_on(lane: Lane) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(lane.stream)
        return event

    def timed_begin(lane: Lane, epoch: int, first: int) -> None:
        begin(lane, epoch, first)
        begun[lane.number] = event_on(lane)

    def timed_end(lane: Lane) -> None:
        ended.append((lane.number, begun.pop(lane.number), event_on(lane)))
        end(lane)

    with mock.patch.object(Lane, "begin", timed_begin), mock.patch.object(Lane, "end", timed_end):
        yield took
    for number, first, last in ended:
        took.setdefault(number, []).append(first.elapsed_time(last))


@contextlib.contextmanager
def launches_timed() -> Iterator[list[float]]:
    """Seconds in which the processor launches the second step of all members in an epoch, when no queue is full yet."""
    took: list[float] = []
    honest = Lane.step

    def step(lane: Lane, index: int) -> None:
        began = time.perf_counter()
        honest(lane, index)
        if index == 1 and lane.number == 1:
            took.append(0.0)
        if index == 1 and took:
            took[-1] += time.perf_counter() - began

    with mock.patch.object(Lane, "step", step):
        yield took


def candidates(space: nas.SearchSpace, count: int) -> list[nas.Architecture]:
    """All of a small space, over again where more are wanted; of a large one some at random."""
    if space.size() > ENUMERATED:
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(count)]
    return list(itertools.islice(itertools.cycle(space.enumerate()), count))


def together(
    space: nas.SearchSpace,
    part: Part,
    *,
    batch: int,
    members: int,
    streams: int,
    compiled: str,
    shared: bool,
    s: float,
    steps: int | None,
) -> dict[str, Any]:
    """A cohort."""
    architectures = candidates(space, members)
    steps = steps or max(20, round(GUESS / (members * batch)))
    epochs = 1 + max(3, round(s * GUESS / (members * batch * steps)))
    took: list[float] = []
    cohort = [
        Member(nas.build(space, architecture, seed=seed), seed, 0 if shared else seed)
        for seed, architecture in enumerate(architectures)
    ]
    cohort[-1] = replace(cohort[-1], on_epoch=lambda record: took.append(record.seconds))
    on_gpu = part.images.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    with lanes_timed() as lanes, launches_timed() as launches:
        reports = train_cohort(
            cohort, part, TASKS["image_classification"](),
            settings=training_settings({**RECIPE, "batch": batch, "compiled": compiled}),
            budget={"epochs": epochs, "steps_per_epoch": steps}, streams=streams,
        )  # fmt: skip
    whole = time.perf_counter() - began
    usual = statistics.median(took[1:])
    finished = [report for report in reports if isinstance(report, TrainingReport)]
    return {
        "what": "cohort",
        "batch": batch,
        "members": members,
        "streams": streams,
        "compiled": compiled,
        "order": "shared" if shared else "own",
        "images_per_second": round(rate_of(took, members * batch * steps)),
        "step_ms": round(usual / steps * 1e3, 2),
        "lane_ms": [
            round(statistics.median(spans[1:]) / steps, 2) for _, spans in sorted(lanes.items()) if len(spans) > 1
        ],
        "launch_ms": round(statistics.median(launches) * 1e3, 2) if launches else None,
        "setup_s": round(whole - usual * epochs, 1),
        "memory_gb": round(torch.cuda.max_memory_reserved() / 1e9, 1) if on_gpu else None,
        "epochs": epochs,
        "steps_per_epoch": steps,
        "finished": len(finished),
        "notes": sorted({note for report in finished for note in report.notes}),
    }


def speeds(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each setting, until time is up."""
    space, device = nas.load_space(arguments.space), choose_device(arguments.device)
    part, until = made_up_part(device), time.monotonic() + arguments.limit
    settings = itertools.product(arguments.compiled, arguments.batch, arguments.members, arguments.streams)
    for compiled, batch, members, streams in settings:
        for order in arguments.order:
            if time.monotonic() > until:
                print("no time is left for the rest", flush=True)
                return
            yield together(
                space, part, batch=batch, members=members, streams=streams, compiled=compiled,
                shared=order == "shared", s=arguments.seconds, steps=arguments.epoch_steps,
            )  # fmt: skip
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    # Last, as kernels that an eager training took untried would be the cohorts' too.
    for batch in arguments.batch:
        for graph in (True, False):
            yield alone(space, part, batch, graph=graph, seconds=min(3.0, arguments.seconds))


def brute_force(arguments: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    """All architectures trained by the shipped strategy's search phase, and how they rank against the published."""
    strategy = nas.load_strategy("brute_force")
    strategy = replace(strategy, phases=strategy.phases[:1])
    began = time.perf_counter()
    notes: set[str] = set()

    def on_event(event: Event) -> None:
        if isinstance(event, SearchProgress) and event.progress.kind == "ended" and event.progress.trial is not None:
            trial, details = event.progress.trial, event.progress.details
            notes.update(str(note) for note in details.get("notes", ()))
            notes.update(f"{key}: {details[key]}" for key in ("side_by_side", "not_side_by_side") if key in details)
            found = trial.measurements.get("accuracy")
            print(
                f"  {time.perf_counter() - began:7.1f} s  trial {trial.number:3d}  {found or trial.reason}", flush=True
            )

    changes = [f"search.evaluator.compiled={arguments.compiled[0]}"] if len(arguments.compiled) == 1 else []
    run = nas.search(
        load_pooling_space(arguments.space, arguments.last_width),
        strategy,
        data=arguments.data,
        data_dir=arguments.data_dir,
        run=folder / f"seed-{seed}",
        seed=seed,
        epochs=arguments.epochs,
        device=arguments.device,
        deterministic=arguments.deterministic,
        set=[*changes, *arguments.set],
        on_event=on_event,
    )
    seconds = time.perf_counter() - began
    row: dict[str, Any] = {
        "what": "brute force",
        "space": arguments.space,
        "last_width": arguments.last_width,
        "seed": seed,
        "epochs": arguments.epochs,
        "batch": strategy.phases[0].data.batch,
        "data": arguments.data,
        "changes": [*changes, *arguments.set, *(["deterministic"] if arguments.deterministic else [])],
        "wall_s": round(seconds, 1),
        "trained_together": sorted(notes),
        "validation_accuracy": {
            trial.architecture.key: trial.measurements.get("accuracy") for trial in run.trials if trial.completed
        },
        "failed": {trial.architecture.key: trial.reason for trial in run.trials if not trial.completed},
    }
    row["machine"] = describe_machine()
    published = read_truth(arguments.space)
    keys = [key for key in row["validation_accuracy"] if key in published]
    if len(keys) > 2:
        measured = [row["validation_accuracy"][key] for key in keys]
        row["agreement"] = agreement(measured, [published[key] for key in keys]).to_json()
    return row


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What was asked for: of two rows with the same the later is kept."""
    asked: tuple[str, ...] = ("what", "batch", "members", "streams", "compiled", "order", "cudnn")
    asked += ("data", "space", "last_width", "seed", "epochs", "changes") if row["what"] == "brute force" else ()
    return tuple(str(row.get(name)) for name in asked)


def shown(row: dict[str, Any]) -> str:
    """A row as a line of the table."""
    if row["what"] == "brute force":
        accuracies = [value for value in row["validation_accuracy"].values() if value is not None]
        best = f"best validation accuracy {max(accuracies):.4f}" if accuracies else "nothing completed"
        return f"brute force, seed {row['seed']}: {row['wall_s']:.0f} s, {len(accuracies)} networks, {best}"
    if row["what"] != "cohort":
        return f"{row['what']:<20}{row['batch']:>6}{'':>22}{row['images_per_second']:>12,}"
    said = f"{row['members']:>3} on {row['streams']:>2} streams"
    said += f" cudnn {row['cudnn']}"
    launching = f" (launching {row['launch_ms']:.1f})" if row["launch_ms"] is not None else ""
    launching += f" (lanes {min(row['lane_ms'])} to {max(row['lane_ms'])})" if row["lane_ms"] else ""
    memory = f"{row['memory_gb']:.1f} GB" if row["memory_gb"] is not None else "-"
    return (
        f"{'cohort, ' + row['order']:<20}{row['batch']:>6}{said:>16}{row['compiled']:>6}"
        f"{row['images_per_second']:>12,}{row['step_ms']:>9.1f} ms{launching}{row['setup_s']:>7.1f} s{memory:>10}"
        + "".join(f"  [{note}]" for note in row["notes"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--members", type=int, nargs="+", default=[36])
    parser.add_argument("--streams", type=int, nargs="+", default=[6])
    parser.add_argument("--compiled", nargs="+", choices=["no", "yes", "auto"], default=["no", "yes"])
    parser.add_argument("--order", nargs="+", choices=["shared", "own"], default=["shared"])
    parser.add_argument("--epoch-steps", type=int, help="in each epoch, whose end all lanes wait for; default: 20 on")
    # Of a whole process: the kernel that was chosen first for a convolution, by trying or not, torch goes on using.
    parser.add_argument("--cudnn-guesses", action="store_true", help="have cuDNN take what it thinks best, untried")
    parser.add_argument("--cudnn-tries", type=int, help="how many kernels it tries for each; 0: all; default: torch's")
    parser.add_argument("--seconds", type=float, default=6.0, help="of training for each row, about")
    parser.add_argument("--limit", type=float, default=480.0, help="seconds after which no further row is begun")
    parser.add_argument("--brute-force", action="store_true")
    parser.add_argument("--space", default=SPACE, help="of 32x32 images in ten classes")
    parser.add_argument("--last-width", type=int, help="of the space's networks, for --brute-force; default: 64")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="other settings of the strategy, for --brute-force")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the JSON file")
    arguments = parser.parse_args()
    if arguments.cudnn_tries is not None:
        torch.backends.cudnn.benchmark_limit = arguments.cudnn_tries
    name = "brute_force" if arguments.brute_force else "cohort"
    name += "_cudnn_guesses" if arguments.cudnn_guesses else ""
    name += "" if arguments.brute_force or arguments.space == SPACE else f"_{arguments.space}"
    rows: list[dict[str, Any]] = []
    report = {"machine": describe_machine(), "seconds": arguments.seconds, "rows": rows}
    path = arguments.out / f"{name}.json"
    if arguments.brute_force:
        del report["seconds"]
        rows += json.loads(path.read_text())["rows"] if path.is_file() else []
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for trainer in (alone_trainer, cohort_trainer) if arguments.cudnn_guesses else ():
            untried = contextlib.nullcontext()
            stack.enter_context(mock.patch.object(trainer, "fastest_convolutions", return_value=untried))
        found = (
            (brute_force(arguments, seed, Path(folder)) for seed in arguments.seeds)
            if arguments.brute_force
            else speeds(arguments)
        )
        for row in found:
            tries = "tries" if arguments.cudnn_tries is None else f"tries {arguments.cudnn_tries or 'all'}"
            row["cudnn"] = "guesses" if arguments.cudnn_guesses else tries
            rows[:] = [other for other in rows if key_of(other) != key_of(row)] + [row]
            print(shown(row), flush=True)
            if "agreement" in row:
                print(json.dumps(row["agreement"], indent=1), flush=True)
            path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
