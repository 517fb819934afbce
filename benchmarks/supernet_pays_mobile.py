"""A space too large to train: evolution on shared weights beside random search with networks that are trained alone."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nasengine as nas
from nasengine.build import build
from nasengine.data import load_data
from nasengine.errors import TrialError
from nasengine.evaluators import make_task
from nasengine.records import Architecture
from nasengine.search.events import Event, PhaseEnded
from nasengine.search.language.strategy import strategy_from_mapping
from nasengine.training import choose_device, evaluate, training_settings
from nasengine.training.cohort import train_cohort
from nasengine.training.course import Member

SPACE = "mobile_cnn_cifar"
DECAYED = {"type": "sgd", "rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
SHARED_BATCH = 512  # every architecture is another one, so no graph is replayed: a step takes as long as its launches


class Mobile:
    """The rows of this space.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.folder = None if arguments.data_dir is None else str(arguments.data_dir)
        began = time.perf_counter()
        self.data = load_data(arguments.data, self.folder, shape=(3, 32, 32), classes=10)
        self.loading_s = time.perf_counter() - began  # which every phase does anew: taken off each

    def measure(self, method: str, epochs: int, seed: int, before: Mapping[str, Any]) -> dict[str, Any] | None:
        """A row; None if it needs one that is not there."""
        if method == "shared":
            return self.shared(epochs, seed)
        key = f"{SPACE}/shared/{self.arguments.mobile_epochs}/{seed}"
        if key not in before:
            return None
        if method == "alone":
            return self.alone(epochs, seed, sum(before[key]["seconds"].values()))
        rivals = [before[key], before.get(f"{SPACE}/alone/{self.arguments.mobile_alone}/{seed}")]
        winners = {way: found["winner"] for row in rivals if row for way, found in row["ways"].items()}
        return self.truth(epochs, seed, winners) if all(rivals) else None

    def shared(self, epochs: int, seed: int) -> dict[str, Any]:
        """Shared weights, each step for one architecture drawn at random; then evolution with scores by them."""
        prepare = {
            "trainer": "shared_weights",
            "sampler": "single_path",
            "several": "views",
            "optimizer": DECAYED,
            "schedule": "cosine",
            "budget": {"epochs": epochs},
        }
        search = {
            "algorithm": {"type": "regularized_evolution", "population": 50, "tournament": 10},
            "evaluator": {"type": "supernet", "statistics": "recalibrate", "images": 2048},
            "budget": {"trials": self.arguments.scored},
        }
        content = {"data": {"batch": SHARED_BATCH}, "phases": [{"prepare": prepare}, {"search": search}]}
        return self.run(f"shared, {epochs} epochs", content, seed)

    def alone(self, epochs: int, seed: int, seconds: float) -> dict[str, Any]:
        """Random search with stand-alone trainings, some side by side, for so many seconds."""
        evaluator = {
            "type": "standalone",
            "order": "shared",
            "optimizer": DECAYED,
            "schedule": "cosine",
            "compiled": "no",
            "budget": {"epochs": epochs},
        }
        budget = {"seconds": seconds + self.loading_s, "trials": 10_000}
        search = {"algorithm": "random_search", "evaluator": evaluator, "budget": budget}
        content = {"lag": self.arguments.side_by_side, "phases": [{"search": search}]}
        return self.run(f"alone, {epochs} epochs", content, seed)

    def truth(self, epochs: int, seed: int, winners: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Winners, and the space's default, trained alike on all images and tested."""
        space = nas.load_space(SPACE)
        began = time.perf_counter()
        all_of = {**winners, "default": space.known["default"].architecture.to_json()}
        device, task = choose_device(self.arguments.device), make_task(space)
        part = self.data.train
        if self.arguments.images is not None:
            part = part.select(np.arange(self.arguments.images))
        training, test = part.to(device), self.data.test.to(device)
        members = [Member(build(space, Architecture(one), seed=seed), seed, seed) for one in all_of.values()]
        settings = training_settings(
            {
                "optimizer": DECAYED,
                "schedule": {"type": "cosine", "warm_up": 2},
                "batch": self.arguments.batch,
                "augmentation": "crop_flip",
                "compiled": "no",
            }
        )
        reports = train_cohort(members, training, task, settings=settings, budget={"epochs": epochs})
        ways: dict[str, Any] = {}
        for (way, options), member, report in zip(all_of.items(), members, reports, strict=True):
            accuracy = None
            if not isinstance(report, TrialError):
                accuracy = 100 * evaluate(member.network, test, task, batch=1000)["accuracy"]
            macs = nas.costs(space, Architecture(options)).macs
            ways[way] = {"winner": options, "truth": accuracy, "macs": macs}
        return {"seconds": {"train": round(time.perf_counter() - began, 2)}, "ways": ways}

    def run(self, way: str, content: dict[str, Any], seed: int) -> dict[str, Any]:
        """A whole run in a folder of its own, and the seconds of its phases, as a row."""
        seconds: dict[str, float] = {}

        def watch(event: Event) -> None:
            if isinstance(event, PhaseEnded):
                seconds[event.phase] = max(0.0, event.seconds - self.loading_s)
                print(f"{SPACE}: {event.phase} took {event.seconds:.0f} s", flush=True)

        data = {
            "validation": 0.1,
            "batch": self.arguments.batch,
            "augmentation": "crop_flip",
            **content.pop("data", {}),
        }
        if self.arguments.images is not None:
            data["limit"] = self.arguments.images
        strategy = strategy_from_mapping(
            {"name": "pays", "data": data, "objectives": {"accuracy": "maximize"}, **content}, "supernet_pays"
        )
        with tempfile.TemporaryDirectory() as folder:
            found = nas.search(
                SPACE,
                strategy,
                data=self.arguments.data,
                data_dir=self.folder,
                run=Path(folder) / "run",
                seed=seed,
                device=self.arguments.device,
                on_event=watch,
            )
            return self.row(way, found, seconds)

    @staticmethod
    def row(way: str, found: nas.Run, seconds: Mapping[str, float]) -> dict[str, Any]:
        """What a search came to: its winner, and what it cost."""
        best = found.best
        assert best.trial is not None
        worth = {
            "seconds": round(sum(seconds.values()), 2),
            "winner": best.architecture.to_json(),
            "validation_accuracy": best.trial.measurements["accuracy"],
        }
        return {
            "candidates": len(found.trials),
            "failed": sum(trial.status == "failed" for trial in found.trials),
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
            "ways": {way: worth},
        }
