"""What an evaluator says it needs is all that a run asks for; what it says it measures can be ranked by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

import nasengine as nas
from nasengine.errors import InputError
from nasengine.evaluators import EVALUATORS, EvaluatorSettings
from nasengine.records import Result
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.needs import has_networks
from nasengine.search.new_run import new_run_settings
from nasengine.space import load_space, space_from_mapping
from tests.search.small import SPACE, small_space

STRATEGY = """
name: counted
objectives: {beauty: maximize}
lag: 2
phases:
  - search: {algorithm: exhaustive, evaluator: {type: beauty}}
"""
PATHS = ("network.layers.0.width", "network.layers.0.kernel", "network.layers.2.width")


@dataclass(frozen=True, slots=True)
class Beauty(EvaluatorSettings):
    """A plug-in's evaluator that measures something of its own, and needs nothing."""

    needs_data: ClassVar[bool] = False
    needs_budget: ClassVar[bool] = False
    needs_network: ClassVar[bool] = False

    fails: bool = False

    def metrics(self, space, task):
        return {"beauty": "maximize"}

    def evaluator(self, inputs):
        if self.fails:
            raise InputError("beauty cannot be had today")
        assert inputs.training is None
        return BeautyEvaluator()


class BeautyEvaluator:
    metrics: ClassVar = {"beauty": "maximize"}

    def evaluate(self, jobs):
        for job in jobs:
            numbers = [option for option in job.architecture.values() if isinstance(option, int)]
            yield Result(job.trial, "completed", {"beauty": float(sum(numbers))})


class Loose:
    """A plug-in's settings that derive from nothing, as before there was anything to derive from."""

    def evaluator(self, inputs):
        assert inputs.training is not None
        return LooseEvaluator()


class LooseEvaluator:
    metrics: ClassVar = {"accuracy": "maximize"}

    def evaluate(self, jobs):
        for job in jobs:
            yield Result(job.trial, "completed", {"accuracy": 0.5})


@pytest.fixture(autouse=True)
def plugged_in(monkeypatch):
    monkeypatch.setitem(EVALUATORS, "beauty", Beauty)
    monkeypatch.setitem(EVALUATORS, "loose", Loose)


def strategy(text=STRATEGY, *overrides):
    return parse_strategy(text, "counted.yaml", overrides=overrides)


def reasons(space, *overrides, text=STRATEGY, **keywords):
    with pytest.raises(InputError) as caught:
        new_run_settings(space, strategy(text, *overrides), device="cpu", **keywords)
    return [str(problem) for problem in caught.value.problems]


def without_networks(**changes):
    return small_space(network={**SPACE["network"], "type": "there is no such type"}, known={}, **changes)


def test_a_run_that_looks_at_no_images_loads_none(tmp_path, monkeypatch):
    monkeypatch.setattr("nasengine.search.new_run.load_data", lambda *a, **k: pytest.fail("images were loaded"))
    run = nas.search(small_space(), strategy(), run=tmp_path / "run")
    assert len(run.trials) == 8
    assert run.best.trial.measurements == {"beauty": 19.0}
    assert (run.settings.data, run.settings.pixels) == (None, {})
    assert nas.resume(run.folder).best.trial.measurements == {"beauty": 19.0}


def test_a_data_set_that_nothing_looks_at_is_refused():
    (reason,) = reasons(small_space(), data="fashion")
    assert "'fashion' is named, but no phase of counted looks at images" in reason


def test_a_metric_of_the_evaluators_own_must_be_one_and_point_its_way():
    (reason,) = reasons(small_space(), text=STRATEGY.replace("beauty: maximize", "beuty: maximize"))
    assert "neither a cost nor measured by the evaluator 'beauty'" in reason
    assert "did you mean 'beauty'?" in reason
    (reason,) = reasons(small_space(), "objectives.beauty=minimize")
    assert reason.endswith("expected beauty: maximize")


def test_a_space_without_networks_will_do_for_who_needs_none(tmp_path):
    space = without_networks()
    assert not has_networks(space)
    assert len(nas.search(space, strategy(), run=tmp_path / "run").trials) == 8


