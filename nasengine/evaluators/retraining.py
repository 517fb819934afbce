"""Training one architecture for good: on all training images, with checkpoints, and the test part read once.

FOLDER/checkpoints/    while it runs; a retraining that was killed goes on from there, bit for bit on a CPU
FOLDER/weights.safetensors
FOLDER/result.json     written last; a retraining that has one is done, and is not measured again
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nasengine.build import build
from nasengine.errors import RunError
from nasengine.evaluators.plan import evaluator_settings, load_materials
from nasengine.evaluators.plugins import load_plugins
from nasengine.evaluators.standalone import Standalone, check_finite, resolution
from nasengine.evaluators.starting import Inheritance, load_start
from nasengine.records import Architecture, canonical_json
from nasengine.runs.files import write_atomically
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.training import CheckpointFolder, EpochRecord, evaluate, save_tensors, train
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
        plan: as of `make_evaluator`; its `evaluator` gives the training settings (type standalone), and its
            `data.validation` (usually 0) how many training images are left out.
        architecture: of the plan's space.
        budget: of the training.
        seed: of initial weights, order and augmentation.
        folder: what is left behind, and where an interrupted retraining goes on from.
        start: a safetensors file, or the folder of a supernet; those of its weights whose names and shapes are the
            network's replace fresh ones.
        checkpoint_every: epochs between checkpoints.
        on_epoch: called after every epoch.
        arrays: the data set, as of `make_evaluator`.

    Raises:
        InputError: a plan or a budget that cannot be carried out.
        BuildError: the architecture has no network.
        TrialError: the training diverged.
        RunError: the folder holds another retraining, or `start` no weight of this network.
    """
    load_plugins(plan.get("plugins", ()))
    settings = evaluator_settings(plan.get("evaluator", "standalone"))
    if not isinstance(settings, Standalone):
        raise TypeError(f"a retraining has the settings of a stand-alone training, not {type(settings).__name__}")
    key = _key(plan, architecture, budget, seed, start)
    finished = _read_result(folder, key)
    if finished is not None:
        return finished

    materials = load_materials(plan, arrays)
    inputs = materials.inputs()
    images, held_out = inputs.training, inputs.validation
    assert images is not None, "materials have images"
    assert held_out is not None, "materials have both parts, though this one may be empty"
    training = settings.training(batch=inputs.batch, augmentation=inputs.augmentation)
    task = smoothed(materials.task, training.label_smoothing)
    size = resolution(inputs.space, architecture)
    network = build(inputs.space, architecture, network=inputs.network, seed=seed)
    if start is not None and start.is_dir():
        Inheritance(SupernetArtifact.read(start), inputs.space).load(network, architecture)
    elif start is not None:
        load_start(network, start)
    checkpoints = CheckpointFolder(folder / CHECKPOINTS, key, checkpoint_every)
    report = train(
        network,
        images.resized(*size),
        task,
        settings=training,
        budget=budget,
        seed=seed,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
        deterministic=inputs.deterministic,
    )
    save_tensors(network.state_dict(), folder / WEIGHTS)

    def measure(part_name: str) -> dict[str, float]:
        part = held_out if part_name == "validation" else materials.dataset.test.to(inputs.device)
        measured = evaluate(network, part.resized(*size), task, batch=training.batch, precision=training.precision)
        check_finite(measured, part_name)
        return measured

    retrained = Retrained(
        validation=measure("validation") if len(held_out) else {},
        test=measure("test"),
        curve=report.curve,
        weights=WEIGHTS,
        test_images=len(materials.dataset.test_labels),
        images_per_second=report.images_per_second,
        seed=seed,
    )
    record = {"key": key, **retrained.to_json()}
    write_atomically(folder / RESULT, json.dumps(record, indent=2, allow_nan=False) + "\n")
    checkpoints.clear()
    return retrained


def _key(
    plan: Mapping[str, Any], architecture: Architecture, budget: Mapping[str, float], seed: int, start: Path | None
) -> str:
    """What the outcome depends on, as a short text."""
    kept = {name: value for name, value in plan.items() if name not in ("plugins", "device")}
    data = {name: value for name, value in (plan.get("data") or {}).items() if name != "folder"}
    said = {**kept, "data": data, "architecture": architecture.to_json(), "budget": dict(budget), "seed": seed}
    if start is not None:
        said["start"] = str(start)
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
