"""A run as one looks at it afterwards, or while it runs: read from its folder, never from live objects."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasengine.errors import InputError, NotARunError, Problem, RunError, nearest
from nasengine.evaluators import load_plugins
from nasengine.objectives import best_first, pareto_front
from nasengine.records import Architecture, Trial
from nasengine.registry import find_modules_in
from nasengine.runs import JOURNAL_NAME, Contents, History, RunStatus, read_journal, status
from nasengine.search.language.settings import RetrainPhase, SearchPhase, Strategy
from nasengine.search.retrained import Retrained, Spread, read_results, retrain_phases, spreads
from nasengine.search.run_file import RunSettings, read_run_file, settings_of_run
from nasengine.space import SearchSpace
from nasengine.wording import in_words


@dataclass(frozen=True)
class Found:
    """An architecture that a run has found.

    Args:
        run: which run.
        architecture: what was found.
        trial: of the search; None if it was named and not searched.
        retrained: its trainings, all seeds, the first one's weights being those that are exported.
    """

    run: Run
    architecture: Architecture
    trial: Trial | None = None
    retrained: tuple[Retrained, ...] = ()

    @property
    def weights(self) -> Path | None:
        """The file of the weights of its first completed training; None if it was not retrained."""
        return next((record.weights for record in self.retrained if record.completed), None)

    @property
    def measurements(self) -> dict[str, float]:
        """What the search measured, then what the first completed training did (test_…, validation_…)."""
        searched = dict(self.trial.measurements) if self.trial else {}
        trained = next((dict(record.measurements) for record in self.retrained if record.completed), {})
        return {**searched, **trained}

    @property
    def spreads(self) -> dict[str, Spread]:
        """Each measurement of the trainings over their seeds: n, mean, standard deviation."""
        return spreads(self.retrained)


class Run:
    """A run's folder, read when asked; `trials`, `best` and the rest are those at that moment.

    Args:
        folder: of the run.

    Raises:
        RunError: the folder is no run.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = _path(folder)
        self._content: Mapping[str, Any] = read_run_file(self.folder)
        self._read: tuple[tuple[int, int], Contents] | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @functools.cached_property
    def settings(self) -> RunSettings:
        """What the run was begun with; its plug-ins are loaded."""
        plugins, folders = self._content.get("plugins") or (), self._content.get("plugin_folders") or ()
        find_modules_in(folders)
        try:
            load_plugins(plugins)
        except InputError as error:
            where = f", found in {', '.join(folders)}" if folders else ""
            needs = Problem(f"{self.folder} was begun with --plugin {' --plugin '.join(plugins)}{where}")
            raise InputError([*error.problems, needs]) from error
        return settings_of_run(self.folder)

    @property
    def space(self) -> SearchSpace:
        return self.settings.space

    @property
    def strategy(self) -> Strategy:
        return self.settings.strategy

    @property
    def status(self) -> RunStatus:
        """What is running, done, failed and why."""
        return status(self.folder)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial of the last search phase whose outcome is known, by number."""
        phases = [phase.name for phase in self.strategy.phases if isinstance(phase, SearchPhase)]
        return self.trials_of(phases[-1]) if phases else ()

    def trials_of(self, phase: str) -> tuple[Trial, ...]:
        """Every trial of this search phase whose outcome is known, by number."""
        return self.history_of(phase).trials

    def history_of(self, phase: str) -> History:
        """What the journal holds of this search phase now: what was asked, what ended, when."""
        contents = self._journal()
        return History() if contents is None else contents.history(phase)

    def _journal(self) -> Contents | None:
        """The journal as it is now; read again only when it has grown. None before the run began to write it."""
        path = self.folder / JOURNAL_NAME
        if not path.is_file():
            return None
        seen = path.stat()
        if self._read is None or self._read[0] != (seen.st_size, seen.st_mtime_ns):
            self._read = ((seen.st_size, seen.st_mtime_ns), read_journal(path))
        return self._read[1]

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The completed trials, best first, then those stopped early, each architecture once by its largest budget:
        what a retrain phase takes the first of.
        """
        return tuple(best_first(self.trials, self.strategy.objectives))

    @property
    def front(self) -> tuple[Trial, ...]:
        """The completed trials that no other one beats in every objective."""
        return pareto_front(self.trials, self.strategy.objectives)

    @property
    def retrained(self) -> tuple[Retrained, ...]:
        """Every training of the retrain phases that ended, phase by phase, best architecture first."""
        names = [phase.name for phase in self.strategy.phases if isinstance(phase, RetrainPhase)]
        phases = dict.fromkeys((*names, *retrain_phases(self.folder)))
        return tuple(record for phase in phases for record in read_results(self.folder, phase))

    @property
    def best(self) -> Found:
        """The architecture that the run ends with.

        Chosen by the search, never by the test part: the first that the last retrain phase trained of what the search
        found; where no phase did, the best completed trial; where nothing was searched, the first that was trained.

        Raises:
            RunError: no trial has completed yet.
        """
        names = [phase.name for phase in self.strategy.phases if isinstance(phase, RetrainPhase)]
        completed = [record for name in reversed(names) for record in self._completed(name)]
        searched = [record for record in completed if record.trial is not None]
        ranked = self.ranked
        if searched or (completed and not ranked):
            first = (searched or completed)[0]
            return self._found(first.architecture, first.trial, first.phase)
        if not ranked:
            raise RunError(f"{self.folder} has found nothing yet: no trial has completed")
        return Found(self, ranked[0].architecture, ranked[0])

    def _completed(self, phase: str) -> list[Retrained]:
        """The trainings of a retrain phase that completed, best architecture and first seed first."""
        records = [record for record in read_results(self.folder, phase) if record.completed]
        return sorted(records, key=lambda record: (record.rank, record.repeat))

    def find(self, wanted: int | str | Mapping[str, Any]) -> Found:
        """An architecture of the run's space, with what the run knows of it.

        Args:
            wanted: number of a trial, "known.NAME", "trial.NUMBER", or choice -> option.

        Raises:
            InputError: no such trial or known architecture, or an incomplete one.
        """
        if isinstance(wanted, Mapping):
            return self._found(self.space.architecture(wanted), None)
        word = f"trial.{wanted}" if isinstance(wanted, int) or str(wanted).isdecimal() else str(wanted)
        kind, _, name = word.partition(".")
        if kind == "trial" and name.isdecimal():
            for trial in self.trials:
                if trial.number == int(name):
                    return self._found(trial.architecture, trial.number)
            last = len(self.trials) - 1
            expected = f"expected 0 to {last}" if last >= 0 else "expected choice -> option, as nothing was measured"
            raise InputError(Problem(f"there is no trial {name} in {self.folder}", expected=expected))
        if kind == "known" and name in self.space.known:
            return self._found(self.space.known[name].architecture, None)
        known = [f"known.{name}" for name in self.space.known]
        expected = f"expected {', '.join(['the number of a trial', *known])}{nearest(wanted, known)}"
        raise InputError(Problem(f"{wanted!r} names no architecture", expected=expected))

    def _found(self, architecture: Architecture, number: int | None, phase: str | None = None) -> Found:
        trial = next(
            (
                trial
                for trial in self.trials
                if (trial.number == number if number is not None else trial.architecture == architecture)
            ),
            None,
        )
        records = [record for record in self.retrained if record.architecture == architecture]
        # The last phase that trained it comes first, the seeds of a phase in their order.
        phases = list(dict.fromkeys(record.phase for record in records))
        if phase is not None:
            phases = [phase]
        chosen = phases[-1:] if phases else []
        return Found(self, architecture, trial, tuple(record for record in records if record.phase in chosen))


def _path(folder: Any) -> Path:
    if isinstance(folder, str | os.PathLike):
        return Path(folder)
    raise NotARunError(Problem(f"a run is a folder, got {in_words(folder)}", expected="expected the folder of a run"))
