"""What the jobs of a retrain phase run, here or in a worker process: trainings to the end, and their tests.

On a GPU those of one budget are trained side by side, as trials are.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nasengine.errors import InputError, Problem
from nasengine.evaluators import Retrained, load_plugins
from nasengine.evaluators.retraining import Retrainer, Retraining
from nasengine.evaluators.side_by_side import Trainings, is_small, measure_all
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
        self.plan, self.on_epoch = plan, on_epoch
        self.retrainer = Retrainer(plan.plan, arrays)

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Train and test each; a training that finished before is read, one that was interrupted goes on."""
        if len(jobs) == 1:
            yield self._alone(jobs[0])
            return
        retrainer, left = self.retrainer, []
        for job in jobs:
            finished = retrainer.finished(self._wanted(job))
            if finished is None:
                left.append(job)
            else:
                yield self._result(job, finished)
        if not left:
            return
        space, batch, network = retrainer.inputs.space, retrainer.training.batch, retrainer.inputs.network
        trainings = Trainings(
            settings=retrainer.training,
            task=retrainer.task,
            deterministic=retrainer.inputs.deterministic,
            count=len(retrainer.images),
            images=lambda job: retrainer.images.resized(*retrainer.resolution(self._wanted(job))),
            resolution=lambda job: retrainer.resolution(self._wanted(job)),
            begin=lambda job: retrainer.begin(self._wanted(job)),
            end=lambda job, member, report: self._result(job, retrainer.end(self._wanted(job), member, report)),
            alone=self._alone,
            small=lambda job: is_small(space, job.architecture, batch, network),
        )
        yield from measure_all(trainings, left, retrainer.inputs.device)

    def _alone(self, job: Job) -> Result:
        return self._result(job, self.retrainer.alone(self._wanted(job)))

    def _wanted(self, job: Job) -> Retraining:
        name, start = self.plan.names[job.trial], self.plan.starts[job.trial]

        def on_epoch(record: EpochRecord) -> None:
            if self.on_epoch is not None:
                self.on_epoch(name, record)

        return Retraining(
            architecture=job.architecture,
            budget=job.budget,
            seed=job.seed,
            folder=Path(self.plan.folder) / name,
            start=None if start is None else Path(start),
            checkpoint_every=max(1, round(job.budget.get("epochs", 1) / CHECKPOINTS)),
            on_epoch=on_epoch,
        )

    def _result(self, job: Job, done: Retrained) -> Result:
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
