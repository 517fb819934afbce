"""A search on TensorBoard: the objectives of every trial and the best so far, in RUN/tensorboard/<phase>.

A mirror of the journal, written again from the journal whenever a phase begins, so that kills leave no gap and
resumptions no trial twice. Uses TensorBoard's own event writer, which needs no torch and writes in a thread.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from nasengine.objectives import Objective
from nasengine.records import Trial


class Board:
    """The writing end, for one phase.

    Args:
        folder: RUN/tensorboard/<phase>; what was there is replaced.
        objectives: which measurements are shown.
        trials: those that ended before.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, objectives: Sequence[Objective], trials: Iterable[Trial] = ()) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        shutil.rmtree(folder, ignore_errors=True)
        self._writer: Any = EventFileWriter(str(folder))
        self._objectives = tuple(objectives)
        self._best: dict[str, float] = {}
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Show a trial, at the step of its number; trials that measured nothing are not shown."""
        values = {}
        for objective in self._objectives:
            if not trial.completed or objective.name not in trial.measurements:
                continue
            value = trial.measurements[objective.name]
            best = self._best.get(objective.name, value)
            self._best[objective.name] = max(best, value) if objective.direction == "maximize" else min(best, value)
            values[f"trial/{objective.name}"] = value
            values[f"best/{objective.name}"] = self._best[objective.name]
        if values:
            scalars = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            summary = self._summary(value=scalars)
            self._writer.add_event(self._event(wall_time=time.time(), step=trial.number, summary=summary))

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
