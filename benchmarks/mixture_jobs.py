"""One search of `mixture.py`: its shared weights trained, every architecture scored, then each network tuned alone."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine
from mixture_files import Job
from mixture_speed import measure_speed
from mixture_table import show
from mixture_truth import compare, read_truth, tuned_way
from pooling_spaces import load_pooling_space

from nasengine.build import build
from nasengine.costs import Pricer
from nasengine.data import Dataset, SplitSettings, load_data, split
from nasengine.errors import TrialError
from nasengine.evaluators import make_task
from nasengine.preparation import PreparationEpoch, PreparationInputs, SharedWeights, SharedWeightsTraining
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.training import evaluate, training_settings
from nasengine.training.cohort import train_cohort
from nasengine.training.course import Member
from nasengine.training.device import choose_device, own_random_state

NO_SETTINGS = ("models", "seeds", "data_dir", "out", "resume", "work", "truth", "limit", "jobs", "steps", "fine_tune")
TUNED_PER_SECOND = {"pooling_resnet20": 80_000, "pooling_resnet18": 20_000}  # images on an H200, until it is measured
GRACE = 15.0  # seconds after the deadline in which a search that is trained is still scored


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a record says of its search."""
    return {key: value for key, value in vars(arguments).items() if key not in NO_SETTINGS}


@dataclass
class Running:
    """A search that is being trained."""

    job: Job
    training: SharedWeightsTraining
    in_turn: int = 1  # of how many that took turns at most
    waited: float = 0.0  # seconds, while others were scored and tuned
    stopped: bool = False


@dataclass
class Shop:
    """What the searches of a process share.

    Args:
        arguments: of the command line.
        work: folder of records and checkpoints.
        deadline: of `time.perf_counter`.
        on_record: called when there is something new in a record.
    """

    arguments: argparse.Namespace
    work: Path
    deadline: float
    on_record: Callable[[], object]
    device: torch.device = field(init=False)
    space: SearchSpace = field(init=False)
    data: Dataset = field(init=False)
    tuned_per_second: float = field(init=False)

    def __post_init__(self) -> None:
        arguments = self.arguments
        self.device = choose_device(arguments.device)
        self.space = load_pooling_space(arguments.space, arguments.last_width)
        folder = arguments.data_dir
        if folder is None and arguments.data == "cifar10" and "NASENGINE_DATA" in os.environ:
            folder = Path(os.environ["NASENGINE_DATA"]) / "cifar10"
        self.data = load_data(arguments.data, None if folder is None else str(folder), shape=(3, 32, 32), classes=10)
        self.tuned_per_second = TUNED_PER_SECOND[arguments.space]

    @property
    def time_left(self) -> float:
        return self.deadline - time.perf_counter()


def work_on(
    jobs: list[Job], arguments: argparse.Namespace, work: Path, deadline: float, on_record: Callable[[], object]
) -> None:
    """Train, score and record searches, some at a time; what is not done at the deadline leaves a checkpoint."""
    if not jobs:
        return
    shop = Shop(arguments, work, deadline, on_record)
    waiting, running = list(jobs), list[Running]()
    with own_random_state(shop.device):
        while waiting or running:
            while waiting and len(running) < arguments.side_by_side and shop.time_left > 0:
                running.append(begin(waiting.pop(0), shop))
            if not running:
                break
            for each in running:
                each.in_turn = max(each.in_turn, len(running))
            if arguments.steps:
                measure_speed({each.job.name: each.training for each in running}, arguments.steps, shop.device)
                running = []
                continue
            for each in list(running):
                try:
                    if each.training.step() and not each.stopped:
                        continue
                except TrialError as error:
                    print(f"{each.job.name} failed: {error}", flush=True)
                    each.stopped = True
                running.remove(each)
                if not each.stopped and shop.time_left < -GRACE:
                    print(f"{each.job.name} is trained, and will be scored when it goes on", flush=True)
                elif not each.stopped:
                    began = time.perf_counter()
                    finish(each, shop)
                    for other in running:
                        other.waited += time.perf_counter() - began


