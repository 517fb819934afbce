"""A run's journal as Optuna studies in memory, one a search phase, kept up with a run that goes on.

The journal is read and never written; what is changed in a study is forgotten with it. A trial appears when it is
asked and gets its outcome when that is known.

    ours                                   Optuna's
    completed                              COMPLETE
    infeasible, objectives measured        COMPLETE, with a broken constraint
    stopped at a part of its budget        PRUNED, the first objective as its value at that step
    failed, or infeasible without them     FAIL
    running; asked and to be run again     RUNNING; WAITING

The dashboard reads all trials of a study at once, so a phase with more than `most` of them is mirrored in part: the
best half and the last half of that many, with a note in the study. What comes later is added all the same.
"""

from __future__ import annotations

import datetime
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from nasengine.algorithms.optuna_study import quietly
from nasengine.objectives import Objective, parse_objectives, rank_trials
from nasengine.records import WHOLE, Result
from nasengine.runs import JOURNAL_NAME, History, read_journal
from nasengine.runs.entries import Asked, Header
from nasengine.runs.folder import lock_holder

NUMBERS = 3  # so many different numbers are an axis, fewer are words


class Mirror:
    """The studies of one run; `storage` holds them, `update` takes in what the journal holds by now.

    Args:
        folder: of the run.
        most: trials of a phase that are mirrored at first.

    Raises:
        RunError: the folder is no run, or its journal is damaged.
    """

    def __init__(self, folder: Path, *, most: int) -> None:
        self.storage = InMemoryStorage()
        self._folder = folder
        self._most = most
        self._seen: tuple[int, int] | None = None
        self._studies: dict[str, _Study] = {}
        self.update()

    def update(self) -> float:
        """Take in what is new; returns how many seconds that took, for a caller that decides when to ask again."""
        began = time.monotonic()
        path = self._folder / JOURNAL_NAME
        if path.is_file():
            found = path.stat()
            seen = (found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return 0.0
            self._seen = seen
        contents = read_journal(self._folder)
        writer = lock_holder(self._folder)
        with quietly():
            for phase, history in contents.phases.items():
                if phase not in self._studies:
                    epoch = datetime.datetime.fromtimestamp(path.stat().st_mtime - history.elapsed_s)
                    self._studies[phase] = _Study(
                        self.storage, contents.header, self._folder.name, phase, epoch, self._most
                    )
                self._studies[phase].update(history, running=writer is not None)
        return time.monotonic() - began

    @property
    def notes(self) -> list[str]:
        """What of the run is not mirrored, one line a phase."""
        return [study.note for study in self._studies.values() if study.note]


class _Study:
    """The study of one search phase."""

    def __init__(
        self, storage: InMemoryStorage, header: Header, run: str, phase: str, epoch: datetime.datetime, most: int
    ) -> None:
        self._storage = storage
        self._objectives = parse_objectives(header.objectives)
        self._axes = {path: _Axis(options) for path, options in header.choices.items()}
        self._epoch = epoch  # when the phase began, had it never been interrupted
        self._most = most
        self._open: dict[int, int] = {}  # trial without an outcome -> the study's
        self._next = 0  # of the asked records
        self.note = ""
        name = f"{run}/{phase}"
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[objective.direction for objective in self._objectives],
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
        )
        self._study_id = storage.get_study_id_from_name(name)
        self._study.set_metric_names([objective.name for objective in self._objectives])
        for key, value in {"space": header.space, "seed": header.seed, "lag": header.lag}.items():
            self._study.set_user_attr(key, value)

    def update(self, history: History, *, running: bool) -> None:
        asked = history.asked  # one record a trial, by number
        for number in [number for number in self._open if number in history.finished]:
            self._end(self._open.pop(number), asked[number], history.finished[number])
        fresh: Sequence[Asked] = asked[self._next :]
        if self._next == 0 and len(fresh) > self._most:
            fresh = self._selected(history)
        for record in fresh:
            result = history.finished.get(record.trial)
            trial = self._trial(record, result, history.ended_s.get(record.trial), running=running)
            identity = self._storage.create_new_trial(self._study_id, trial)
            if result is None:
                self._open[record.trial] = identity
        self._next = len(asked)

    def _selected(self, history: History) -> list[Asked]:
        """The best, the last, and all without an outcome."""
        asked = history.asked
        best = rank_trials(history.trials, self._objectives)[: self._most // 2]
        last = [record.trial for record in asked[-(self._most // 2) :]]
        kept = {trial.number for trial in best} | set(last)
        kept |= {record.trial for record in asked if record.trial not in history.finished}
        self.note = (
            f"{self._study.study_name}: the best {len(best)} and the last {len(last)} of {len(asked)} trials are shown"
        )
        self._study.set_user_attr("shown", self.note)
        return [record for record in asked if record.trial in kept]

    def _trial(self, record: Asked, result: Result | None, ended_s: float | None, *, running: bool) -> FrozenTrial:
        architecture = record.candidate.architecture
        about: dict[str, Any] = {"trial": record.trial}
        about |= {"parents": list(record.candidate.parents)} if record.candidate.parents else {}
        about |= {} if record.same_as is None else {"same_as": record.same_as}
        about |= {} if record.resumes is None else {"resumes": record.resumes}
        about |= {f"budget_{unit}": amount for unit, amount in record.budget.items()}
        trial = FrozenTrial(
            number=-1,  # given by the storage, as is the next
            trial_id=-1,
            state=TrialState.RUNNING if running else TrialState.WAITING,
            value=None,
            datetime_start=datetime.datetime.now(),
            datetime_complete=None,
            params={path: self._axes[path].value(option) for path, option in architecture.items()},
            distributions={path: self._axes[path].distribution for path in architecture},
            user_attrs=about,
            system_attrs={},
            intermediate_values={},
        )
        if result is not None:
            outcome = _outcome(result, record.budget, self._objectives)
            trial.state, trial.intermediate_values = outcome.state, outcome.steps
            trial.user_attrs, trial.system_attrs = about | outcome.about, outcome.constraints
            if outcome.values is not None:
                trial.values = outcome.values
            trial.datetime_complete = self._epoch + datetime.timedelta(seconds=ended_s or 0.0)
            trial.datetime_start = trial.datetime_complete - datetime.timedelta(seconds=result.seconds)
        return trial

    def _end(self, identity: int, record: Asked, result: Result) -> None:
        """Give a trial that is shown without an outcome its own."""
        outcome = _outcome(result, record.budget, self._objectives)
        for name, value in outcome.about.items():
            self._storage.set_trial_user_attr(identity, name, value)
        for name, value in outcome.constraints.items():
            self._storage.set_trial_system_attr(identity, name, value)
        for step, value in outcome.steps.items():
            self._storage.set_trial_intermediate_value(identity, step, value)
        self._storage.set_trial_state_values(identity, outcome.state, outcome.values)


class _Axis:
    """A choice as a distribution: whole numbers and other numbers keep their scale, anything else is a word."""

    def __init__(self, options: Sequence[Any]) -> None:
        numbers = [option for option in options if isinstance(option, (int, float)) and not isinstance(option, bool)]
        self._is_number = len(numbers) == len(options) >= NUMBERS
        texts = {option if isinstance(option, str) else json.dumps(option) for option in options}
        self._is_quoted = len(texts) < len(options)  # 1 and "1" both
        self.distribution: BaseDistribution
        if not self._is_number:
            self.distribution = CategoricalDistribution([self.value(option) for option in options])
        elif all(isinstance(option, int) for option in options):
            low, high = min(options), max(options)
            self.distribution = IntDistribution(low, high, step=math.gcd(*(option - low for option in options)))
        else:
            self.distribution = FloatDistribution(min(options), max(options))

    def value(self, option: Any) -> Any:
        plain = self._is_number or (isinstance(option, str) and not self._is_quoted)
        return option if plain else json.dumps(option)


@dataclass(frozen=True)
class _Outcome:
    """What a trial ends with, in Optuna's words."""

    state: TrialState
    values: list[float] | None = None
    steps: dict[int, float] = field(default_factory=dict)
    constraints: dict[str, Any] = field(default_factory=dict)  # as an attribute of the trial
    about: dict[str, Any] = field(default_factory=dict)


def _outcome(result: Result, budget: Mapping[str, float], objectives: Sequence[Objective]) -> _Outcome:
    names = [objective.name for objective in objectives]
    measured = all(name in result.measurements for name in names)
    values = [result.measurements[name] for name in names] if measured else None
    about: dict[str, Any] = {"status": result.status, "seconds": round(result.seconds, 3)}
    about |= {"reason": result.reason} if result.reason else {}
    about |= {name: value for name, value in result.measurements.items() if name not in names or not measured}
    match result.status:
        case "completed" if values is not None:
            return _Outcome(TrialState.COMPLETE, values, about=about)
        case "infeasible" if values is not None:
            return _Outcome(TrialState.COMPLETE, values, constraints={"constraints": [1.0]}, about=about)
        case "stopped":
            about |= {} if values is None else dict(zip(names, values, strict=True))
            return _Outcome(TrialState.PRUNED, steps=_step(budget, values), about=about)
    return _Outcome(TrialState.FAIL, about=about)


def _step(budget: Mapping[str, float], values: Sequence[float] | None) -> dict[int, float]:
    """How far a stopped trial came -> its first objective; nothing where the budget has no length."""
    lengths = [budget[unit] for unit in budget if f"{WHOLE}{unit}" in budget]
    return {round(lengths[0]): values[0]} if lengths and values is not None else {}
