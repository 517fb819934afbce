"""Training one architecture for good: on all training images, with checkpoints, and the test part read once.

FOLDER/checkpoints/    while it runs; a retraining that was killed goes on from there, bit for bit on a CPU
FOLDER/weights.safetensors
FOLDER/result.json     written last; a retraining that has one is done, and is not measured again
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nasengine.build import build
from nasengine.data import Part
from nasengine.errors import RunError
from nasengine.evaluators.evaluator import EvaluatorInputs
from nasengine.evaluators.plan import Materials, evaluator_settings, load_materials
from nasengine.evaluators.plugins import load_plugins
from nasengine.evaluators.standalone import Standalone, check_finite, resolution
from nasengine.evaluators.starting import Inheritance, load_start, named_in
from nasengine.records import Architecture, canonical_json
from nasengine.runs.files import write_atomically
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.tasks import Task
from nasengine.training import (
    CheckpointFolder,
    EpochRecord,
    Member,
    TrainingReport,
    TrainingSettings,
    evaluate,
    save_tensors,
    train_member,
)
from nasengine.training.smoothing import smoothed

CHECKPOINTS, WEIGHTS, RESULT = "checkpoints", "weights.safetensors", "result.json"


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of a retraining.

    Args:
        test: metric -> value on the test part.
        validation: the same on held-out training images; empty where none were held out.
        curve: one record `{epoch, loss, rate}` per epoch.
        weights: the file, in the retraining's folder.
        test_images: how many.
        images_per_second: while training (of the last piece, if it was interrupted).
        seed: of the training.
    """

    test: Mapping[str, float]
    validation: Mapping[str, float]
    curve: tuple[Mapping[str, Any], ...]
    weights: str
    test_images: int
    images_per_second: float
    seed: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Retrained:
        return cls(**{**record, "curve": tuple(record["curve"])})


@dataclass(frozen=True, slots=True)
class Retraining:
    """One training for good.

    Args:
        architecture: of the plan's space.
        budget: of the training.
        seed: of initial weights, order and augmentation.
        folder: RUN/<phase>/<name>: what is left behind, and where an interrupted retraining goes on from.
        start: a safetensors file, or the folder of a supernet; those of its weights whose names and shapes are the
            network's replace fresh ones.
        checkpoint_every: epochs between checkpoints.
        on_epoch: called after every epoch.
    """

    architecture: Architecture
    budget: Mapping[str, float]
    seed: int
    folder: Path
    start: Path | None = None
    checkpoint_every: int = 1
    on_epoch: Callable[[EpochRecord], None] | None = None


