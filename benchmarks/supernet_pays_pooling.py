"""What rankings of `pooling_resnet20` cost, and are worth: all networks alone, or one set of shared weights."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mixture_jobs import fine_tune
from mixture_truth import read_truth

from nasengine.agreement import agreement
from nasengine.build import build
from nasengine.data import SplitSettings, load_data, split
from nasengine.errors import TrialError
from nasengine.evaluators import make_task
from nasengine.preparation import PreparationInputs, SharedWeights
from nasengine.preparation.shared_weights import train_shared_weights
from nasengine.space import load_space
from nasengine.space.domain import Domain
from nasengine.training import choose_device, evaluate, training_settings
from nasengine.training.cohort import train_cohort
from nasengine.training.course import Member

DECAYED = {"type": "sgd", "rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
TUNING = {"rate": 0.05, "decay": 5e-4}


class Pooling:
    """The rows of this space.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.space = load_space("pooling_resnet20")
        self.all, self.task = list(self.space.enumerate()), make_task(self.space)
        self.device = choose_device(arguments.device)
        folder = None if arguments.data_dir is None else str(arguments.data_dir)
        data = load_data(arguments.data, folder, shape=(3, 32, 32), classes=10)
        training, validation = split(data, SplitSettings(validation=0.5, limit=arguments.images))
        self.training, self.validation = training.to(self.device), validation.to(self.device)
        known = read_truth("pooling_resnet20")
        self.truth = [known[one.key] for one in self.all]

    def measure(self, method: str, epochs: int, seed: int, _before: Mapping[str, Any]) -> dict[str, Any]:
        """A row: seconds by what they were spent on, and for every way of ranking its seconds and what it is worth."""
        row = self.alone(epochs, seed) if method == "alone" else self.shared(epochs, seed)
        return {"candidates": len(self.all), **row}

    def alone(self, epochs: int, seed: int) -> dict[str, Any]:
        """All networks trained from fresh weights, side by side, on the same images in the same order."""
        began = self.now()
        settings = training_settings(
            {"optimizer": DECAYED, "schedule": "cosine", "batch": self.arguments.batch, "compiled": "no"}
        )
        members = [Member(build(self.space, one, seed=seed), seed=seed, order=seed) for one in self.all]
        reports = train_cohort(members, self.training, self.task, settings=settings, budget={"epochs": epochs})
        failed = [isinstance(report, TrialError) for report in reports]
        scores = [
            0.0 if lost else evaluate(member.network, self.validation, self.task, batch=1000)["accuracy"]
            for member, lost in zip(members, failed, strict=True)
        ]
        spent = self.now() - began
        rate = len(self.all) * epochs * len(self.training) / spent
        return {
            "seconds": {"train": round(spent, 2)},
            "images_per_second": round(rate),
            "failed": sum(failed),
            "ways": {f"alone, {epochs} epochs": self.way(spent, scores)},
        }

    def shared(self, epochs: int, seed: int) -> dict[str, Any]:
        """One set of weights for all, each step for one drawn at random; then scores, and tuning from these weights."""
        began = self.now()
        settings = SharedWeights(
            sampler="single_path",
            optimizer={"type": "sgd", "rate": 0.1, "momentum": 0.9},
            schedule={"type": "cosine", "last": 0.001},
        )
        with tempfile.TemporaryDirectory() as folder:
            training = settings.begin(
                PreparationInputs(
                    domain=Domain(self.space),
                    task=self.task,
                    training=self.training,
                    validation=self.validation,
                    device=self.device,
                    folder=Path(folder),
                    budget={"epochs": epochs},
                    network={"norm": {"affine": False, "statistics": "batch"}},
                    batch=min(128, self.arguments.batch),
                    augmentation="crop_flip",
                    seed=seed,
                    checkpoint_every_s=1e9,
                )
            )
            train_shared_weights([training])
            prepared = self.now() - began
            scores = [training.measure(one) for one in self.all]
            scored = self.now() - began - prepared
            seconds = {"prepare": round(prepared, 2), "score": round(scored, 2)}
            ways = {f"shared, {epochs} epochs": self.way(prepared + scored, scores)}
            for length in self.tunings(epochs):
                began = self.now()
                how = {"epochs": length, **TUNING}
                usual = argparse.Namespace(augmentation="crop_flip", precision="auto")
                tuned = fine_tune(training, self.all, [0] * len(self.all), how, usual)
                spent = self.now() - began
                seconds[f"tune {length:g}"] = round(spent, 2)
                ways[f"shared, {epochs} epochs, then {length:g} alone"] = self.way(prepared + spent, tuned)
        return {"seconds": seconds, "ways": ways}

    def tunings(self, epochs: int) -> Sequence[float]:
        """How long networks are tuned after a length of the shared training."""
        place = self.arguments.shared.index(epochs)
        return self.arguments.tune[place : place + 1]

    def way(self, seconds: float, scores: Sequence[float]) -> dict[str, Any]:
        """What a ranking cost and is worth."""
        winner = max(range(len(scores)), key=scores.__getitem__)
        return {
            "seconds": round(seconds, 2),
            **worth(scores, self.truth),
            "winner": self.all[winner].to_json(),
            "scores": list(scores),
        }

    def now(self) -> float:
        """The time when the device has nothing left to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def held_against(rows: Mapping[str, Mapping[str, Any]], truth: Path) -> dict[str, Mapping[str, Any]]:
    """The rows with another truth than the published one: see `mixture_truth.read_truth`."""
    space = load_space("pooling_resnet20")
    known = read_truth(space.name, truth)
    true = [known[one.key] for one in space.enumerate()]
    found = dict(rows)
    for key, row in rows.items():
        if key.startswith(f"{space.name}/"):
            found[key] = {
                **row,
                "ways": {name: {**way, **worth(way["scores"], true)} for name, way in row["ways"].items()},
            }
    return found


def worth(scores: Sequence[float], truth: Sequence[float]) -> dict[str, float | None]:
    """How a ranking agrees with the truth, and what its winner is worth there."""
    winner = max(range(len(scores)), key=scores.__getitem__)
    return {"tau": agreement(scores, truth, draws=None)["kendall"].value, "truth": truth[winner]}
