"""Balanced mixture of supernets on CIFAR-10: how well M sets of shared weights rank where to pool, against the truth.

For every M and seed: shared weights are trained by the preparation of a search (trainer shared_weights, sampler
balanced_mixture), every architecture is scored by every model on the held-out half, and the ranking is compared with
the published accuracies of all 36 networks trained alone (pooling_resnet20), or with those of a file (--truth).

    python benchmarks/mixture.py --data-dir DIR --out DIR                       # M = 1, 2, 4, 8 and three seeds
    python benchmarks/mixture.py --models 4 --seeds 0 --limit 550 --out DIR     # one search, at most 550 s
    python benchmarks/mixture.py --models 4 --resume DIR --out DIR2             # goes on with what DIR has not finished
    python benchmarks/mixture.py --fine-tune 1 3 10 --out DIR                   # then each network alone, some epochs

--out holds mixture.json, a record a search, and, if time ran out, state.tar.NN with the checkpoints of the others.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine
from mixture_table import show

from nasengine.agreement import agreement
from nasengine.build import build
from nasengine.costs import Pricer
from nasengine.data import Dataset, SplitSettings, load_data, split
from nasengine.evaluators import make_task
from nasengine.preparation import PreparationEpoch, PreparationInputs, SharedWeights, SharedWeightsTraining
from nasengine.records import Architecture
from nasengine.runs.files import write_atomically
from nasengine.space import SearchSpace, load_space
from nasengine.space.domain import Domain
from nasengine.training import evaluate, training_settings
from nasengine.training.cohort import train_cohort
from nasengine.training.course import Member
from nasengine.training.device import choose_device, own_random_state

PIECE = 15 * 2**20  # bytes of state in a file
TABLE = Path(__file__).parents[1] / "search_spaces" / "tables" / "pooling36.csv"
SPACES = {  # the authors' settings: methods differ between the two networks
    "pooling_resnet20": {
        "batch": 128,
        "rate": 0.1,
        "last": 0.001,
        "decay": 0.0,
        "temperature": [1.0, 100.0],
        "momentum": 0.9,
    },
    "pooling_resnet18": {
        "batch": 256,
        "rate": 0.05,
        "last": 1e-4,
        "decay": 1e-4,
        "temperature": [1.0, 200.0],
        "momentum": 0.95,
    },
}
NO_SETTINGS = ("models", "seeds", "data_dir", "out", "resume", "work", "truth", "limit", "jobs", "steps")


@dataclass(frozen=True)
class Job:
    """One search."""

    models: int
    seed: int

    @property
    def name(self) -> str:
        return f"m{self.models}-seed{self.seed}"


@dataclass
class Running:
    """A search that is being trained."""

    job: Job
    training: SharedWeightsTraining
    began: float = field(default_factory=time.perf_counter)
    stopped: bool = False
    total: int = 0  # pieces of work drawn when last looked at, and those of them run eagerly
    eager: int = 0


def main() -> int:
    arguments = read_arguments()
    deadline = time.perf_counter() + arguments.limit
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        if arguments.resume:
            unpack(arguments.resume, work)
        jobs = [Job(models, seed) for models in sorted(arguments.models, reverse=True) for seed in arguments.seeds]
        left = [job for job in jobs if not (work / f"{job.name}.json").is_file()]
        shares = divide(left, arguments.gpus)
        if arguments.gpus <= 1:
            work_on(left, arguments, work, deadline)
        else:
            workers = [start_worker(index, share, arguments, work, deadline) for index, share in enumerate(shares)]
            failed = [worker.wait() for worker in workers]
            if any(failed):
                print(f"workers ended with {failed}", flush=True)
        records = collect(jobs, arguments, work)
    show(records)
    return 0 if len(records) == len(jobs) else 3  # 3: not all are done; go on with --resume


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="pooling_resnet20", choices=list(SPACES))
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--per-model-epochs", type=float, default=100)
    parser.add_argument("--total-epochs", type=float, help="the same budget for every M, instead of so much a model")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path, help="default: $NASENGINE_DATA/cifar10")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=int, default=1, help="processes, one for each GPU; searches are divided")
    parser.add_argument("--side-by-side", type=int, default=2, help="searches that take turns on one GPU")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds; what is not done then leaves its state")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call")
    parser.add_argument("--work", type=Path, help="folder of the checkpoints; default: a temporary one")
    parser.add_argument("--truth", type=Path, help="what benchmarks/stand_alone_truth.py left")
    parser.add_argument("--statistics", default="batch", choices=["batch"], help="of norms: those of the batch")
    parser.add_argument("--norms", default="shared", choices=["shared", "own"], help="own: of every architecture")
    parser.add_argument("--affine", action="store_true", help="norms with a scale and a shift")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--decay", type=float, help="weight decay")
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--smoothing", type=float, default=0.0, help="of labels")
    parser.add_argument("--ema", type=float, help="decay of a running average of the weights, which is then scored")
    parser.add_argument("--fine-tune", type=float, nargs="*", default=[], metavar="EPOCHS")
    parser.add_argument("--fine-tune-rate", type=float, default=0.05)
    parser.add_argument("--augmentation", default="crop_flip")
    parser.add_argument("--temperature", type=float, nargs="+", help="as the sampler's; default: the authors'")
    parser.add_argument("--momentum", type=float, help="of the scores")
    parser.add_argument("--share-scores", type=float, help="the sampler's smoothing; default: none, as published")
    parser.add_argument("--assignment", default="balanced", choices=["balanced", "unbalanced", "fixed", "in_order"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs")
    parser.add_argument("--images", type=int, help="use at most so many training images (to try things out)")
    parser.add_argument("--jobs", nargs="*", help=argparse.SUPPRESS)  # of a worker process
    parser.add_argument("--steps", type=int, help="measure the speed of so many steps of each search, nothing else")
    arguments = parser.parse_args()
    for key, value in SPACES[arguments.space].items():
        if getattr(arguments, key, None) is None:
            setattr(arguments, key, value)
    if arguments.jobs is not None:  # a worker
        deadline = time.perf_counter() + arguments.limit
        jobs = [Job(*map(int, job.split("/"))) for job in arguments.jobs]
        work_on(jobs, arguments, arguments.work, deadline)
        sys.exit(0)
    return arguments


def divide(jobs: list[Job], parts: int) -> list[list[Job]]:
    """Shares of about the same number of models; the longest first."""
    shares: list[list[Job]] = [[] for _ in range(max(1, parts))]
    for job in jobs:
        min(shares, key=lambda share: sum(each.models for each in share)).append(job)
    return shares


def start_worker(
    index: int, share: list[Job], arguments: argparse.Namespace, work: Path, deadline: float
) -> subprocess.Popen[bytes]:
    """The same program on one GPU with a share of the searches."""
    given = list(sys.argv[1:])
    limit = str(max(1.0, deadline - time.perf_counter()))
    own = ["--work", str(work), "--limit", limit, "--jobs", *(f"{job.models}/{job.seed}" for job in share)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(index), "OMP_NUM_THREADS": "2"}
    return subprocess.Popen([sys.executable, __file__, *given, *own], env=environment)


def work_on(jobs: list[Job], arguments: argparse.Namespace, work: Path, deadline: float) -> None:
    """Train, score and record searches, some at a time; what is not done at the deadline leaves a checkpoint."""
    if not jobs:
        return
    device = choose_device(arguments.device)
    space = load_space(arguments.space)
    data = load_images(arguments, space)
    waiting, running = list(jobs), list[Running]()
    with own_random_state(device):
        while waiting or running:
            while waiting and len(running) < arguments.side_by_side and time.perf_counter() < deadline:
                running.append(begin(waiting.pop(0), arguments, space, data, device, work, deadline))
            if not running:
                break
            if arguments.steps:
                measure_speed(running, arguments.steps, device)
                running = []
                continue
            for each in list(running):
                if each.training.step():
                    if each.stopped:
                        running.remove(each)
                    continue
                running.remove(each)
                record = finish(each, arguments, space)
                write_atomically(work / f"{each.job.name}.json", json.dumps(record) + "\n")
                show([record])


def load_images(arguments: argparse.Namespace, space: SearchSpace) -> Dataset:
    folder = arguments.data_dir
    if folder is None and arguments.data == "cifar10" and "NASENGINE_DATA" in os.environ:
        folder = Path(os.environ["NASENGINE_DATA"]) / "cifar10"
    return load_data(arguments.data, None if folder is None else str(folder), shape=(3, 32, 32), classes=10)


def begin(
    job: Job,
    arguments: argparse.Namespace,
    space: SearchSpace,
    data: Dataset,
    device: torch.device,
    work: Path,
    deadline: float,
) -> Running:
    training, validation = split(data, SplitSettings(validation=0.5, limit=arguments.images))
    settings = SharedWeights(
        sampler={
            "type": "balanced_mixture",
            "models": job.models,
            "temperature": arguments.temperature,
            "momentum": arguments.momentum,
            "assignment": arguments.assignment,
            "smoothing": arguments.share_scores,
        },
        optimizer={
            "type": "sgd",
            "rate": arguments.rate,
            "momentum": 0.9,
            "weight_decay": arguments.decay,
            "nesterov": arguments.nesterov,
        },
        schedule={"type": "cosine", "last": arguments.last},
        label_smoothing=arguments.smoothing,
        ema=arguments.ema,
        norms=arguments.norms,
        precision=arguments.precision,
        cuda_graph=not arguments.eager,
    )
    epochs = arguments.total_epochs or arguments.per_model_epochs
    inputs = PreparationInputs(
        domain=Domain(space),
        task=make_task(space),
        training=training.to(device),
        validation=validation.to(device),
        device=device,
        folder=work / job.name,
        budget={"epochs": epochs},
        per_model=arguments.total_epochs is None,
        network={"norm": {"affine": arguments.affine, "statistics": arguments.statistics}},
        batch=arguments.batch,
        augmentation=arguments.augmentation,
        seed=job.seed,
        checkpoint_every_s=60.0,
    )

    def on_epoch(epoch: PreparationEpoch) -> None:
        if epoch.epoch % max(1, epoch.epochs // 20) == 0:
            loss = epoch.measurements["loss"]
            print(
                f"{job.name} epoch {epoch.epoch}/{epoch.epochs} loss {loss:.3f} {epoch.seconds:.2f} s an epoch",
                flush=True,
            )
        if time.perf_counter() > deadline and epoch.epoch < epoch.epochs:
            made.training.save()
            made.stopped = True

    made = Running(job, settings.begin(inputs, on_epoch))
    if made.training.epoch:
        print(f"{job.name} goes on after epoch {made.training.epoch}", flush=True)
    return made


def finish(done: Running, arguments: argparse.Namespace, space: SearchSpace) -> dict[str, Any]:
    """Score every architecture by every model, and compare the rankings with the truth."""
    training, job = done.training, done.job
    began = time.perf_counter()
    table = training.sampler.table()
    assert table is not None, "a balanced mixture has a table"
    configurations = [Architecture(options) for options in table["configurations"]]
    scores = [[training.measure(one, model) for model in range(job.models)] for one in configurations]
    scoring = time.perf_counter() - began
    own = [max(range(job.models), key=row.__getitem__) for row in table["probabilities"]]
    by = {  # an architecture's score: of its own model, of its best, of all alike, of all by P(model | architecture)
        "own": [row[model] for row, model in zip(scores, own, strict=True)],
        "best": [max(row) for row in scores],
        "mean": [statistics.fmean(row) for row in scores],
        "weighted": [
            sum(s * p for s, p in zip(row, shares, strict=True))
            for row, shares in zip(scores, table["probabilities"], strict=True)
        ],
    }
    tuned_seconds = {}
    for epochs in arguments.fine_tune:
        started = time.perf_counter()
        by[f"tuned_{epochs:g}"] = fine_tune(training, configurations, own, epochs, arguments)
        tuned_seconds[f"{epochs:g}"] = round(time.perf_counter() - started, 2)
    pricer = Pricer(space)
    macs = [pricer.price(one).macs for one in configurations]
    truth = read_truth(arguments, configurations)
    compared = compare(by, macs, truth)
    graphs = training.graphs
    seconds = sum(line["seconds"] for line in training.history)
    settings = {key: value for key, value in vars(arguments).items() if key not in NO_SETTINGS}
    return {
        "models": job.models,
        "seed": job.seed,
        "settings": settings,
        "epochs": training.epoch,
        "steps": training.done,
        "seconds": {"training": round(seconds, 2), "scoring": round(scoring, 2), "tuning": tuned_seconds},
        "ms_per_step": round(1000 * seconds / training.done, 3),
        "graphs": None
        if graphs is None
        else {"captured": graphs.captured, "replayed": graphs.replayed, "eager": graphs.eager},
        "loss": training.history[-1]["loss"],
        "configurations": table["configurations"],
        "macs": macs,
        "truth": truth,
        "scores": scores,
        "assignment": own,
        "tuned": {way: values for way, values in by.items() if way.startswith("tuned")},
        "running_scores": table["scores"],
        "visits": table["visits"],
        "compared": compared,
        "machine": describe_machine(),
    }


def fine_tune(
    training: SharedWeightsTraining,
    configurations: list[Architecture],
    own: list[int],
    epochs: float,
    arguments: argparse.Namespace,
) -> list[float]:
    """Accuracy of every network trained on alone for some epochs from its model's weights, as `start: prepare` does.

    Norms get the scale, the shift and the running averages that they lack in shared weights.
    """
    supernet, networks = training.supernet, []
    for architecture, model in zip(configurations, own, strict=True):
        network = build(supernet.space, architecture, seed=training.seed)
        begun = network.state_dict()
        inherited = supernet.subnet(architecture, model=model).state_dict()
        same = {name: value for name, value in inherited.items() if begun[name].shape == value.shape}
        network.load_state_dict(same, strict=False)
        networks.append(network)
    settings = training_settings(
        {
            "optimizer": {"type": "sgd", "rate": arguments.fine_tune_rate, "weight_decay": 5e-4, "nesterov": True},
            "schedule": "cosine",
            "batch": training.batch,
            "augmentation": arguments.augmentation,
            "precision": arguments.precision,
        }
    )
    members = [Member(network, seed=training.seed, order=training.seed) for network in networks]
    train_cohort(members, training.training, training.task, settings=settings, budget={"epochs": epochs})
    return [
        evaluate(network, training.validation, training.task, batch=1000, precision=arguments.precision)["accuracy"]
        for network in networks
    ]


def compare(by: dict[str, list[float]], macs: list[int], truth: list[float | None]) -> dict[str, Any]:
    """Agreement of each way of scoring, and of the ranking by MACs, with the truth; and the winners."""
    known = [index for index, value in enumerate(truth) if value is not None]
    winners = {way: max(range(len(values)), key=values.__getitem__) for way, values in by.items()}
    compared: dict[str, Any] = {
        way: {"winner": winner, "winner_macs": macs[winner], "winner_truth": truth[winner]}
        for way, winner in winners.items()
    }
    if len(known) < 3:
        return compared
    right = [truth[index] for index in known]
    for way, values in by.items():
        compared[way]["agreement"] = agreement([values[index] for index in known], right).to_json()
    compared["macs"] = {"agreement": agreement([float(macs[index]) for index in known], right).to_json()}
    return compared


def read_truth(arguments: argparse.Namespace, configurations: list[Architecture]) -> list[float | None]:
    """Accuracy of each architecture trained alone, in percent; None where nobody knows."""
    known: dict[str, float] = {}
    if arguments.truth is not None:
        known = json.loads(arguments.truth.read_text())["truth"]
    elif arguments.space == "pooling_resnet20":
        with TABLE.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                options = {"network.downsample_at": json.loads(row["network.downsample_at"])}
                known[Architecture(options).key] = float(row["accuracy"])
    return [known.get(one.key) for one in configurations]


def measure_speed(running: list[Running], steps: int, device: torch.device) -> None:
    """Milliseconds a step once all graphs are there: every search makes its steps in turn."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    met = 0
    while met < 12 * steps:  # until nearly everything that is drawn is replayed
        for each in running:
            each.training.step()
        met += 1
        if each.training.graphs is None or (met >= steps and _replays(running) > 0.98):
            break
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        for each in running:
            each.training.step()
    wait()
    spent = time.perf_counter() - began
    names = ", ".join(each.job.name for each in running)
    each_ms = 1000 * spent / steps
    print(f"{names}: {each_ms:.3f} ms a round, {each_ms / len(running):.3f} ms a step", flush=True)


