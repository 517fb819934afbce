"""The plan of a worker: plain JSON from which any process rebuilds the same evaluator.

{"space": SpaceTree.resolved,
 "evaluator": {"type": "standalone", "optimizer": …, "budget": {"epochs": 2}},     budget and start are not read here
 "data": {"name": "cifar10", "folder": …, "validation": 0.2, "held_out_per_class": …, "limit": …, "seed": 0,
          "batch": 128, "augmentation": "crop_flip"},
 "network": {…}, "device": "cpu", "deterministic": false, "plugins": ["my_module"],
 "checkpoints": "RUN/search/checkpoints",                                  where trials are gone on with; else left out
 "artifact": "RUN/prepare",                            shared weights that candidates inherit, where they inherit any
 "seed": 0}                                            of the run, where trials share the order of images; else left out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nasengine.data import DEFAULT_DATASET, Dataset, Part, SplitSettings, load_data, shared_tensor, split
from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.evaluators.evaluator import Evaluator, EvaluatorInputs, EvaluatorSettings, with_defaults
from nasengine.evaluators.plugins import load_plugins
from nasengine.evaluators.tables import EVALUATORS
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.problems import Problems
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.tasks import TASKS, Task
from nasengine.training import call_checked, choose_device, make_component

KEYS = (
    "space",
    "evaluator",
    "data",
    "network",
    "device",
    "deterministic",
    "plugins",
    "checkpoints",
    "artifact",
    "seed",
)
SPLIT_KEYS = tuple(f.name for f in fields(SplitSettings))
DATA_KEYS = ("name", "folder", *SPLIT_KEYS, "batch", "augmentation")
ARTIFACT = "artifact/"  # before the names of the arrays of shared weights
NOT_SETTINGS = ("budget", "start")  # of an evaluator: the job's budget, and a phase whose weights are started from


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """What a plan names, loaded.

    Args:
        space, task: the space, and the task made of its `task:`.
        dataset: all of it; only `retrain` looks at the test part.
        split: how its training part is divided.
        plan: the plan itself.
        held_out: what was set aside before, and then is not in the training part any more; None: nothing was.
        artifact: the shared weights that candidates inherit; None: they inherit none.
    """

    space: SearchSpace
    task: Task
    dataset: Dataset
    split: SplitSettings
    plan: Mapping[str, Any]
    held_out: Part | None = None
    artifact: SupernetArtifact | None = None

    def inputs(self) -> EvaluatorInputs:
        """What evaluators work with; the images go to the device."""
        if self.held_out is None:
            training, validation = split(self.dataset, self.split)
        else:
            training, validation = self.dataset.train, self.held_out
        inputs = _inputs_without_data(self.plan, self.space, self.task)
        return replace(
            inputs,
            training=training.to(inputs.device),
            validation=validation.to(inputs.device),
            artifact=self.artifact,
        )


def make_evaluator(plan: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> Evaluator:
    """The evaluator that a plan describes, its images loaded and on the device.

    Args:
        plan: see above.
        arrays: the data set and the shared weights, as `shared_arrays` gives them; None: they are loaded.

    Raises:
        InputError: a plan that cannot be carried out: unknown names, missing data, a space without a network.
        RunError: the shared weights are missing or damaged.
    """
    load_plugins(plan.get("plugins", ()))
    settings = evaluator_settings(plan.get("evaluator", "standalone"))
    if settings.needs_data:
        return settings.evaluator(load_materials(plan, arrays).inputs())
    _check_keys(plan)
    space = space_from_mapping(plan["space"])
    return settings.evaluator(_inputs_without_data(plan, space, known_task(space)))


def evaluator_settings(value: object) -> EvaluatorSettings:
    """The settings of an evaluator, from a name or a mapping with `type`; a trial's budget beside them is not read."""
    if isinstance(value, Mapping):
        value = {key: entry for key, entry in value.items() if key not in NOT_SETTINGS}
    return with_defaults(make_component(EVALUATORS, value, kind="evaluator"))


