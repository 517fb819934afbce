"""The plan of a worker: plain JSON from which any process rebuilds the same evaluator.

{"space": SpaceTree.resolved,
 "evaluator": {"type": "standalone", "optimizer": …, "budget": {"epochs": 2}},     budget and start are not read here
 "data": {"name": "cifar10", "folder": …, "validation": 0.2, "held_out_per_class": …, "limit": …, "seed": 0,
          "batch": 128, "augmentation": "crop_flip"},
 "network": {…}, "device": "cpu", "deterministic": false, "plugins": ["my_module"]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from nasengine.data import DEFAULT_DATASET, Dataset, SplitSettings, load_data, split
from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.evaluators.evaluator import Evaluator, EvaluatorInputs, EvaluatorSettings
from nasengine.evaluators.plugins import load_plugins
from nasengine.evaluators.tables import EVALUATORS
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.problems import Problems
from nasengine.tasks import TASKS, Task
from nasengine.training import call_checked, choose_device, make_component

KEYS = ("space", "evaluator", "data", "network", "device", "deterministic", "plugins")
SPLIT_KEYS = tuple(f.name for f in fields(SplitSettings))
DATA_KEYS = ("name", "folder", *SPLIT_KEYS, "batch", "augmentation")
NOT_SETTINGS = ("budget", "start")  # of an evaluator: the job's budget, and a phase whose weights are started from


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """What a plan names, loaded.

    Args:
        space, task: the space, and the task made of its `task:`.
        dataset: all of it; only `retrain` looks at the test part.
        split: how its training part is divided.
        plan: the plan itself.
    """

    space: SearchSpace
    task: Task
    dataset: Dataset
    split: SplitSettings
    plan: Mapping[str, Any]

    def inputs(self) -> EvaluatorInputs:
        """What evaluators work with; the images go to the device."""
        device = choose_device(self.plan.get("device", "cpu"))
        data = self.plan.get("data", {})
        training, validation = split(self.dataset, self.split)
        defaults = EvaluatorInputs.__dataclass_fields__
        return EvaluatorInputs(
            space=self.space,
            task=self.task,
            training=training.to(device),
            validation=validation.to(device),
            device=device,
            network=dict(self.plan.get("network") or {}),
            batch=data.get("batch", defaults["batch"].default),
            augmentation=data.get("augmentation"),
            deterministic=bool(self.plan.get("deterministic", False)),
        )


def make_evaluator(plan: Mapping[str, Any]) -> Evaluator:
    """The evaluator that a plan describes, its images loaded and on the device.

    Raises:
        InputError: a plan that cannot be carried out: unknown names, missing data, a space without a network.
    """
    load_plugins(plan.get("plugins", ()))
    settings = evaluator_settings(plan.get("evaluator", "standalone"))
    return settings.evaluator(load_materials(plan).inputs())


def evaluator_settings(value: object) -> EvaluatorSettings:
    """The settings of an evaluator, from a name or a mapping with `type`; a trial's budget beside them is not read."""
    if isinstance(value, Mapping):
        value = {key: entry for key, entry in value.items() if key not in NOT_SETTINGS}
    return make_component(EVALUATORS, value, kind="evaluator")


def load_materials(plan: Mapping[str, Any]) -> Materials:
    """Everything a plan names. Plug-ins must have been loaded.

    Raises:
        InputError: see `make_evaluator`.
    """
    data = plan.get("data") or {}
    problems = [*_unknown(plan, KEYS, "a plan"), *_unknown(data, DATA_KEYS, "data")]
    if problems:
        raise InputError(problems)
    space = space_from_mapping(plan["space"])
    task = make_task(space)
    settings = {key: data[key] for key in SPLIT_KEYS if data.get(key) is not None}
    split_settings = call_checked(SplitSettings, settings, where="the data", name="the split")
    dataset = load_data(
        data.get("name") or DEFAULT_DATASET,
        data.get("folder"),
        shape=largest_input(space),
        classes=getattr(task, "classes", None),
    )
    return Materials(space, task, dataset, split_settings, plan)


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


def largest_input(space: SearchSpace) -> tuple[int, int, int]:
    """(C, H, W) of the largest images that the space's networks take."""
    assert space.task is not None, "make_task comes first"
    decision = space.resolution
    heights: Sequence[int] = decision.options if decision else (space.task.height.value,)  # type: ignore[union-attr]
    height = max(heights)
    width = height if space.task.width is None else space.task.width.value
    return space.task.channels, height, int(width)  # type: ignore[arg-type]


def _unknown(mapping: Mapping[str, Any], known: Sequence[str], what: str) -> list[Problem]:
    return [
        Problem(f"unknown key {key!r} in {what}", expected=f"expected {one_of(known)}{nearest(key, known)}")
        for key in mapping
        if key not in known
    ]
