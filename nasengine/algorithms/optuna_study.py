"""An Optuna study in memory that follows one search: every trial is asked of a sampler made for it alone.

This is the only module beside the dashboard that imports Optuna, and it is imported when an algorithm needs it, so
that everything else works on a machine without Optuna. Nothing is written to a file and nothing is logged.
"""

from __future__ import annotations

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIIISampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from nasengine.space.decisions import Decision

Point = Mapping[str, float]  # what a sampler chose, parameter -> value
SHARED = "relative_params"  # in the names of attributes that say what a running trial is about to be asked


class Axis(ABC):
    """How one decision is laid out for a sampler: which parameters it has, and which option they mean."""

    def __init__(self, decision: Decision) -> None:
        self.path = decision.path
        self.size = len(decision.options)

    @property
    @abstractmethod
    def parameters(self) -> dict[str, BaseDistribution]:
        """Name -> distribution."""

    @abstractmethod
    def suggest(self, trial: Trial) -> dict[str, float]:
        """Ask a trial for its parameters."""

    @abstractmethod
    def option(self, point: Point) -> int:
        """The index of the option that these values mean."""

    @abstractmethod
    def point(self, option: int) -> dict[str, float]:
        """Values that mean this option."""


class Categories(Axis):
    """One categorical parameter: no option is nearer to one than to another."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self._distribution = CategoricalDistribution(range(self.size))

    @property
    def parameters(self) -> dict[str, BaseDistribution]:
        return {self.path: self._distribution}

    def suggest(self, trial: Trial) -> dict[str, float]:
        return {self.path: trial.suggest_categorical(self.path, range(self.size))}

    def option(self, point: Point) -> int:
        return int(point[self.path])

    def point(self, option: int) -> dict[str, float]:
        return {self.path: option}


class Steps(Axis):
    """One integer parameter: the place of the option among all, in the order of their values."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self._options = sorted(range(self.size), key=lambda i: decision.options[i])  # place -> option
        self._places = {option: place for place, option in enumerate(self._options)}
        self._distribution = IntDistribution(0, self.size - 1)

    @property
    def parameters(self) -> dict[str, BaseDistribution]:
        return {self.path: self._distribution}

    def suggest(self, trial: Trial) -> dict[str, float]:
        return {self.path: trial.suggest_int(self.path, 0, self.size - 1)}

    def option(self, point: Point) -> int:
        return self._options[int(point[self.path])]

    def point(self, option: int) -> dict[str, float]:
        return {self.path: self._places[option]}


class Scores(Axis):
    """One real parameter an option, between 0 and 1; the option with the largest is taken."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self._names = [f"{self.path}[{i}]" for i in range(self.size)]

    @property
    def parameters(self) -> dict[str, BaseDistribution]:
        return {name: FloatDistribution(0.0, 1.0) for name in self._names}

    def suggest(self, trial: Trial) -> dict[str, float]:
        return {name: trial.suggest_float(name, 0.0, 1.0) for name in self._names}

    def option(self, point: Point) -> int:
        scores = [point[name] for name in self._names]
        return scores.index(max(scores))

    def point(self, option: int) -> dict[str, float]:
        return {name: float(i == option) for i, name in enumerate(self._names)}


class Suggestion:
    """A trial of the study that is being asked; what has been suggested so far is its `point`."""

    def __init__(self, trial: Trial, identity: int) -> None:
        self._trial = trial
        self.identity = identity
        self.point: dict[str, float] = {}
        _ = trial.relative_params  # drawn here: some samplers note in the trial what it is for while they draw

    def option(self, axis: Axis) -> int:
        """The sampler's choice for a decision."""
        self.point |= axis.suggest(self._trial)
        return axis.option(self.point)


