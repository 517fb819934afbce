"""A search on TensorBoard: the objectives of every trial and the best so far, in RUN/tensorboard/<phase>.

A mirror of the journal, written again from the journal whenever a phase begins, so that kills leave no gap and
resumptions no trial twice. Written with TensorBoard's record writer (30 us a trial), not its event writer: that one
has a thread, and waiting for it took 3 ms a trial on a busy machine.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from nasengine.objectives import Objective
from nasengine.records import Trial

FLUSH_EVERY_S = 2.0


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
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        now = time.time()
        # TensorBoard knows its files by this name.
        self._writer: Any = RecordWriter(open(folder / f"events.out.tfevents.{int(now)}.{os.getpid()}", "wb"))  # noqa: SIM115
        self._writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        self._flushed = now
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
            now = time.time()
            event = self._event(wall_time=now, step=trial.number, summary=self._summary(value=scalars))
            self._writer.write(event.SerializeToString())
            if now - self._flushed >= FLUSH_EVERY_S:
                self._writer.flush()
                self._flushed = now

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
