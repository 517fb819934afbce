"""Our spaces and algorithms for people who run Ray Tune: a searcher for `tune.TuneConfig(search_alg=…)`.

    from nasengine.search.ray_tune import TuneSearcher

    def train(config):
        network = nas.build(space, space.architecture(config["architecture"]))
        …
        tune.report({"accuracy": accuracy})

    searcher = TuneSearcher(space, "regularized_evolution", seed=0)
    tune.Tuner(train, tune_config=tune.TuneConfig(search_alg=searcher, num_samples=100)).fit()

The trials are those of our own search with the same seed and lag, however many of them Tune runs at once: the lag rule
holds (`search.loop`), so Tune is told to wait where a trial is due. The state is saved as JSON and restored by replay.
The only module that needs Ray when it is imported, and nothing in nasengine imports it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from ray.tune.search import Searcher

from nasengine.errors import InputError, Problem, RunError
from nasengine.records import Architecture, Candidate, Trial, canonical_json
from nasengine.search.language.settings import SearchPhase, Strategy
from nasengine.search.language.strategy import load_strategy, strategy_from_mapping
from nasengine.search.language.values import make_algorithm
from nasengine.search.searching import all_constraints, make_domain, make_price
from nasengine.space import SearchSpace, load_space


class TuneSearcher(Searcher):
    """Asks the algorithm of a strategy's search phase, and tells it what Tune's trials report.

    What is read of the strategy: the algorithm and the budget of its first search phase, objectives, constraints, lag.
    Counted costs among the objectives need not be reported; all others must be, under their names.

    Args:
        space: as loaded, or a file, or the name of a shipped one; `strategy` likewise.
        seed: of every draw.
        set: settings of the strategy to change: "search.population=50", "lag=4".

    Raises:
        InputError: one of them cannot be read, they do not fit, or the strategy has a scheduler, which Tune has too.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path,
        strategy: Strategy | str | Path,
        *,
        seed: int = 0,
        set: Iterable[str] = (),
    ) -> None:
        space = space if isinstance(space, SearchSpace) else load_space(space)
        if isinstance(strategy, Strategy):
            strategy = strategy_from_mapping(strategy.plain(), strategy.name, overrides=set)
        else:
            strategy = load_strategy(strategy, overrides=set)
        phase = _search_phase(strategy)
        first = strategy.objectives[0]
        super().__init__(metric=first.name, mode="max" if first.direction == "maximize" else "min")
        self._objectives = strategy.objectives
        self._constraints = all_constraints(space, strategy)
        domain = make_domain(space, phase, self._constraints)
        self._algorithm = make_algorithm(phase, domain, strategy.objectives, seed, self._constraints)
        self._price = make_price(space, phase, strategy.objectives, self._constraints)
        self._identity = canonical_json([space.hash, strategy.plain(), seed])
        self._lag = strategy.lag
        limit = phase.budget.amounts.get("trials") if phase.budget else None
        self._limit = None if limit is None else int(limit)
        self._candidates: list[Candidate] = []
        self._numbers: dict[str, int] = {}  # Tune's name of a trial -> ours
        self._outcomes: dict[int, Trial] = {}
        self._told = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next architecture; None while one that it depends on is being measured; FINISHED after the last."""
        finished = cast("dict[str, Any]", Searcher.FINISHED)  # a word, in spite of Tune's annotation
        number = len(self._candidates)
        if self._limit is not None and number >= self._limit:
            return finished
        if any(due not in self._outcomes for due in range(self._told, number - self._lag + 1)):
            return None
        candidate = self._ask()
        if candidate is None:
            return finished
        self._numbers[trial_id] = number
        return {"architecture": candidate.architecture.to_json()}

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Note what Tune measured; the algorithm is told in the order of the trials."""
        number = self._numbers[trial_id]
        candidate = self._candidates[number]
        reported = {} if error or result is None else result
        try:
            priced = {} if self._price is None else dict(self._price(candidate.architecture))
        except Exception as problem:  # whatever it is, this architecture has no costs: it failed, the search goes on
            self._outcomes[number] = Trial(number, candidate, "failed", {}, str(problem))
            return
        needed = [*(item.name for item in self._objectives), *(item.name for item in self._constraints)]
        found = {**{name: float(reported[name]) for name in needed if name in reported}, **priced}
        missing = [name for name in dict.fromkeys(needed) if name not in found]
        wrong = [f"{name} is {value}" for name, value in found.items() if not math.isfinite(value)]
        if missing:
            wrong.append(f"did not report {', '.join(missing)}")
        if error or wrong:
            reason = "Tune reports an error" if error else "; ".join(wrong)
            found = {name: value for name, value in found.items() if math.isfinite(value)}
            self._outcomes[number] = Trial(number, candidate, "failed", found, reason)
            return
        breach = "; ".join(filter(None, (constraint.breach(found) for constraint in self._constraints)))
        self._outcomes[number] = Trial(number, candidate, "infeasible" if breach else "completed", found, breach)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """What a trial reports on its way is for Tune's schedulers."""

    def save(self, checkpoint_path: str) -> None:
        """Write everything that happened as JSON."""
        state = {
            "identity": self._identity,
            "architectures": [candidate.architecture.to_json() for candidate in self._candidates],
            "numbers": self._numbers,
            "outcomes": [
                [trial.number, trial.status, dict(trial.measurements), trial.reason]
                for trial in self._outcomes.values()
            ],
        }
        Path(checkpoint_path).write_text(json.dumps(state), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Repeat what happened; the searcher must be freshly made, of the same space, strategy and seed.

        Raises:
            RunError: the file is of another search, or the algorithm asks differently now.
        """
        state = json.loads(Path(checkpoint_path).read_text(encoding="utf-8"))
        if state["identity"] != self._identity:
            raise RunError(f"{checkpoint_path} is of a search with another space, strategy or seed")
        outcomes = {number: rest for number, *rest in state["outcomes"]}
        for number, options in enumerate(state["architectures"]):
            candidate = self._ask()
            if candidate is None or candidate.architecture != Architecture(options):
                raise RunError(f"{checkpoint_path}: trial {number} is asked differently now than when it was saved")
            if number in outcomes:
                status, measurements, reason = outcomes[number]
                self._outcomes[number] = Trial(number, candidate, status, measurements, reason)
        self._numbers = dict(state["numbers"])

    def _ask(self) -> Candidate | None:
        """Tell what is due and ask for the next candidate."""
        number = len(self._candidates)
        while self._told <= number - self._lag:
            self._algorithm.tell(self._outcomes[self._told])
            self._told += 1
        candidate = self._algorithm.ask(number)
        if candidate is not None:
            self._candidates.append(candidate)
        return candidate


def _search_phase(strategy: Strategy) -> SearchPhase:
    phases = [phase for phase in strategy.phases if isinstance(phase, SearchPhase)]
    if not phases:
        raise InputError(Problem(f"the strategy {strategy.name} has no search phase", expected="expected one"))
    if phases[0].scheduler is not None:
        found = f"the strategy {strategy.name} has a scheduler, {phases[0].scheduler.type}"
        raise InputError(Problem(found, expected="expected one without: Tune's own schedulers stop trials early"))
    return phases[0]
