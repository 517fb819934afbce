"""Checkpoints of trials that were trained for a part of their budget, for the trials that go on with them.

    RUN/<phase>/checkpoints/trial-12/checkpoint_000003.safetensors     the state after the last whole epoch

They only save time: a checkpoint that is missing (another machine, somebody removed it), damaged or of other settings
means that a trial is trained from scratch, with the same result. The search removes one as soon as no trial can need
it any more, and all of them when its phase ends.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nasengine.records import WHOLE, Job, canonical_json, is_partial
from nasengine.training import CheckpointFolder

FOLDER = "checkpoints"
_PREFIX = "trial-"
_ONLY_THE_LAST = sys.maxsize  # epochs between checkpoints


@dataclass(frozen=True, slots=True)
class TrialCheckpoints:
    """The checkpoints of one search phase.

    Args:
        folder: RUN/<phase>/checkpoints.
        settings: what every trial's training depends on, as text.
    """

    folder: Path
    settings: str = ""

    @property
    def usable(self) -> bool:
        """Whether this machine sees the run's folder."""
        return self.folder.parent.parent.is_dir()

    def own(self, job: Job) -> CheckpointFolder | None:
        """Where a trial leaves its state, and finds it when it is run again; None where nobody will go on with it."""
        if not is_partial(job.budget):
            return None
        own = self._of(job, job.trial)
        if not own.fits():
            own.clear()
        return own

    def before(self, job: Job) -> CheckpointFolder | None:
        """What the trial that a job resumes left; None where it resumes none or that is no use."""
        if job.resumes is None:
            return None
        left = self._of(job, job.resumes)
        return left if left.fits() else None

    def keep(self, needed: Collection[int], told: int) -> None:
        """Remove what trials below `told` left, save those needed."""
        for path in self.folder.glob(f"{_PREFIX}*"):
            number = int(path.name.removeprefix(_PREFIX))
            if number < told and number not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def clear(self) -> None:
        """Remove them all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _of(self, job: Job, trial: int) -> CheckpointFolder:
        # The whole training is what all of a chain share, not the part of it that one trial is.
        ends = {unit: amount for unit, amount in job.budget.items() if f"{WHOLE}{unit}" not in job.budget}
        whole = {unit.removeprefix(WHOLE): amount for unit, amount in ends.items()}
        key = canonical_json([job.architecture.to_json(), job.seed, whole, self.settings])
        return CheckpointFolder(self.folder / f"{_PREFIX}{trial}", key, _ONLY_THE_LAST)
