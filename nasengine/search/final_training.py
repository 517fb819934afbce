"""What the jobs of a retrain phase run, here or in a worker process: one training to the end, and its test."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nasengine.errors import InputError, Problem
from nasengine.evaluators import load_plugins, retrain
from nasengine.records import Job, Result
from nasengine.search.run_file import NAME as RUN_FILE
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
        arrays: the data set, where the executor shares it.

    Raises:
        InputError: this machine does not see the run's folder, in which the weights are to be left.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        on_epoch: OnEpoch | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        load_plugins(plan.plan.get("plugins", ()))
        run = Path(plan.folder).parent
        if not (run / RUN_FILE).is_file():
            found = f"the machine {platform.node()}, where a worker runs, does not see the run's folder {run}"
            raise InputError(
                Problem(found, expected="expected --run in a folder that every machine of the cluster sees")
            )
        self.plan, self.on_epoch, self.arrays = plan, on_epoch, arrays

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
            arrays=self.arrays,
        )
        measured = {f"validation_{metric}": value for metric, value in done.validation.items()}
        measured |= {f"test_{metric}": value for metric, value in done.test.items()}
        details = {
            "curve": [dict(point) for point in done.curve],
            "images_per_second": done.images_per_second,
            "test_images": done.test_images,
        }
        return Result(job.trial, "completed", measured, details=details)


def make_final_training(
    plan: TrainingPlan, on_epoch: OnEpoch | None = None, arrays: Mapping[str, NDArray[Any]] | None = None
) -> FinalTraining:
    """What an executor calls where the trainings run."""
    return FinalTraining(plan, on_epoch, arrays)
