"""Tasks: what networks are trained and judged by.

To add one: a class that meets the `Task` protocol in one file, and one line in `TASKS`; a metric is one more
entry of a task's `metrics` and `measure`.
"""

from __future__ import annotations

from nasengine.tasks.image_classification import ImageClassification
from nasengine.tasks.task import Task

TASKS: dict[str, type[Task]] = {"image_classification": ImageClassification}

__all__ = ["TASKS", "ImageClassification", "Task"]
