"""`--set`: single settings of a strategy replaced, checked like everything else."""

import pytest

from nasengine.errors import InputError
from nasengine.search.language.strategy import parse_strategy

TEXT = """
data: {batch: 64}
objectives: {accuracy: maximize}
phases:
  - search: {algorithm: regularized_evolution, evaluator: {type: standalone, optimizer: sgd, budget: {epochs: 2}}}
  - retrain: {best: 2, budget: {epochs: 3}}
  - retrain: {name: longer, from: retrain, budget: {epochs: 30}}
"""


def changed(*overrides: str):
    return parse_strategy(TEXT, "my.yaml", overrides=overrides)


def refusal(*overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        changed(*overrides)
    return [str(problem) for problem in caught.value.problems]


def test_an_argument_of_the_algorithm_is_reached_without_naming_it():
    assert changed("search.population=50").phases[0].algorithm.settings == {"population": 50}


def test_the_long_form_means_the_same():
    assert changed("search.algorithm.population=50") == changed("search.population=50")


def test_an_argument_of_the_evaluators_optimizer_is_reached():
    settings = changed("search.optimizer.rate=0.5").phases[0].evaluator.component.settings
    assert settings["optimizer"] == {"type": "sgd", "rate": 0.5}


def test_a_budget_that_was_not_there_is_added():
    assert changed("search.budget.trials=7").phases[0].budget.amounts == {"trials": 7}


def test_whole_mappings_and_lists_are_values_too():
    strategy = changed("search.evaluator.budget={steps: 9}", "data.augmentation=[crop, flip]")
    assert strategy.phases[0].evaluator.budget.amounts == {"steps": 9}
    assert strategy.data.augmentation == [{"type": "crop"}, {"type": "flip"}]


def test_values_are_yaml_1_2():
    assert changed("retrain.start=on", "lag=0o17", "retrain.start=search").lag == 15


def test_a_phase_is_reached_by_its_name_even_where_its_kind_is_not_unique():
    strategy = changed("longer.budget.epochs=5", "retrain.seeds=2")
    assert (strategy.phase("longer").budget.amounts["epochs"], strategy.phase("retrain").seeds) == (5, 2)


def test_a_later_override_wins():
    assert changed("lag=2", "lag=3").lag == 3


def test_an_objective_can_be_added():
    assert [objective.name for objective in changed("objectives.macs=minimize").objectives] == ["accuracy", "macs"]


def test_a_type_can_be_replaced():
    assert changed("search.algorithm=random_search").phases[0].algorithm.type == "random_search"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.populaton=50", "'populaton' is no setting of this search phase\n  expected one of"),
        ("search.populaton=50", "did you mean 'population'?"),
        ("serch.population=50", "no phase is called 'serch'"),
        ("search.population=lots", "the argument 'population' of regularized_evolution"),
        ("search.population", "not an assignment"),
        ("=3", "not an assignment"),
        ("search=3", "search is a phase, not a setting"),
        ("search.population=[", "not valid YAML"),
        ("search.optimizer.rte=1", "unknown key 'rte' in phases.search.evaluator.optimizer"),
        ("retrain.sedes=1", "unknown key 'sedes' in phases.retrain"),
        ("data.batch=-1", "data.batch is -1"),
        ("lag=1\n---\n2", "more than one value"),
        ("search.algorithm=nsga9", "unknown algorithm 'nsga9'"),
        ("data=3", "data is the number 3"),
        ("search.budget.trials.x=3", "phases.search.budget.trials is a mapping"),
    ],
)
def test_a_wrong_override_is_named_with_the_nearest_key(override, message):
    found = refusal(override)
    assert any(message in problem for problem in found), found
    assert all(problem.startswith(f"--set {override}: ") for problem in found)


def test_an_ambiguous_phase_is_refused():
    text = TEXT.replace("retrain: {best", "retrain: {name: first, best").replace("from: retrain", "from: first")
    with pytest.raises(InputError, match="'retrain' means 2 phases"):
        parse_strategy(text, "my.yaml", overrides=["retrain.seeds=2"])


def test_problems_of_the_file_and_of_overrides_come_together():
    with pytest.raises(InputError) as caught:
        parse_strategy(TEXT.replace("batch", "bach"), "my.yaml", overrides=["search.x=1"])
    assert [problem.mark is None for problem in caught.value.problems] == [True, False]