class SamplerStudy:
    """The trials of one search as Optuna's samplers see them. All values are losses: smaller is better.

    Args:
        axes: of all decisions.
        objectives: how many values a trial has.
        make_sampler: a fresh sampler with this seed.
        joint: the axes that a `KnownSpace` draws together; every trial must have them.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        objectives: int,
        make_sampler: Callable[[int], BaseSampler],
        *,
        joint: Sequence[Axis],
    ) -> None:
        self._distributions = {name: found for axis in axes for name, found in axis.parameters.items()}
        self._make_sampler = make_sampler
        found = {name: space for axis in joint for name, space in axis.parameters.items() if not space.single()}
        self._joint = dict(sorted(found.items()))
        self._storage = InMemoryStorage()
        with quietly():
            self._study = optuna.create_study(
                storage=self._storage,
                study_name="search",
                directions=["minimize"] * objectives,
                sampler=RandomSampler(seed=0),  # replaced before it is asked
            )
        self._study_id = self._storage.get_study_id_from_name("search")

    def ask(self, seed: int) -> Suggestion:
        """A new running trial, to be asked of a fresh sampler."""
        with quietly():
            sampler = self._make_sampler(seed)
            if isinstance(sampler, KnownSpace):
                sampler.joint = self._joint
            self._study.sampler = sampler
            trial = self._study.ask()
            identity = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
            return Suggestion(trial, identity)

    def replace(self, suggestion: Suggestion, point: Point) -> int:
        """Give a trial up for one at another point that keeps its place in the sampler's plans (its generation).

        Returns: what the new trial is called in `tell`.
        """
        attributes = self._storage.get_trial_system_attrs(suggestion.identity)
        self.tell(suggestion.identity, "FAIL")
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(point),
            distributions={name: self._distributions[name] for name in point},
            system_attrs={name: value for name, value in attributes.items() if SHARED not in name},
        )
        return int(self._storage.create_new_trial(self._study_id, trial))

    def tell(
        self,
        identity: int,
        state: Literal["COMPLETE", "PRUNED", "FAIL"],
        values: Sequence[float] | None = None,
        *,
        constraints: Mapping[str, float] | None = None,
    ) -> None:
        """End a running trial.

        Args:
            identity: of the trial.
            state: Optuna's word; samplers take FAIL for "never happened".
            values: of a COMPLETE trial, one loss an objective.
            constraints: name -> by how much it is broken; kept where at most 0.
        """
        for name, value in (constraints or {}).items():
            self._storage.set_trial_system_attr(identity, f"constraints:{name}", value)
        self._storage.set_trial_state_values(identity, TrialState[state], values)


class KnownSpace(BaseSampler):
    """A sampler that knows which parameters it draws together.

    Optuna's find that out by comparing the distributions of all trials; each fresh sampler would do so again, which
    would be most of what an ask costs.
    """

    joint: Mapping[str, BaseDistribution] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.joint)


class KnownTPE(KnownSpace, TPESampler):
    pass


class KnownNSGAIII(KnownSpace, NSGAIIISampler):
    pass


class KnownCmaEs(KnownSpace, CmaEsSampler):
    pass


class KnownGP(KnownSpace, GPSampler):
    pass


def tpe(seed: int, *, startup: int, candidates: int, multivariate: bool, group: bool) -> BaseSampler:
    """A tree-structured Parzen estimator."""
    kind = TPESampler if group else KnownTPE  # groups are found in the trials so far
    return kind(seed=seed, n_startup_trials=startup, n_ei_candidates=candidates, multivariate=multivariate, group=group)


def nsga3(
    seed: int, *, population: int, crossover: float, swapping: float, mutation: float | None, divisions: int
) -> BaseSampler:
    """NSGA-III with uniform crossover."""
    return KnownNSGAIII(
        seed=seed,
        population_size=population,
        crossover_prob=crossover,
        swapping_prob=swapping,
        mutation_prob=mutation,
        dividing_parameter=divisions,
    )


def cma_es(seed: int, *, startup: int, population: int | None, margin: bool) -> BaseSampler:
    """CMA-ES."""
    return KnownCmaEs(
        seed=seed, n_startup_trials=startup, popsize=population, with_margin=margin, warn_independent_sampling=False
    )


def gp(seed: int, *, startup: int, deterministic: bool) -> BaseSampler:
    """Bayesian optimization on a Gaussian process."""
    return KnownGP(
        seed=seed, n_startup_trials=startup, deterministic_objective=deterministic, warn_independent_sampling=False
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Neither log lines nor the warnings that a feature is experimental; as before afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
