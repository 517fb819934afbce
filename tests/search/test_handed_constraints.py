"""An algorithm that can make use of constraints on measurements is handed those of the search; others are not."""

import pytest

import nasengine as nas
from nasengine.algorithms import NSGA2, RandomSearch
from nasengine.errors import InputError
from nasengine.objectives import Constraint
from nasengine.search.language.settings import SearchPhase
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.language.values import make_algorithm
from nasengine.space.domain import Domain
from tests.search.small import small_space

STRATEGY = """
name: bounded
objectives: {accuracy: {direction: maximize, min: 0.92}, macs: minimize}
phases:
  - search:
      algorithm: ALGORITHM
      evaluator: {type: table, file: pooling36}
      budget: {trials: 36}
"""


def strategy_with(algorithm: str):
    return parse_strategy(STRATEGY.replace("ALGORITHM", algorithm), "bounded.yaml")


@pytest.mark.parametrize(("name", "kind"), [("nsga2", NSGA2), ("random_search", RandomSearch)])
def test_only_an_algorithm_with_such_an_argument_is_handed_them(name, kind):
    strategy = strategy_with(name)
    (phase,) = strategy.phases
    assert isinstance(phase, SearchPhase)
    made = make_algorithm(phase, Domain(small_space()), strategy.objectives, 0, strategy.constraints)
    assert type(made) is kind
    if isinstance(made, NSGA2):
        assert made.constraints == (Constraint("accuracy", 0.92, None),)


def test_a_strategy_cannot_set_them_as_an_argument():
    with pytest.raises(InputError, match="'constraints' of nsga2"):
        strategy_with("{type: nsga2, constraints: []}")


def test_a_search_with_a_bound_on_a_measurement_has_infeasible_trials_and_goes_on(tmp_path):
    strategy = strategy_with("{type: nsga2, population: 8, children: 4}")
    run = nas.search("pooling_resnet20", strategy, run=tmp_path / "run")
    statuses = [trial.status for trial in run.trials]
    assert len(statuses) == 36
    assert statuses.count("completed") > 0
    assert statuses.count("infeasible") > 0
    assert all(trial.measurements["accuracy"] >= 0.92 for trial in run.trials if trial.completed)
    assert all("accuracy" in trial.measurements for trial in run.trials)
