"""What a running search shows: a bar with the best so far and the time left, or plain lines, or JSON.

Lines    piped output: a line for each trial and each tenth of a training
Bar      a terminal: one live line for each phase, a line above it for each new best
Objects  --json: every event as one object a line
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from nasengine.cli.console import complain, duration, emit, is_terminal, say
from nasengine.records import Trial
from nasengine.search.events import (
    Event,
    Note,
    PhaseEnded,
    PhaseSkipped,
    PhaseStarted,
    PreparationProgress,
    RunStarted,
    SearchProgress,
    TrainingEnded,
    TrainingProgress,
)
from nasengine.search.figures import number, plural
from nasengine.search.loop import SearchEvent
from nasengine.search.run_view import Run

LAST = 20  # epochs that say how long the others take
INTERRUPTED = "interrupted: waiting for the trials that run; Ctrl-C again does not wait"


class Watcher:
    """Follows the events of a run.

    `folder` is that of the run and `objectives` the measurements it is about, once it has started.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.objectives: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left on the screen."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.folder = event.folder
            strategy = Run(event.folder).strategy
            self.objectives = tuple(objective.name for objective in strategy.objectives)
        self.show(event)

    def show(self, event: Event) -> None:
        """Show an event."""
        emit(event.to_json())


class Pace:
    """How long the epochs of each training take: the median of the last ones, since the first also compiles."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def left(self, name: str, event: TrainingProgress | PreparationProgress) -> str:
        """How long the training of this name still takes, such as "20.0 s left"; empty at its end."""
        seconds = self._seconds.setdefault(name, deque(maxlen=LAST))
        seconds.append(event.seconds)
        left = median(seconds) * (event.epochs - event.epoch)
        return f"{duration(left)} left" if left else ""


class Lines(Watcher):
    """Plain lines."""

    def __init__(self) -> None:
        super().__init__()
        self.pace = Pace()

    def show(self, event: Event) -> None:
        match event:
            case SearchProgress():
                self.search(event)
            case TrainingProgress():
                self.training(event)
            case PreparationProgress():
                self.preparation(event)
            case _:
                text = describe(event)
                if text:
                    self.line(text)

    def line(self, text: str) -> None:
        """A line that stays."""
        say(text)

    def search(self, event: SearchProgress) -> None:
        """Something happened in a search."""
        progress = event.progress
        if progress.kind == "resumed":
            self.line(f"  {plural(progress.ended, 'trial')} known, {progress.asked - progress.ended} to run again")
        elif progress.kind == "interrupted":
            complain(INTERRUPTED)
        elif progress.kind == "ended" and progress.trial is not None:
            self.line("  " + self.trial(progress, progress.trial, event.best))

    def trial(self, progress: SearchEvent, trial: Trial, best: Trial | None) -> str:
        """A trial that ended, the best so far, and the time left."""
        of = "" if progress.trials is None else f"/{progress.trials}"
        parts = [f"{progress.ended}{of}", f"trial {trial.number}", trial.status]
        measured = trial.completed or trial.status == "stopped"
        if trial.reason:
            parts.append(trial.reason)
        if measured:
            parts.append(values(trial, self.objectives))
        if progress.same_as is not None:
            parts.append(f"same as trial {progress.same_as}")
        elif measured:
            parts.append(f"in {duration(progress.seconds)}")
        if best is not None and best.number != trial.number:
            parts.append(f"best {values(best, self.objectives[:1])} (trial {best.number})")
        left = time_left(progress)
        return ", ".join(parts) + (f"; {left} left" if left else "")

    def training(self, event: TrainingProgress) -> None:
        """An epoch of a training ended: every tenth of them is worth a line."""
        step = max(1, event.epochs // 10)
        if event.epoch % step == 0 or event.epoch == event.epochs:
            self.line(f"  {event.name}: epoch {event.epoch}/{event.epochs}, {shown(event.measurements)}")

    def preparation(self, event: PreparationProgress) -> None:
        """An epoch of a preparation ended: every tenth of them is worth a line."""
        step, left = max(1, event.epochs // 10), self.pace.left(event.phase, event)
        if event.epoch % step == 0 or event.epoch == event.epochs:
            shown_left = f"; {left}" if left else ""
            self.line(f"  epoch {event.epoch}/{event.epochs}, {shown(event.measurements)}{shown_left}")


class Bar(Lines):
    """A live line for the phase that runs, and above it what is worth keeping."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__()
        self._bar: Any = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(highlight=False, markup=False),
            transient=True,
        )
        self._task: Any = None
        self._shown = ""
        self._best: int | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        super().show(event)
        if isinstance(event, PhaseEnded | PhaseSkipped) and self._task is not None:
            self._bar.remove_task(self._task)
            self._task, self._shown = None, ""

    def line(self, text: str) -> None:
        self._bar.console.print(text, soft_wrap=True)

    def search(self, event: SearchProgress) -> None:
        progress, best = event.progress, event.best
        if progress.kind == "interrupted":
            self.line(INTERRUPTED)
        self._show(event.phase, progress.ended, progress.trials)
        told = f"best {values(best, self.objectives)} (trial {best.number})" if best else ""
        left = time_left(progress)
        self._bar.update(self._task, best=told, left=f"{left} left" if left else "")
        if progress.kind == "done":
            self._bar.refresh()
        if progress.kind == "ended" and progress.trial is not None:
            is_best = best is not None and best.number == progress.trial.number and best.number != self._best
            if is_best or progress.trial.status == "failed":
                self.line("  " + self.trial(progress, progress.trial, best))
            self._best = best.number if best else None

    def training(self, event: TrainingProgress) -> None:
        name = f"{event.phase} {event.name}"
        self._show(name, event.epoch, event.epochs)
        self._bar.update(self._task, best=shown(event.measurements), left=self.pace.left(name, event))

    def preparation(self, event: PreparationProgress) -> None:
        self._show(event.phase, event.epoch, event.epochs)
        self._bar.update(self._task, best=shown(event.measurements), left=self.pace.left(event.phase, event))

    def _show(self, name: str, done: int, of: int | None) -> None:
        if self._task is None:
            self._task = self._bar.add_task(name, total=of, best="", left="")
        elif self._shown != name:
            self._bar.reset(self._task, total=of, description=name, best="", left="")
        self._shown = name
        self._bar.update(self._task, completed=done)