def begin(job: Job, shop: Shop) -> Running:
    """A search at its beginning, or at its last checkpoint."""
    arguments, device = shop.arguments, shop.device
    training, validation = split(shop.data, SplitSettings(validation=0.5, limit=arguments.images))
    settings = SharedWeights(
        sampler={
            "type": "balanced_mixture",
            "models": job.models,
            "temperature": arguments.temperature,
            "momentum": arguments.momentum,
            "assignment": arguments.assignment,
            "smoothing": arguments.share_scores,
            **({"together": arguments.together} if arguments.together else {}),
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
    inputs = PreparationInputs(
        domain=Domain(shop.space),
        task=make_task(shop.space),
        training=training.to(device),
        validation=validation.to(device),
        device=device,
        folder=shop.work / job.name,
        budget={"epochs": arguments.total_epochs or arguments.per_model_epochs},
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
            left = epoch.seconds * (epoch.epochs - epoch.epoch)
            print(
                f"{job.name} epoch {epoch.epoch}/{epoch.epochs} loss {loss:.3f} {epoch.seconds:.2f} s an epoch, "
                f"{left:.0f} s are left of {max(0.0, shop.time_left):.0f}",
                flush=True,
            )
        ends = epoch.epoch == epoch.epochs  # then its weights are kept until it is tuned
        if ends or shop.time_left < 0:
            made.training.save()
            made.stopped = not ends

    made = Running(job, settings.begin(inputs, on_epoch))
    if made.training.epoch:
        print(f"{job.name} goes on after epoch {made.training.epoch}", flush=True)
    return made


def finish(done: Running, shop: Shop) -> None:
    """Score every architecture by every model, then tune as often as is wanted; each is recorded as it comes."""
    job, training, arguments = done.job, done.training, shop.arguments
    record = job.record(shop.work)
    wanted = [
        {"epochs": epochs, "rate": arguments.fine_tune_rate, "decay": arguments.fine_tune_decay}
        for epochs in sorted(arguments.fine_tune)
    ]
    if record is None:
        record = {**score(done, shop), "in_turn": done.in_turn}
    known = read_truth(arguments.space, arguments.truth)

    def write() -> None:
        have = {tuned_way(tuned) for tuned in record["tuned"]}
        record["to_do"] = [way for way in map(tuned_way, wanted) if way not in have]
        record.update(compare(record, known))
        job.write(record, shop.work)
        shop.on_record()

    write()
    configurations = [Architecture(options) for options in record["configurations"]]
    for one in wanted:
        if tuned_way(one) not in record["to_do"]:
            continue
        images = one["epochs"] * len(training.training) * len(configurations)
        if images / shop.tuned_per_second > shop.time_left:
            print(f"{job.name}: no time is left for {tuned_way(one)}", flush=True)
            break
        began = time.perf_counter()
        accuracies = fine_tune(training, configurations, record["assignment"], one, arguments)
        spent = time.perf_counter() - began
        shop.tuned_per_second = images / spent
        record["tuned"].append({**one, "seconds": round(spent, 2), "accuracies": accuracies})
        write()
    show([record])


def score(done: Running, shop: Shop) -> dict[str, Any]:
    """The record of a search that is trained."""
    job, training = done.job, done.training
    began = time.perf_counter()
    table = training.sampler.table()
    assert table is not None, "a balanced mixture has a table"
    configurations = [Architecture(options) for options in table["configurations"]]
    scores = [[training.measure(one, model) for model in range(job.models)] for one in configurations]
    scoring = time.perf_counter() - began
    pricer, graphs = Pricer(shop.space), training.graphs
    seconds = sum(line["seconds"] for line in training.history) - done.waited
    return {
        "models": job.models,
        "seed": job.seed,
        "settings": settings_of(shop.arguments),
        "epochs": training.epoch,
        "steps": training.done,
        "seconds": {"training": round(seconds, 2), "scoring": round(scoring, 2)},
        "ms_per_step": round(1000 * seconds / training.done, 3),
        "graphs": None
        if graphs is None
        else {"captured": graphs.captured, "replayed": graphs.replayed, "eager": graphs.eager},
        "loss": training.history[-1]["loss"],
        "configurations": table["configurations"],
        "macs": [pricer.price(one).macs for one in configurations],
        "scores": scores,
        "assignment": [max(range(job.models), key=row.__getitem__) for row in table["probabilities"]],
        "probabilities": table["probabilities"],
        "running_scores": table["scores"],
        "visits": table["visits"],
        "tuned": [],
        "machine": describe_machine(),
    }


def fine_tune(
    training: SharedWeightsTraining,
    configurations: list[Architecture],
    own: list[int],
    how: dict[str, float],
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
            "optimizer": {"type": "sgd", "rate": how["rate"], "weight_decay": how["decay"], "nesterov": True},
            "schedule": "cosine",
            "batch": training.batch,
            "augmentation": arguments.augmentation,
            "precision": arguments.precision,
            "compiled": "no",  # the time it takes is not known before
        }
    )
    members = [Member(network, seed=training.seed, order=training.seed) for network in networks]
    train_cohort(members, training.training, training.task, settings=settings, budget={"epochs": how["epochs"]})
    return [
        evaluate(network, training.validation, training.task, batch=1000, precision=arguments.precision)["accuracy"]
        for network in networks
    ]
