"""What the jobs of a retrain phase run, here or in a worker process: one training to the end, and its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasengine.evaluators import load_plugins, retrain
from nasengine.records import Job, Result
from nasengine.training import EpochRecord

CHECKPOINTS = 50  # about so many in a training
OnEpoch = Callable[[str, EpochRecord], None]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What the trainings of one retrain phase share; crosses to workers.

    Args:
        plan: as of `evaluators.make_evaluator`, its evaluator being the settings of the training.
        folder: RUN/<phase>.
        names: folder of each training inside it, by the number of its job.
        starts: file of the weights each starts from; None for fresh ones.
    """

    plan: Mapping[str, Any]
    folder: str
    names: tuple[str, ...]
    starts: tuple[str | None, ...]


class FinalTraining:
    """Does the jobs of a retrain phase.

    Args:
        plan: see there.
        on_epoch: called with the training's name after each of its epochs.
    """

    def __init__(self, plan: TrainingPlan, on_epoch: OnEpoch | None = None) -> None:
        load_plugins(plan.plan.get("plugins", ()))
        self.plan, self.on_epoch = plan, on_epoch

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Train and test each; a training that finished before is read, one that was interrupted goes on."""
        for job in jobs:
            yield self._train(job, self.plan.names[job.trial], self.plan.starts[job.trial])

    def _train(self, job: Job, name: str, start: str | None) -> Result:
        def on_epoch(record: EpochRecord) -> None:
            if self.on_epoch is not None:
                self.on_epoch(name, record)

        done = retrain(
            self.plan.plan,
            job.architecture,
            budget=job.budget,
            seed=job.seed,
            folder=Path(self.plan.folder) / name,
            start=None if start is None else Path(start),
            checkpoint_every=max(1, round(job.budget.get("epochs", 1) / CHECKPOINTS)),
            on_epoch=on_epoch,
        )
        measured = {f"validation_{metric}": value for metric, value in done.validation.items()}
        measured |= {f"test_{metric}": value for metric, value in done.test.items()}
        details = {
            "curve": [dict(point) for point in done.curve],
            "images_per_second": done.images_per_second,
            "test_images": done.test_images,
        }
        return Result(job.trial, "completed", measured, details=details)


def make_final_training(plan: TrainingPlan, on_epoch: OnEpoch | None = None) -> FinalTraining:
    """What an executor calls where the trainings run."""
    return FinalTraining(plan, on_epoch)
