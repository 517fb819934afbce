"""Optuna's samplers as algorithms: TPE, NSGA-III, CMA-ES and a Gaussian process.

How they are asked, and how a space is laid out for them, stands in `optuna_sampler`; docs/algorithms.md compares them
with the other algorithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nasengine.algorithms.optuna_sampler import OptunaSampler, Suggested, is_ordered
from nasengine.objectives import Constraint, Losses, Objective
from nasengine.records import Architecture, Trial
from nasengine.space.decisions import Decision
from nasengine.space.domain import Domain

if TYPE_CHECKING:  # for annotations alone: Optuna may be missing
    from optuna.samplers import BaseSampler

    from nasengine.algorithms.optuna_study import Axis

WORST: Losses = (float("inf"),)


class TPE(OptunaSampler):
    """Tree-structured Parzen estimator: asks where good trials are dense and the others are not [TPE].

    Any number of objectives, constraints and conditional choices. It learns from every trial: those that failed count
    as infeasible, and infeasible ones as bad, the worse the further they are off. Running ones count as bad too, so
    that trials in flight differ.

    An ask reads all trials: on `mobile_cnn` about 15 ms after 100 of them, 25 ms after 300, 50 to 100 ms after 1,000,
    on a busy core of 2026 (benchmarks/optuna_samplers.py). Sensible up to about 2,000 trials.

    Sources: [TPE] Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Watanabe,
             "Tree-Structured Parzen Estimator", 2023, arXiv:2304.11127

    Args:
        startup: random trials that must have completed first.
        candidates: how many are drawn for each ask, the best of which is proposed.
        multivariate: whether choices are drawn together. Drawn one by one, as Optuna does by default with several
            objectives, they soon come together as what was proposed before.
        group: whether conditional choices are drawn together with those they are always asked with; without, each
            conditional choice is drawn on its own.
        avoid_repeats: whether a suggestion that was proposed before is asked for again, then mutated.
    """

    NAME = "tpe"
    ALL_DECISIONS = False

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        constraints: Sequence[Constraint] = (),
        startup: int = 10,
        candidates: int = 24,
        multivariate: bool = True,
        group: bool = False,
        avoid_repeats: bool = True,
    ) -> None:
        self.candidates = self._at_least(1, candidates=candidates)
        self.multivariate = multivariate
        if group and not multivariate:
            raise self._refused("with group and without multivariate", "expected multivariate: true where group is")
        self.group = group
        super().__init__(
            domain, objectives, seed=seed, constraints=constraints, startup=startup, avoid_repeats=avoid_repeats
        )

    def _joint(self) -> Sequence[Axis]:
        always = zip(self._axes, self._decisions, strict=True)
        return [axis for axis, decision in always if self.multivariate and not decision.conditional]

    def _sampler(self, seed: int) -> BaseSampler:
        made: BaseSampler = self._library.tpe(
            seed, startup=self.startup, candidates=self.candidates, multivariate=self.multivariate, group=self.group
        )
        return made

    def _tell_unmeasured(self, identity: int, trial: Trial) -> None:
        self._study.tell(identity, "PRUNED", constraints={trial.status: 1.0})


class NSGA3(OptunaSampler):
    """NSGA-III: survivors are spread along reference directions, so that many objectives keep their balance [NSGA3].

    Meant for two objectives or more (with one it is a plain genetic algorithm). Infeasible trials that were measured
    are ranked by how far they are off; failed ones join no population. Each generation waits for
    `population` completed trials; until then, and with the lag that the search has, the one before has more children.

    An ask takes about 2 ms. `nsga2` is the engine's own and far quicker; take this one for three objectives and more.

    Source: [NSGA3] Deb, Jain, "An Evolutionary Many-Objective Optimization Algorithm Using Reference-Point-Based
            Nondominated Sorting Approach, Part I", IEEE TEVC 18(4), 2014

    Args:
        population: how many trials a generation has; as many are random at first.
        crossover: probability that a candidate has two parents.
        swapping: probability that a choice comes from the second of them.
        mutation: probability that a choice is drawn anew; none: one choice on average.
        divisions: how finely the reference directions divide each objective.
        avoid_repeats: whether a suggestion that was proposed before is asked for again, then mutated.
    """

    NAME = "nsga3"

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        constraints: Sequence[Constraint] = (),
        population: int = 50,
        crossover: float = 0.9,
        swapping: float = 0.5,
        mutation: float | None = None,
        divisions: int = 12,
        avoid_repeats: bool = True,
    ) -> None:
        self.population = self._at_least(2, population=population)
        self._between_0_and_1(crossover=crossover, swapping=swapping, mutation=mutation)
        self.crossover, self.swapping, self.mutation = crossover, swapping, mutation
        self.divisions = self._at_least(1, divisions=divisions)
        super().__init__(
            domain, objectives, seed=seed, constraints=constraints, startup=population, avoid_repeats=avoid_repeats
        )

    def _sampler(self, seed: int) -> BaseSampler:
        made: BaseSampler = self._library.nsga3(
            seed,
            population=self.population,
            crossover=self.crossover,
            swapping=self.swapping,
            mutation=self.mutation,
            divisions=self.divisions,
        )
        return made


class CmaEs(OptunaSampler):
    """CMA-ES: a normal distribution over all choices that moves to where the best of each generation lie [CMA].

    One objective. It needs choices that are ordered: numbers are integers, kept apart by a margin [M]; others have one
    score an option, so a space of unordered choices has many dimensions and learns slowly: tpe suits it better.
    Infeasible and failed trials count as the worst of their generation.

    A suggestion whose architecture was measured before is told that outcome at once and costs no trial. What is
    proposed in place of an unacceptable suggestion counts as its outcome. The next generation begins when
    `population` suggestions are told; what a large lag asks in the meantime is wasted on the old one.

    Sources: [CMA] Hansen, "The CMA Evolution Strategy: A Tutorial", 2016, arXiv:1604.00772
             [M] Hamano et al., "CMA-ES with Margin", GECCO 2022, arXiv:2205.13482

    Args:
        population: suggestions a generation; none: 4 + 3 ln(dimensions).
        margin: whether integers are kept from collapsing to one value [M].
        startup: random trials that must have completed first; they tell it nothing but the space.
        avoid_repeats: whether a suggestion that was proposed before is asked for again, then mutated.
    """

    NAME = "cma_es"
    NEEDS = ("cmaes",)
    STANDS = True

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        constraints: Sequence[Constraint] = (),
        population: int | None = None,
        margin: bool = True,
        startup: int = 1,
        avoid_repeats: bool = True,
    ) -> None:
        if len(objectives) > 1:
            names = ", ".join(objective.name for objective in objectives)
            raise self._refused(
                f"with the objectives {names}", "expected one objective; tpe, gp and nsga3 take several"
            )
        self.population = None if population is None else self._at_least(2, population=population)
        self.margin = margin
        self._known: dict[Architecture, Losses] = {}
        super().__init__(
            domain, objectives, seed=seed, constraints=constraints, startup=startup, avoid_repeats=avoid_repeats
        )

    def _sampler(self, seed: int) -> BaseSampler:
        made: BaseSampler = self._library.cma_es(
            seed, startup=self.startup, population=self.population, margin=self.margin
        )
        return made

    def _axis(self, decision: Decision) -> Axis:
        made: Axis = self._library.Steps(decision) if is_ordered(decision) else self._library.Scores(decision)
        return made

    def _withdraw(self, suggested: Suggested) -> None:
        known = self._known.get(suggested.architecture)
        if known is None:
            super()._withdraw(suggested)
        else:
            self._study.tell(suggested.handle.identity, "COMPLETE", known)

    def _tell_measured(self, identity: int, trial: Trial, values: Losses, off: Mapping[str, float]) -> None:
        self._tell_value(identity, trial, values if trial.completed else WORST)

    def _tell_unmeasured(self, identity: int, trial: Trial) -> None:
        self._tell_value(identity, trial, WORST)

    def _tell_value(self, identity: int, trial: Trial, values: Losses) -> None:
        self._known[trial.architecture] = values
        self._study.tell(identity, "COMPLETE", values)


class GaussianProcess(OptunaSampler):
    """Bayesian optimization: a Gaussian process says where improvement is expected, constraints kept [EI].

    Any number of objectives (expected improvement, or hypervolume improvement), constraints as processes of their own.
    Failed trials teach it nothing. The dearest of all: an ask takes about 0.6 s after 100 trials and 2 s after 300,
    more with several objectives, so it suits up to some hundred trials that take minutes each.

    Source: [EI] Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
            NeurIPS 2023, arXiv:2310.20708

    Args:
        startup: random trials that must have completed first.
        deterministic: whether measuring an architecture again would give the same.
        avoid_repeats: whether a suggestion that was proposed before is asked for again, then mutated.
    """

    NAME = "gp"
    NEEDS = ("scipy", "torch")
    TRIES = 2

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        constraints: Sequence[Constraint] = (),
        startup: int = 10,
        deterministic: bool = False,
        avoid_repeats: bool = True,
    ) -> None:
        self.deterministic = deterministic
        super().__init__(
            domain, objectives, seed=seed, constraints=constraints, startup=startup, avoid_repeats=avoid_repeats
        )

    def _sampler(self, seed: int) -> BaseSampler:
        made: BaseSampler = self._library.gp(seed, startup=self.startup, deterministic=self.deterministic)
        return made

    def _silent(self, option: int) -> int:
        return 0
