"""What Optuna's samplers have in common as algorithms: a study that follows the search, acceptable candidates.

Each trial is asked of a fresh sampler, seeded by the run's seed and the trial's number, over a study in memory that
holds the trials told so far and those still running. So nothing is stored beside the journal: replaying it asks the
same samplers over the same studies, and a resumed run goes on exactly as the interrupted one would have (asking
again takes as long as asking did). Optuna is imported when an algorithm is made, see `optuna_study`.

How a space is laid out:
- A decision between at least three numbers is an integer: the place of the option in the order of their values, so
  that widths 16, 32, 64 are equally far apart. Every other one is categorical; a subset is one category of many.
- CMA-ES knows no categories: there each option has a real score, and the option with the largest is taken.
- TPE is asked for active decisions only. The others need one fixed space and are asked for all decisions. What an
  inactive one says builds nothing: NSGA-III hands it down silently, CMA-ES keeps what it drew, and the Gaussian
  process is told the first option, so that equal architectures are equal points.

What is proposed is always acceptable. A suggestion that breaks a relation or a priced constraint, or that was
proposed before, is withdrawn and another fresh sampler asked, five times in all (two for the Gaussian process, whose
maximum hardly depends on the seed). Then the last suggestion is mutated until it is new, up to 20 times; where no
mutant is acceptable, it is crossed with a sample of the domain, or that sample is proposed. Where nothing new was met,
the repeat is proposed: it costs nothing, since the engine reuses outcomes.

The first candidates are samples of the domain: they follow the space's weights and keep its constraints.
"""

from __future__ import annotations

import importlib
import importlib.util
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nasengine.algorithms.algorithm import Algorithm
from nasengine.errors import InputError, Problem
from nasengine.objectives import Constraint, Losses, Objective, losses
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space.decisions import Decision
from nasengine.space.domain import Domain
from nasengine.space.encoding import INACTIVE

if TYPE_CHECKING:  # for annotations alone: Optuna may be missing
    from optuna.samplers import BaseSampler

    from nasengine.algorithms.optuna_study import Axis, SamplerStudy, Suggestion

NEAR = 20  # mutations in a row, or samples, to find something new


