"""Label smoothing as a setting of a training: the task's own loss, with the target spread a little."""

from __future__ import annotations

from dataclasses import replace

from nasengine.errors import InputError, Problem
from nasengine.tasks import Task


def smoothed(task: Task, label_smoothing: float) -> Task:
    """The task with its training loss smoothed.

    Raises:
        InputError: a task whose loss cannot be.
    """
    if label_smoothing == 0:
        return task
    if "label_smoothing" not in getattr(task, "__dataclass_fields__", {}):
        found = f"label_smoothing is {label_smoothing}, but the loss of {type(task).__name__} has none"
        raise InputError(Problem(found, expected="expected label_smoothing 0"))
    return replace(task, label_smoothing=label_smoothing)  # type: ignore[type-var]