def shared_arrays(plan: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The data set and the shared weights of a plan as arrays, for workers that need not load them themselves.

    The training part is divided already, so that no worker has to copy what it selects.

    Raises:
        InputError, RunError: see `make_evaluator`.
    """
    load_plugins(plan.get("plugins", ()))
    materials = load_materials(plan)
    training, held_out = split(materials.dataset, materials.split)
    divided = replace(materials.dataset, train_images=training.images, train_labels=training.labels)
    return {
        **divided.arrays(),
        "held_out_images": held_out.images.numpy(),
        "held_out_labels": held_out.labels.numpy(),
        **({f"{ARTIFACT}{k}": v for k, v in materials.artifact.arrays().items()} if materials.artifact else {}),
    }


def load_materials(plan: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> Materials:
    """Everything a plan names; with `arrays`, the data set is made of them. Plug-ins must have been loaded.

    Raises:
        InputError, RunError: see `make_evaluator`.
    """
    _check_keys(plan)
    data = plan.get("data") or {}
    space = space_from_mapping(plan["space"])
    task = make_task(space)
    settings = {key: data[key] for key in SPLIT_KEYS if data.get(key) is not None}
    split_settings = call_checked(SplitSettings, settings, where="the data", name="the split")
    artifact = _artifact(plan, arrays)
    if arrays is not None:
        shared = Dataset.from_arrays(arrays)
        images, labels = shared_tensor(arrays["held_out_images"]), shared_tensor(arrays["held_out_labels"])
        held_out = Part(images, labels, shared.mean, shared.std)
        return Materials(space, task, shared, split_settings, plan, held_out, artifact)
    dataset = load_data(
        data.get("name") or DEFAULT_DATASET,
        data.get("folder"),
        shape=largest_input(space),
        classes=getattr(task, "classes", None),
    )
    return Materials(space, task, dataset, split_settings, plan, artifact=artifact)


def make_task(space: SearchSpace) -> Task:
    """The task that a space's `task:` describes.

    Raises:
        InputError: no task, an unknown kind, or settings that it does not have, at the mark of the task.
    """
    if space.task is None:
        raise InputError(
            Problem(f"the space {space.name!r} has no task, so nothing can be trained", expected="expected task:")
        )
    try:
        return make_component(TASKS, {**space.task.settings, "type": space.task.kind}, kind="task")
    except InputError as error:
        problems = Problems(space.tree.lines)
        problems.extend([replace(problem, mark=space.task.mark) for problem in error.problems])
        raise InputError(problems.found) from error


def known_task(space: SearchSpace) -> Task | None:
    """The task of a space; None where it has none that can be made, for who can do without."""
    try:
        return make_task(space)
    except InputError:
        return None


def largest_input(space: SearchSpace) -> tuple[int, int, int]:
    """(C, H, W) of the largest images that the space's networks take."""
    assert space.task is not None, "make_task comes first"
    decision = space.resolution
    heights: Sequence[int] = decision.options if decision else (space.task.height.value,)  # type: ignore[union-attr]
    height = max(heights)
    width = height if space.task.width is None else space.task.width.value
    return space.task.channels, height, int(width)  # type: ignore[arg-type]


def _inputs_without_data(plan: Mapping[str, Any], space: SearchSpace, task: Task | None) -> EvaluatorInputs:
    data = plan.get("data") or {}
    defaults = EvaluatorInputs.__dataclass_fields__
    return EvaluatorInputs(
        space=space,
        task=task,
        training=None,
        validation=None,
        device=choose_device(plan.get("device", "cpu")),
        network=dict(plan.get("network") or {}),
        batch=data.get("batch", defaults["batch"].default),
        augmentation=data.get("augmentation"),
        deterministic=bool(plan.get("deterministic", False)),
        data_folder=data.get("folder"),
        checkpoints=Path(plan["checkpoints"]) if plan.get("checkpoints") else None,
        seed=plan.get("seed", 0),
    )


def _artifact(plan: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None) -> SupernetArtifact | None:
    if not plan.get("artifact"):
        return None
    if arrays is None:
        return SupernetArtifact.read(plan["artifact"])
    named = {name.removeprefix(ARTIFACT): array for name, array in arrays.items() if name.startswith(ARTIFACT)}
    return SupernetArtifact.from_arrays(named)


def _check_keys(plan: Mapping[str, Any]) -> None:
    problems = [*_unknown(plan, KEYS, "a plan"), *_unknown(plan.get("data") or {}, DATA_KEYS, "data")]
    if problems:
        raise InputError(problems)


def _unknown(mapping: Mapping[str, Any], known: Sequence[str], what: str) -> list[Problem]:
    return [
        Problem(f"unknown key {key!r} in {what}", expected=f"expected {one_of(known)}{nearest(key, known)}")
        for key in mapping
        if key not in known
    ]