def _replays(running: list[Running]) -> float:
    """Share of the last drawn work that was replayed, roughly."""
    shares = []
    for each in running:
        graphs = each.training.graphs
        if graphs is not None:
            total = graphs.replayed + graphs.eager + graphs.captured
            recent = total - each.total
            new = graphs.eager - each.eager
            each.total, each.eager = total, graphs.eager
            shares.append(1 - new / max(1, recent))
    return min(shares, default=1.0)


def unpack(folder: Path, work: Path) -> None:
    """Put what an earlier call left where this one goes on."""
    finished = folder / "mixture.json"
    for record in json.loads(finished.read_text())["records"] if finished.is_file() else ():
        (work / f"m{record['models']}-seed{record['seed']}.json").write_text(json.dumps(record))
    pieces = sorted(folder.glob("state.tar.*"))
    if pieces:
        with tarfile.open(fileobj=io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))) as archive:
            archive.extractall(work, filter="data")


def collect(jobs: list[Job], arguments: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Write mixture.json, and the latest checkpoints of what is not done in pieces that travel."""
    files = [work / f"{job.name}.json" for job in jobs]
    records = [json.loads(file.read_text()) for file in files if file.is_file()]
    report = {"machine": describe_machine(), "data": arguments.data, "records": records}
    write_atomically(arguments.out / "mixture.json", json.dumps(report) + "\n")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for job in jobs:
            if (work / f"{job.name}.json").is_file():
                continue
            latest = sorted((work / job.name / "checkpoints").glob("*.safetensors"))[-1:]
            for path in (*latest, work / job.name / "history.jsonl"):
                if latest and path.is_file():
                    archive.add(path, arcname=str(path.relative_to(work)))
    for old in arguments.out.glob("state.tar.*"):
        old.unlink()
    data = packed.getvalue() if len(records) < len(jobs) else b""
    for number, begin_at in enumerate(range(0, len(data), PIECE)):
        (arguments.out / f"state.tar.{number:02d}").write_bytes(data[begin_at : begin_at + PIECE])
    return records


if __name__ == "__main__":
    sys.exit(main())