class OptunaSampler(Algorithm):
    """What the four have in common: the study, the layout of the space, repeats and constraints.

    A trial whose objectives are measured is told as complete, with how far it is off each constraint of the search. A
    trial that failed, or was found infeasible without being measured, is told as if it had never been asked, unless a
    subclass knows better.
    """

    NAME: ClassVar[str]
    NEEDS: ClassVar[tuple[str, ...]] = ()  # packages beside Optuna
    ALL_DECISIONS: ClassVar[bool] = True  # whether inactive ones are asked for as well
    TRIES: ClassVar[int] = 5  # samplers asked for one trial
    STANDS: ClassVar[bool] = False  # whether a suggestion is told the outcome of what was proposed in its place

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int,
        constraints: Sequence[Constraint],
        startup: int,
        avoid_repeats: bool,
    ) -> None:
        super().__init__(domain, objectives, seed=seed)
        self.constraints = tuple(constraints)
        self.startup = self._at_least(1, startup=startup)
        self.avoid_repeats = avoid_repeats
        missing = [name for name in ("optuna", *self.NEEDS) if importlib.util.find_spec(name) is None]
        if missing:
            raise self._refused(f"needs {' and '.join(missing)}", "expected: pip install 'nasengine[samplers]'")
        self._library = importlib.import_module("nasengine.algorithms.optuna_study")
        self._decisions = domain.space.decisions
        self._axes: list[Axis] = [self._axis(decision) for decision in self._decisions]
        self._study: SamplerStudy = self._library.SamplerStudy(
            self._axes, len(self.objectives), self._sampler, joint=self._joint()
        )
        self._running: dict[int, int] = {}  # trial -> what the study calls it
        self._completed = 0
        self._proposed: set[Architecture] = set()

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """A fresh sampler."""

    def _joint(self) -> Sequence[Axis]:
        """What it draws together."""
        return self._axes

    def _axis(self, decision: Decision) -> Axis:
        made: Axis = self._library.Steps(decision) if is_ordered(decision) else self._library.Categories(decision)
        return made

    def ask(self, trial_number: int) -> Candidate:
        rng = self.generator(trial_number)
        suggested = self._suggested(rng)
        if self._completed < self.startup:
            architecture = self._drawn(rng)
            identity = self._study.replace(suggested.handle, self._point(architecture, suggested.options))
        else:
            for _ in range(self.TRIES - 1):
                if self._will_do(suggested.architecture):
                    break
                self._withdraw(suggested)
                suggested = self._suggested(rng)
            architecture = suggested.architecture
            if not self._will_do(architecture):
                architecture = self._nearby(architecture, rng)
            identity = self._held(suggested, architecture)
        self._running[trial_number] = identity
        self._proposed.add(architecture)
        return Candidate(architecture)

    def tell(self, trial: Trial) -> None:
        identity = self._running.pop(trial.number)
        off = self._off(trial.measurements)
        judged = trial.completed or (trial.status == "infeasible" and max(off.values(), default=0.0) > 0)
        if judged and all(objective.name in trial.measurements for objective in self.objectives):
            self._tell_measured(identity, trial, losses(trial.measurements, self.objectives), off)
            self._completed += 1
        else:
            self._tell_unmeasured(identity, trial)

    def _tell_measured(self, identity: int, trial: Trial, values: Losses, off: Mapping[str, float]) -> None:
        self._study.tell(identity, "COMPLETE", values, constraints=off)

    def _tell_unmeasured(self, identity: int, trial: Trial) -> None:
        self._study.tell(identity, "FAIL")

    def _suggested(self, rng: np.random.Generator) -> Suggested:
        """What a fresh sampler says; it may be unacceptable."""
        handle = self._study.ask(int(rng.integers(2**32)))
        options: list[int] = []
        row: list[int] = []
        for axis, decision in zip(self._axes, self._decisions, strict=True):
            active = decision.is_active(row)
            options.append(handle.option(axis) if active or self.ALL_DECISIONS else INACTIVE)
            row.append(options[-1] if active else INACTIVE)
        return Suggested(handle, options, self.domain.space.encoding.architecture(row))

    def _withdraw(self, suggested: Suggested) -> None:
        self._study.tell(suggested.handle.identity, "FAIL")

    def _held(self, suggested: Suggested, architecture: Architecture) -> int:
        """The running trial that is to be told this architecture's outcome."""
        point = self._point(architecture, suggested.options)
        if self.STANDS or point == suggested.handle.point:
            return suggested.handle.identity
        return self._study.replace(suggested.handle, point)

    def _point(self, architecture: Architecture, silent: Sequence[int]) -> dict[str, float]:
        """Where an architecture lies; `silent` are the options of the decisions that are inactive in it."""
        point: dict[str, float] = {}
        row = self.domain.space.encoding.row(architecture)
        for axis, taken, other in zip(self._axes, row, silent, strict=True):
            if taken >= 0:
                point |= axis.point(taken)
            elif self.ALL_DECISIONS:
                point |= axis.point(self._silent(other))
        return point

    def _silent(self, option: int) -> int:
        """What an inactive decision is told to have been."""
        return option

    def _is_acceptable(self, architecture: Architecture) -> bool:
        return self.domain.space.satisfies(architecture) and self.domain.accepts(architecture)

    def _is_new(self, architecture: Architecture) -> bool:
        return not self.avoid_repeats or architecture not in self._proposed

    def _will_do(self, architecture: Architecture) -> bool:
        return self._is_new(architecture) and self._is_acceptable(architecture)

    def _drawn(self, rng: np.random.Generator) -> Architecture:
        """A sample of the domain, new if some are."""
        for _ in range(NEAR):
            architecture = self.domain.sample(rng)
            if self._is_new(architecture):
                break
        return architecture

    def _nearby(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Something acceptable near a suggestion that will not do: its first new one of mutants in a row."""
        found = architecture if self._is_acceptable(architecture) else None
        last = architecture
        for _ in range(NEAR):
            mutant = self.domain.mutate(last, rng)
            if mutant is None:
                break
            if self._is_new(mutant):
                return mutant
            last = mutant
            found = mutant if found is None else found
        if found is not None:
            return found
        sample = self._drawn(rng)
        child = self.domain.crossover(architecture, sample, rng)
        return child if child is not None and self._is_acceptable(child) else sample

    def _off(self, measurements: Mapping[str, float]) -> dict[str, float]:
        """Constraint -> how far the measurement is off, as a share of the bound; not above 0 where it is kept."""
        found = {}
        for index, constraint in enumerate(self.constraints):
            value = measurements.get(constraint.name)
            ends = (
                []
                if value is None
                else [
                    sign * (value - bound) / (abs(bound) or 1.0)
                    for sign, bound in ((-1, constraint.low), (1, constraint.high))
                    if bound is not None
                ]
            )
            found[f"{index} {constraint.name}"] = max(ends, default=0.0)
        return found

    def _at_least(self, least: float, **setting: float) -> int:
        """The value of a setting given by name.

        Raises:
            InputError: it is too small.
        """
        ((name, value),) = setting.items()
        if value < least:
            raise self._refused(f"with {name} {value}", f"expected at least {least}")
        return int(value)

    def _between_0_and_1(self, **settings: float | None) -> None:
        for name, value in settings.items():
            if value is not None and not 0 <= value <= 1:
                raise self._refused(f"with {name} {value}", "expected a probability, 0 to 1")

    def _refused(self, what: str, expected: str) -> InputError:
        return InputError(Problem(f"{self.NAME} {what}", expected=expected))


@dataclass(frozen=True)
class Suggested:
    """What a sampler said: its trial in the study, an option for each decision asked for, and what that builds."""

    handle: Suggestion
    options: list[int]
    architecture: Architecture


def is_ordered(decision: Decision) -> bool:
    """Whether its options are numbers, enough of them for their order to mean something."""
    numbers = all(isinstance(option, (int, float)) and not isinstance(option, bool) for option in decision.options)
    return numbers and len(decision.options) >= 3
