"""What a run tells whoever watches: a progress display, a log, a script that reads `--json`.

Events are frozen, come in order and in the thread of the run, and are never needed for the run itself. `to_json`
gives one flat line of plain values each, told apart by `event`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from nasengine.records import Trial
from nasengine.search.loop import SearchEvent


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run's folder is there and locked; nothing has been measured by this process yet.

    Args:
        folder: of the run.
        space, strategy: their names.
        phases: names of the phases, in order.
        resumed: something of it had been done before.
    """

    folder: Path
    space: str
    strategy: str
    phases: tuple[str, ...]
    resumed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "run_started",
            "folder": str(self.folder),
            "space": self.space,
            "strategy": self.strategy,
            "phases": list(self.phases),
            "resumed": self.resumed,
        }


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase begins, or goes on; `kind` is prepare, search or retrain."""

    phase: str
    kind: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "phase_started", "phase": self.phase, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class PhaseSkipped:
    """A phase had been finished before, or does not apply; `reason` in one line."""

    phase: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "phase_skipped", "phase": self.phase, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Something happened in a search.

    Args:
        phase: which.
        progress: what, as the search loop reports it.
        best: the best completed trial so far by the first objective; None before there is one.
        front: how many trials are on the Pareto front.
    """

    phase: str
    progress: SearchEvent
    best: Trial | None = None
    front: int = 0

    def to_json(self) -> dict[str, Any]:
        told = self.progress
        return {
            "event": f"search_{told.kind}",
            "phase": self.phase,
            "asked": told.asked,
            "ended": told.ended,
            "told": told.told,
            "running": told.running,
            "trials": told.trials,
            "elapsed_s": round(told.elapsed_s, 3),
            **({"trial": trial_json(told.trial), "seconds": round(told.seconds, 3)} if told.trial else {}),
            **({"same_as": told.same_as} if told.same_as is not None else {}),
            **({"best": self.best.number, "front": self.front} if self.best else {}),
        }


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """An epoch of a retraining ended.

    Args:
        phase, name: which training of which phase.
        epoch, epochs: how far it is.
        measurements: of this epoch, such as the training loss; never of the test part.
        seconds: that this epoch took.
    """

    phase: str
    name: str
    epoch: int
    epochs: int
    measurements: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "retrain_progress",
            "phase": self.phase,
            "name": self.name,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "measurements": dict(self.measurements),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class PreparationProgress:
    """An epoch of a prepare phase ended.

    Args:
        phase: which.
        epoch, epochs: how far it is.
        measurements: of this epoch, such as the training loss.
        seconds: that this epoch took.
    """

    phase: str
    epoch: int
    epochs: int
    measurements: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "prepare_progress",
            "phase": self.phase,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "measurements": dict(self.measurements),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class TrainingEnded:
    """A retraining ended, well or badly; `record` is its line in results.jsonl."""

    phase: str
    done: int
    of: int
    record: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"event": "retrain_ended", "phase": self.phase, "done": self.done, "of": self.of, **self.record}


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """A phase is done; `summary` in one line."""

    phase: str
    seconds: float
    summary: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "phase_ended",
            "phase": self.phase,
            "seconds": round(self.seconds, 3),
            "summary": self.summary,
        }


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know that is no error."""

    message: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "note", "message": self.message}


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Every phase is done."""

    folder: Path

    def to_json(self) -> dict[str, Any]:
        return {"event": "run_ended", "folder": str(self.folder)}


Event: TypeAlias = (
    RunStarted
    | PhaseStarted
    | PhaseSkipped
    | SearchProgress
    | TrainingProgress
    | PreparationProgress
    | TrainingEnded
    | PhaseEnded
    | Note
    | RunEnded
)
OnEvent: TypeAlias = Callable[[Event], None]


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as plain values; its budget if it is not that of the phase, and what it went on with, if anything."""
    candidate = trial.candidate
    own = {} if candidate.budget is None else {"budget": dict(candidate.budget)}
    resumed = {} if candidate.resumes is None else {"resumes": candidate.resumes}
    return {
        "number": trial.number,
        "status": trial.status,
        "measurements": dict(trial.measurements),
        "reason": trial.reason,
        "architecture": trial.architecture.to_json(),
        **own,
        **resumed,
    }