def watcher(*, as_json: bool) -> Watcher:
    """What fits the output."""
    if as_json:
        return Watcher()
    return Bar() if is_terminal() else Lines()


def describe(event: Event) -> str:
    """One line for what is no progress; empty for what needs none."""
    match event:
        case RunStarted():
            going = "going on with" if event.resumed else "run"
            return f"{going} {event.folder}: {event.space} by {event.strategy} ({', '.join(event.phases)})"
        case PhaseStarted():
            return event.phase if event.phase == event.kind else f"{event.phase} ({event.kind})"
        case PhaseSkipped():
            return f"{event.phase}: {event.reason}"
        case PhaseEnded():
            return f"{event.phase} done in {duration(event.seconds)}: {event.summary}"
        case TrainingEnded():
            record = event.record
            came = shown(record["measurements"]) if record["status"] == "completed" else f"failed: {record['reason']}"
            return f"  {event.done}/{event.of}, {record['name']}: {came}"
        case Note():
            return f"note: {event.message}"
        case _:
            return ""


def values(trial: Trial, names: tuple[str, ...]) -> str:
    """The measurements of a trial that count."""
    return shown({name: trial.measurements[name] for name in names if name in trial.measurements})


def shown(measurements: Any) -> str:
    """name value, name value."""
    return ", ".join(f"{name} {number(value)}" for name, value in measurements.items())


def time_left(progress: SearchEvent) -> str:
    """How long the rest will take at the pace so far; empty before that can be said."""
    if progress.trials is None or not progress.ended or progress.ended >= progress.trials:
        return ""
    return duration(progress.elapsed_s / progress.ended * (progress.trials - progress.ended))
