"""A run on TensorBoard, a mirror of what its journal and its results say.

    RUN/tensorboard/<phase>             a search: the objectives of every trial and the best so far
    RUN/tensorboard/<phase>/trial-12    a trial's learning curve, where its evaluator tells one
    RUN/tensorboard/<phase>/<training>  that of a training of a retrain phase

Written again whenever a phase begins, so that kills leave no gap and resumptions nothing twice. Written with
TensorBoard's record writer (30 us a trial), not its event writer: that one has a thread, and waiting for it took 3 ms a
trial on a busy machine.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from nasengine.objectives import Objective
from nasengine.records import Trial

FLUSH_EVERY_S = 2.0
NOTHING: Mapping[str, Any] = {}


class Board:
    """The writing end of a search phase.

    Args:
        folder: RUN/tensorboard/<phase>; what was there is replaced.
        objectives: which measurements are shown.
        trials: those that ended before.
        details: what their results tell beside, by trial number; a learning curve is its `curve`.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(
        self,
        folder: Path,
        objectives: Sequence[Objective],
        trials: Iterable[Trial] = (),
        details: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._events = _Events(folder)
        self._objectives = tuple(objectives)
        self._best: dict[str, float] = {}
        for trial in trials:
            self.add(trial, (details or {}).get(trial.number, NOTHING))

    def add(self, trial: Trial, details: Mapping[str, Any] = NOTHING) -> None:
        """Show a trial, at the step of its number; trials that measured nothing are not shown.

        One stopped under a part of its budget is shown apart: it compares with its like only.
        """
        values = {}
        for objective in self._objectives:
            if trial.status not in ("completed", "stopped") or objective.name not in trial.measurements:
                continue
            value = trial.measurements[objective.name]
            if not trial.completed:
                values[f"stopped/{objective.name}"] = value
                continue
            best = self._best.get(objective.name, value)
            self._best[objective.name] = max(best, value) if objective.direction == "maximize" else min(best, value)
            values[f"trial/{objective.name}"] = value
            values[f"best/{objective.name}"] = self._best[objective.name]
        if values:
            self._events.add(trial.number, values)
        if details:
            _show_curve(self._folder / f"trial-{trial.number}", details.get("curve"))

    def close(self) -> None:
        """Write out what is left."""
        self._events.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Curves:
    """The writing end of a retrain phase: one learning curve a training, growing while it is trained here.

    Args:
        folder: RUN/tensorboard/<phase>; what was there is replaced.
        known: name -> curve of the trainings that ended before.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, known: Mapping[str, Sequence[Mapping[str, Any]]] = NOTHING) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._growing: dict[str, _Events] = {}
        _event_types()  # says now if TensorBoard is missing
        for name, curve in known.items():
            _show_curve(folder / name, curve)

    def grow(self, name: str, point: Mapping[str, Any]) -> None:
        """Show an epoch of a training that goes on."""
        if name not in self._growing:
            self._growing[name] = _Events(self._folder / name)
        _show_point(self._growing[name], point)

    def ended(self, name: str, curve: Sequence[Mapping[str, Any]]) -> None:
        """Show a training that ended: all of it, also what other processes trained before."""
        if name in self._growing:
            self._growing.pop(name).close()
        shutil.rmtree(self._folder / name, ignore_errors=True)
        _show_curve(self._folder / name, curve)

    def close(self) -> None:
        """Write out what is left."""
        for events in self._growing.values():
            events.close()
        self._growing.clear()


def _show_curve(folder: Path, curve: object) -> None:
    """Write a learning curve into a folder of its own; anything but a list of points with epochs is passed over."""
    points = [point for point in curve if _is_point(point)] if isinstance(curve, (list, tuple)) else []
    if not points:
        return
    events = _Events(folder)
    for point in points:
        _show_point(events, point)
    events.close()


def _show_point(events: _Events, point: Mapping[str, Any]) -> None:
    values = {
        f"training/{name}": float(value)
        for name, value in point.items()
        if name != "epoch" and isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    events.add(int(point["epoch"]), values)


def _is_point(point: object) -> bool:
    return isinstance(point, Mapping) and isinstance(point.get("epoch"), (int, float))


class _Events:
    """One file of events, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = _event_types()
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        # TensorBoard knows its files by this name.
        self._writer: Any = RecordWriter(open(folder / f"events.out.tfevents.{int(now)}.{os.getpid()}", "wb"))  # noqa: SIM115
        self._writer.write(self._event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        self._flushed = now

    def add(self, step: int, values: Mapping[str, float]) -> None:
        scalars = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        now = time.time()
        event = self._event(wall_time=now, step=step, summary=self._summary(value=scalars))
        self._writer.write(event.SerializeToString())
        if now - self._flushed >= FLUSH_EVERY_S:
            self._writer.flush()
            self._flushed = now

    def close(self) -> None:
        self._writer.close()


def _event_types() -> tuple[Any, Any]:
    """TensorBoard's Event and Summary."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event, Summary
