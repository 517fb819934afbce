"""What every evaluator promises: one finite result for each job, the same for the same job, failures as results."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nasengine.errors import InputError
from nasengine.evaluators import EVALUATORS, make_evaluator
from nasengine.evaluators.plan import evaluator_settings, make_task
from nasengine.objectives import DIRECTIONS
from nasengine.records import Architecture, Job, Result
from tests.evaluators.prepared import write_supernet
from tests.evaluators.tiny import tiny_plan, tiny_space

ARCHITECTURES = list(tiny_space().enumerate())

# What an evaluator cannot do without.
REQUIRED = {"table": {"file": str(Path(__file__).parents[1] / "evaluators" / "tiny.csv")}}

# What a plan names beside it for some: filled in below, since shared weights have to be made.
BESIDE = {}


@pytest.fixture(scope="module", autouse=True)
def prepared(tmp_path_factory):
    BESIDE["supernet"] = {"artifact": str(write_supernet(tmp_path_factory.mktemp("prepare")))}


def plan(name, **settings):
    evaluator = {"type": name, **REQUIRED.get(name, {}), **settings}
    return tiny_plan() | {"evaluator": evaluator} | BESIDE.get(name, {})


def jobs(*trials):
    return [Job(trial, ARCHITECTURES[trial % len(ARCHITECTURES)], {"epochs": 1}, seed=trial) for trial in trials]


@pytest.fixture(params=EVALUATORS)
def name(request):
    return request.param


@pytest.fixture
def evaluator(name):
    return make_evaluator(plan(name))


def test_every_job_gets_one_result_with_every_metric_finite(evaluator):
    results = {result.trial: result for result in evaluator.evaluate(jobs(0, 1, 2, 3))}
    assert sorted(results) == [0, 1, 2, 3]
    for result in results.values():
        assert result.status == "completed", result.reason
        assert result.measurements.keys() == evaluator.metrics.keys()
        assert all(math.isfinite(value) for value in result.measurements.values())


def test_metrics_have_directions(evaluator):
    assert evaluator.metrics
    assert set(evaluator.metrics.values()) <= set(DIRECTIONS)


def test_the_settings_say_beforehand_what_is_measured(name, evaluator):
    settings = evaluator_settings(plan(name)["evaluator"])
    assert settings.metrics(tiny_space(), make_task(tiny_space())) == evaluator.metrics


def test_what_needs_no_data_and_no_network_is_made_without_either(name):
    settings = evaluator_settings(plan(name)["evaluator"])
    if not settings.needs_data:
        make_evaluator(plan(name) | {"data": {"name": "there is no such data set"}})
    if not settings.needs_network:
        space = tiny_space(network={**tiny_space().tree.resolved["network"], "type": "there is no such type"})
        make_evaluator(plan(name) | {"space": dict(space.tree.resolved)})


def test_pinned_settings_are_settings_that_measure_alike(name, evaluator):
    pinned = dict(evaluator_settings(plan(name)["evaluator"]).pinned(None))
    (before,), (after,) = evaluator.evaluate(jobs(0)), make_evaluator(plan(name, **pinned)).evaluate(jobs(0))
    assert after.measurements == before.measurements
    assert Path(pinned.get("file", "/")).is_absolute()


def test_a_job_is_measured_alike_alone_together_again_and_in_another_evaluator(name, evaluator):
    together = {result.trial: result.measurements for result in evaluator.evaluate(jobs(0, 1, 2))}
    for one in (evaluator, make_evaluator(plan(name))):
        for trial in (2, 0, 1):
            (alone,) = one.evaluate(jobs(trial))
            assert alone.measurements == together[trial]


def test_a_result_crosses_a_process_boundary_as_json(evaluator):
    (result,) = evaluator.evaluate(jobs(0))
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_job_that_cannot_be_done_fails_and_the_others_do_not(evaluator):
    wrong = Job(1, Architecture({"network.nothing": 3}), {"epochs": 1})
    results = {result.trial: result for result in evaluator.evaluate([*jobs(0), wrong, *jobs(2)])}
    assert [results[trial].status for trial in (0, 1, 2)] == ["completed", "failed", "completed"]
    assert results[1].reason
    assert "\n" not in results[1].reason
    assert results[1].measurements == {}


def test_no_job_gives_no_result(evaluator):
    assert list(evaluator.evaluate([])) == []


def test_the_global_generators_are_left_as_they_were(evaluator):
    state, array_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    list(evaluator.evaluate(jobs(0)))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == array_state


def test_an_unknown_setting_is_reported_before_anything_is_measured(name):
    with pytest.raises(InputError, match="'colour'"):
        make_evaluator(plan(name, colour=1))
