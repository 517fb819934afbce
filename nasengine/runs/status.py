"""What a run is doing, or did: read from its journal alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasengine.objectives import best_first, parse_objectives
from nasengine.records import STATUSES, Trial
from nasengine.runs.folder import lock_holder, not_a_run
from nasengine.runs.journal import History, read_journal


@dataclass(frozen=True)
class PhaseStatus:
    """Where one phase stands.

    Args:
        name: of the phase.
        asked: how many trials were begun.
        counts: status -> how many trials ended so.
        running: trials begun, outcome unknown.
        reused: trials that took the outcome of an equal earlier one.
        failed, infeasible: (trial, reason).
        best: completed trials, best first, then those stopped early, at most ten.
        elapsed_s: wall time up to the last outcome, all resumptions together.
        tracebacks: failed trial -> its traceback, of those that left one.
    """

    name: str
    asked: int
    counts: Mapping[str, int]
    running: tuple[int, ...]
    reused: int
    failed: tuple[tuple[int, str], ...]
    infeasible: tuple[tuple[int, str], ...]
    best: tuple[Trial, ...]
    elapsed_s: float
    tracebacks: Mapping[int, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "asked": self.asked,
            "counts": dict(self.counts),
            "running": list(self.running),
            "reused": self.reused,
            "failed": [
                {"trial": trial, "reason": reason, "traceback": self.tracebacks.get(trial)}
                for trial, reason in self.failed
            ],
            "infeasible": [{"trial": trial, "reason": reason} for trial, reason in self.infeasible],
            "best": [
                {
                    "trial": trial.number,
                    "architecture": trial.architecture.to_json(),
                    "measurements": dict(trial.measurements),
                }
                for trial in self.best
            ],
            "elapsed_s": self.elapsed_s,
        }


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands; `writer` is the pid of the process that is writing it now, None if nobody is."""

    folder: Path
    space: str
    objectives: Mapping[str, str]
    seed: int
    lag: int
    writer: int | None
    phases: tuple[PhaseStatus, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "space": self.space,
            "objectives": dict(self.objectives),
            "seed": self.seed,
            "lag": self.lag,
            "writer": self.writer,
            "phases": [phase.to_json() for phase in self.phases],
        }


def status(folder: Path | str) -> RunStatus:
    """Read where a run stands; safe while it is being written.

    Raises:
        RunError: the folder is not a run, or its journal is damaged.
    """
    folder = Path(folder)
    if folder.is_file():
        raise not_a_run(folder, "is a file")
    contents = read_journal(folder)
    header = contents.header
    return RunStatus(
        folder,
        header.space,
        header.objectives,
        header.seed,
        header.lag,
        lock_holder(folder),
        tuple(_phase_status(name, history, header.objectives) for name, history in contents.phases.items()),
    )


def _phase_status(name: str, history: History, directions: Mapping[str, str]) -> PhaseStatus:
    objectives = parse_objectives(directions)
    trials = history.trials
    measured = [trial for trial in trials if all(objective.name in trial.measurements for objective in objectives)]
    return PhaseStatus(
        name,
        len(history.asked),
        {word: sum(trial.status == word for trial in trials) for word in STATUSES},
        tuple(record.trial for record in history.asked if record.trial not in history.finished),
        sum(record.same_as is not None for record in history.asked),
        tuple((trial.number, trial.reason) for trial in trials if trial.status == "failed"),
        tuple((trial.number, trial.reason) for trial in trials if trial.status == "infeasible"),
        tuple(best_first(measured, objectives)[:10]),
        history.elapsed_s,
        {
            trial: result.details["traceback"]
            for trial, result in history.finished.items()
            if result.status == "failed" and isinstance(result.details.get("traceback"), str)
        },
    )