def test_a_cost_that_the_evaluator_does_not_measure_needs_networks():
    assert any("there is no such type" in reason for reason in reasons(without_networks(), "objectives.macs=minimize"))


def test_what_a_retrain_phase_needs_is_asked_for_as_ever():
    text = STRATEGY + "  - retrain: {best: 1, budget: {epochs: 1}}\n"
    assert any("there is no such type" in reason for reason in reasons(without_networks(), text=text))


def test_an_evaluator_is_made_once_before_the_run_and_refuses_at_its_place(tmp_path):
    (reason,) = reasons(small_space(), "search.evaluator.fails=true")
    assert "beauty cannot be had today" in reason
    with pytest.raises(InputError):
        nas.search(small_space(), strategy(STRATEGY, "search.evaluator.fails=true"), run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_that_derive_from_nothing_need_everything_and_measure_the_metrics_of_the_task(tmp_path):
    text = STRATEGY.replace("beauty: maximize", "accuracy: maximize").replace(
        "{type: beauty}", "{type: loose, budget: {epochs: 1}}"
    )
    text = text.replace("lag: 2", "lag: 2\ndata: {name: synthetic, validation: 0.25}")
    run = nas.search(small_space(), strategy(text), run=tmp_path / "run")
    assert run.best.trial.measurements.keys() == {"accuracy", "params", "macs"}
    assert run.settings.data == "synthetic"


def table(folder, text):
    (folder / "table.csv").write_text(text)
    return parse_strategy(
        "name: tabled\nobjectives: {accuracy: maximize, macs: {max: 60}}\nphases:\n"
        f"  - search: {{algorithm: exhaustive, evaluator: {{type: table, file: {folder}/table.csv}}}}\n",
        "tabled.yaml",
    )


def small_table(macs):
    rows = [(w, k, v) for w in (4, 8) for k in (1, 3) for v in (4, 8)]
    lines = [f"{w},{k},{v},0.{w}{k}{v},{macs(w, k, v)}" for w, k, v in rows]
    return "\n".join([",".join([*PATHS, "accuracy", "macs"]), *lines]) + "\n"


def test_bounds_on_measured_costs_are_kept_by_measurement_where_nothing_can_be_counted(tmp_path):
    run = nas.search(without_networks(), table(tmp_path, small_table(lambda w, k, v: w * k * v)), run=tmp_path / "run")
    feasible = [trial for trial in run.trials if trial.completed]
    assert len(run.trials) == 8
    assert {trial.measurements["macs"] for trial in feasible} == {16, 32, 48}
    assert {trial.reason for trial in run.trials if not trial.completed} == {
        f"macs = {macs} is above the most allowed, 60" for macs in (64, 96, 192)
    }


def test_bounds_on_costs_are_counted_beforehand_where_networks_can_be_built(tmp_path):
    # Every network costs more than 60, whatever the table says: nothing is left to propose.
    with pytest.raises(InputError, match="no architecture of small has macs up to 60"):
        nas.search(small_space(), table(tmp_path, small_table(lambda w, k, v: 1)), run=tmp_path / "run")


def test_the_published_best_of_pooling36_is_what_an_exhaustive_search_ends_with(tmp_path):
    text = STRATEGY.replace("beauty: maximize", "accuracy: maximize").replace("beauty", "table, file: pooling36")
    run = nas.search("pooling_resnet20", strategy(text), run=tmp_path / "run")
    assert len(run.trials) == 36
    assert run.best.architecture == load_space("pooling_resnet20").known["best_of_36"].architecture
    assert run.best.measurements["accuracy"] == 0.9201
    evaluator = run.strategy.phases[0].evaluator.component.settings
    assert evaluator["file"] == "pooling36"
    assert len(evaluator["sha256"]) == 64


def test_a_space_may_be_nothing_but_choices(tmp_path):
    network = {"type": "any", "a": {"choice": [1, 2]}, "b": {"choice": [1, 2, 3]}}
    space = space_from_mapping({"name": "bare", "task": SPACE["task"], "network": network})
    assert nas.search(space, strategy(), run=tmp_path / "run").best.trial.measurements == {"beauty": 5.0}