class Retrainer:
    """Trains architectures by one plan, for good; what they share is loaded once, when it is first needed.

    Args:
        plan: as of `make_evaluator`; its `evaluator` gives the training settings (type standalone), and its
            `data.validation` (usually 0) how many training images are left out.
        arrays: the data set, as of `make_evaluator`.
    """

    def __init__(self, plan: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        load_plugins(plan.get("plugins", ()))
        settings = evaluator_settings(plan.get("evaluator", "standalone"))
        if not isinstance(settings, Standalone):
            raise TypeError(f"a retraining has the settings of a stand-alone training, not {type(settings).__name__}")
        self.plan, self.settings, self._arrays = plan, settings, arrays
        self._inherited: dict[Path, Inheritance] = {}

    @functools.cached_property
    def materials(self) -> Materials:
        """Space, task and images."""
        return load_materials(self.plan, self._arrays)

    @functools.cached_property
    def inputs(self) -> EvaluatorInputs:
        """The same on the device, without the test part."""
        return self.materials.inputs()

    @functools.cached_property
    def training(self) -> TrainingSettings:
        """How networks are trained."""
        return self.settings.training(batch=self.inputs.batch, augmentation=self.inputs.augmentation)

    @functools.cached_property
    def task(self) -> Task:
        """With its loss smoothed, if that was asked for."""
        return smoothed(self.materials.task, self.training.label_smoothing)

    @property
    def images(self) -> Part:
        """Those to train on."""
        assert self.inputs.training is not None, "materials have images"
        return self.inputs.training

    def finished(self, wanted: Retraining) -> Retrained | None:
        """What a retraining left that was finished before; None where there is none.

        Raises:
            RunError: the folder holds another retraining.
        """
        return _read_result(wanted.folder, self._key(wanted))

    def alone(self, wanted: Retraining) -> Retrained:
        """Train one architecture and measure it on the test part, unless that was done before.

        Raises:
            InputError: a plan or a budget that cannot be carried out.
            BuildError: the architecture has no network.
            TrialError: the training diverged.
            RunError: the folder holds another retraining, or `start` no weight of this network.
        """
        finished = self.finished(wanted)
        if finished is not None:
            return finished
        member = self.begin(wanted)
        report = train_member(
            member,
            self.images.resized(*self.resolution(wanted)),
            self.task,
            settings=self.training,
            budget=wanted.budget,
            deterministic=self.inputs.deterministic,
        )
        return self.end(wanted, member, report)

    def resolution(self, wanted: Retraining) -> tuple[int, int]:
        """(height, width) of what the architecture takes."""
        return resolution(self.inputs.space, wanted.architecture)

    def begin(self, wanted: Retraining) -> Member:
        """The network to train, with its checkpoints."""
        inputs, start = self.inputs, wanted.start
        network = build(inputs.space, wanted.architecture, network=inputs.network, seed=wanted.seed)
        if start is not None and start.is_dir():
            if start not in self._inherited:  # reading a supernet of a large space takes seconds
                self._inherited[start] = Inheritance(SupernetArtifact.read(start), inputs.space)
            self._inherited[start].load(network, wanted.architecture)
        elif start is not None:
            load_start(network, start)
        checkpoints = CheckpointFolder(wanted.folder / CHECKPOINTS, self._key(wanted), wanted.checkpoint_every)
        order = self.settings.order_seed(inputs)
        return Member(network, wanted.seed, order, checkpoints, on_epoch=wanted.on_epoch)

    def end(self, wanted: Retraining, member: Member, report: TrainingReport) -> Retrained:
        """Save and measure what was trained, and leave the result."""
        inputs, training, dataset = self.inputs, self.training, self.materials.dataset
        save_tensors(member.network.state_dict(), wanted.folder / WEIGHTS)

        def measure(name: str, part: Part) -> dict[str, float]:
            resized = part.resized(*self.resolution(wanted))
            measured = evaluate(member.network, resized, self.task, batch=training.batch, precision=training.precision)
            check_finite(measured, name)
            return measured

        retrained = Retrained(
            validation=measure("validation", inputs.validation) if inputs.validation else {},
            test=measure("test", dataset.test.to(inputs.device)),
            curve=report.curve,
            weights=WEIGHTS,
            test_images=len(dataset.test_labels),
            images_per_second=report.images_per_second,
            seed=wanted.seed,
        )
        record = {"key": self._key(wanted), **retrained.to_json()}
        write_atomically(wanted.folder / RESULT, json.dumps(record, indent=2, allow_nan=False) + "\n")
        assert member.checkpoints is not None, "given in `begin`"
        member.checkpoints.clear()
        return retrained

    def _key(self, wanted: Retraining) -> str:
        run = wanted.folder.parent.parent
        start = None if wanted.start is None else named_in(run, wanted.start)
        return _key(self.plan, wanted.architecture, wanted.budget, wanted.seed, start)


def retrain(
    plan: Mapping[str, Any],
    architecture: Architecture,
    *,
    budget: Mapping[str, float],
    seed: int,
    folder: Path,
    start: Path | None = None,
    checkpoint_every: int = 1,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    arrays: Mapping[str, NDArray[Any]] | None = None,
) -> Retrained:
    """Train one architecture and measure it on the test part.

    Args:
        plan, arrays: see `Retrainer`.
        architecture, budget, seed, folder, start, checkpoint_every, on_epoch: see `Retraining`.

    Raises:
        InputError, BuildError, TrialError, RunError: see `Retrainer.alone`.
    """
    wanted = Retraining(architecture, budget, seed, folder, start, checkpoint_every, on_epoch)
    return Retrainer(plan, arrays).alone(wanted)


def _key(
    plan: Mapping[str, Any], architecture: Architecture, budget: Mapping[str, float], seed: int, start: str | None
) -> str:
    """What the outcome depends on, as a short text."""
    kept = {name: value for name, value in plan.items() if name not in ("plugins", "device", "seed")}
    kept |= {"order": plan["seed"]} if "seed" in plan else {}
    data = {name: value for name, value in (plan.get("data") or {}).items() if name != "folder"}
    said = {**kept, "data": data, "architecture": architecture.to_json(), "budget": dict(budget), "seed": seed}
    if start is not None:
        said["start"] = start
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()[:16]


def _read_result(folder: Path, key: str) -> Retrained | None:
    """What a finished retraining left; None where there is none.

    Raises:
        RunError: it is of another retraining, or damaged.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        found = record.pop("key")
        finished = Retrained.from_json(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if found != key:
        raise RunError(f"{path} is of a retraining with other settings; use another folder, or remove this one")
    return finished
