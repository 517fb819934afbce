"""What every shipped strategy keeps: it is whole, says what it is, and runs from end to end on a small space."""

import pytest
import yaml

import nasengine as nas
from nasengine.search.language.settings import PreparePhase, RetrainPhase, SearchPhase
from nasengine.search.language.strategy import check_strategy, load_strategy
from nasengine.space import shipped
from nasengine.space.language.yaml import parse_document, plain
from tests.preparation.small import pooling_space
from tests.search.small import small_space

NAMES = sorted(shipped("strategies"))


def test_the_strategies_that_the_design_names_are_shipped():
    assert {"random_search", "exhaustive", "regularized_evolution"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_problem_and_bears_the_name_of_its_file(name):
    assert check_strategy(name) == []
    strategy = load_strategy(name)
    assert strategy.name == name
    assert len(strategy.about) > 40


@pytest.mark.parametrize("name", NAMES)
def test_it_means_the_same_to_any_yaml_reader(name):
    text = shipped("strategies")[name].read_text(encoding="utf-8")
    assert yaml.safe_load(text) == plain(parse_document(text, name).documents[0])


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_end_to_end(name, tmp_path):
    strategy = load_strategy(name)
    phases = [phase for phase in strategy.phases if isinstance(phase, SearchPhase)]
    prepared = [phase.name for phase in strategy.phases if isinstance(phase, PreparePhase)]
    parts = phases[-1].scheduler is not None  # three trials, of which none is trained to the end
    derived = phases[-1].algorithm.type == "derived"  # one trial
    retrains = [phase.name for phase in strategy.phases if isinstance(phase, RetrainPhase)]
    short = [f"{phase}.budget={{steps: 2}}" for phase in (*prepared, *retrains)]
    for phase in phases:
        short.append(f"{phase.name}.budget.trials={1 if derived else 3}")
        if phase.evaluator.budget is not None:
            short.append(f"{phase.name}.evaluator.budget={{steps: {9 if parts else 2}}}")
    short += [f"{phase}.seeds=1" for phase in retrains] + ["data.name=synthetic", "data.batch=32"]
    space = pooling_space() if prepared else small_space()  # the norms of a residual network can be overridden
    run = nas.search(space, strategy, run=tmp_path / "run", device="cpu", set=short)
    assert [trial.status for trial in run.trials] == ["stopped" if parts else "completed"] * (1 if derived else 3)
    assert run.best.retrained[-1].completed
    assert run.best.weights.is_file()
    assert "test_accuracy" in run.best.measurements
