"""Trials trained side by side: the same results as one by one, and nothing that one does wrong is another's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nasengine.evaluators import Standalone, make_evaluator, side_by_side
from nasengine.evaluators.side_by_side import SMALL_STEP_MACS, is_small
from nasengine.records import Job
from nasengine.space import load_space
from tests.evaluators.tiny import tiny_plan, tiny_space

SPACE = tiny_space()
ARCHITECTURES = list(SPACE.enumerate())
AUGMENTED = {"augmentation": {"type": "crop_flip", "pad": 1}, "limit": 512}
EPOCHS = 3  # of 12 steps: enough for a graph


def jobs(count: int = 4, **changes) -> list[Job]:
    return [Job(k, ARCHITECTURES[k % 4], {"epochs": EPOCHS}, seed=k, **changes) for k in range(count)]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Cohorts on this processor too; how large each was."""
    sizes: list[int] = []
    honest = side_by_side.train_cohort
    monkeypatch.setattr(side_by_side, "trains_together", lambda settings, device: True)
    monkeypatch.setattr(
        side_by_side,
        "train_cohort",
        lambda members, *rest, **named: (sizes.append(len(members)), honest(members, *rest, **named))[1],
    )
    return sizes


def plain(results) -> dict[int, tuple[object, ...]]:
    return {result.trial: (result.status, result.measurements, result.details.get("curve")) for result in results}


@pytest.mark.parametrize("order", [pytest.param("own", marks=pytest.mark.thorough), "shared"])
def test_results_are_those_of_one_by_one(as_on_a_gpu, order):
    plan = tiny_plan(data=AUGMENTED, evaluator={"order": order, "ema": 0.9}, seed=3)
    evaluator = make_evaluator(plan)
    together = list(evaluator.evaluate(jobs()))
    assert as_on_a_gpu == [4]
    assert all(result.seconds > 0 and result.details["side_by_side"] == 4 for result in together)
    one_by_one = [result for job in jobs() for result in evaluator.evaluate([job])]
    assert as_on_a_gpu == [4]
    assert plain(together) == plain(one_by_one)
    assert all(result.status == "completed" for result in together)


def test_trials_of_a_shared_order_see_the_same_images_and_those_of_another_run_do_not():
    def curve(seed: int, **evaluator) -> object:
        made = make_evaluator(tiny_plan(data=AUGMENTED, evaluator=evaluator, seed=seed))
        (result,) = made.evaluate([Job(0, ARCHITECTURES[0], {"epochs": 1}, seed=5)])
        return result.details["curve"]

    assert curve(0) == curve(1)
    assert curve(0, order="shared") != curve(1, order="shared")
    assert curve(5, order="shared") == curve(0)  # a job's seed is its own order's


def test_one_by_one_where_nothing_else_pays(as_on_a_gpu, monkeypatch):
    evaluator = make_evaluator(tiny_plan(data=AUGMENTED))
    short = [Job(k, ARCHITECTURES[k], {"epochs": 1}, k) for k in range(3)]
    assert len(list(evaluator.evaluate(short))) == 3
    assert len(list(evaluator.evaluate(jobs(1)))) == 1
    monkeypatch.setattr(side_by_side, "SMALL_STEP_MACS", 1)
    assert len(list(evaluator.evaluate(jobs(3)))) == 3
    assert as_on_a_gpu == []
    monkeypatch.undo()
    assert len(list(evaluator.evaluate(jobs(3)))) == 3


def test_one_by_one_where_the_last_batch_of_an_epoch_is_smaller_as_no_graph_takes_two_shapes(as_on_a_gpu):
    data = {**AUGMENTED, "batch": 50}  # of 384 images
    ragged = make_evaluator(tiny_plan(data=data, evaluator={"drop_last": False}))
    asked = [Job(k, ARCHITECTURES[k], {"epochs": 5}, k) for k in range(2)]
    assert all("side_by_side" not in result.details for result in ragged.evaluate(asked))
    assert as_on_a_gpu == []
    assert all(result.details["side_by_side"] == 2 for result in make_evaluator(tiny_plan(data=data)).evaluate(asked))


def test_jobs_are_grouped_by_budget_and_resolution_and_cut(as_on_a_gpu, monkeypatch):
    monkeypatch.setattr(side_by_side, "TOGETHER", 3)
    space = tiny_space(task={"kind": "image_classification", "input": [1, {"choice": [6, 8]}, "same"], "classes": 4})
    evaluator = make_evaluator(tiny_plan(space, data={"limit": 512}))
    found = list(space.enumerate())
    small = [one for one in found if one["task.resolution"] == 6]
    large = [one for one in found if one["task.resolution"] == 8]
    asked = [Job(k, architecture, {"epochs": 3}, k) for k, architecture in enumerate([*small, *large[:2]])]
    asked += [Job(10 + k, small[k], {"epochs": 4}, k) for k in range(2)] + [Job(20, large[0], {"epochs": 5}, 0)]
    results = list(evaluator.evaluate(asked))
    assert sorted(result.trial for result in results) == sorted(job.trial for job in asked)
    assert all(result.status == "completed" for result in results)
    assert sorted(as_on_a_gpu) == [2, 2, 3]  # four small ones: three and one alone


def test_a_trial_that_cannot_be_built_fails_alone(as_on_a_gpu, monkeypatch):
    evaluator = make_evaluator(tiny_plan(data=AUGMENTED))
    honest = evaluator.initial_network

    def build(job):
        if job.trial == 1:
            raise ValueError("the widths do not fit")
        return honest(job)

    monkeypatch.setattr(evaluator, "initial_network", build)
    results = {result.trial: result for result in evaluator.evaluate(jobs(3))}
    assert as_on_a_gpu == [2]
    assert (results[1].status, results[1].reason) == ("failed", "ValueError: the widths do not fit")
    assert {results[0].status, results[2].status} == {"completed"}


def test_a_trial_that_diverges_fails_alone_and_says_so(as_on_a_gpu, monkeypatch):
    evaluator = make_evaluator(tiny_plan(data=AUGMENTED))
    honest = evaluator.initial_network

    def build(job):
        network = honest(job)
        if job.trial == 2:
            with torch.no_grad():
                next(network.parameters()).fill_(torch.nan)
        return network

    monkeypatch.setattr(evaluator, "initial_network", build)
    results = {result.trial: result for result in evaluator.evaluate(jobs(3))}
    assert "the training loss became nan" in results[2].reason
    assert "TrialError" in results[2].details["traceback"]
    assert {results[0].status, results[1].status} == {"completed"}


@pytest.mark.thorough
@pytest.mark.parametrize(("most", "sizes"), [(2, [4, 2, 2]), (1, [4, 2, 2])])
def test_a_cohort_that_memory_has_no_room_for_is_cut_in_halves_down_to_one(monkeypatch, as_on_a_gpu, most, sizes):
    honest = side_by_side.train_cohort

    def limited(members, *rest, **named):
        reports = honest(members, *rest, **named)
        if len(members) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return reports

    monkeypatch.setattr(side_by_side, "train_cohort", limited)
    evaluator = make_evaluator(tiny_plan(data=AUGMENTED))
    results = list(evaluator.evaluate(jobs()))
    assert as_on_a_gpu == sizes
    assert plain(results) == plain(result for job in jobs() for result in evaluator.evaluate([job]))
    alone = [result.details.get("not_side_by_side") for result in results]
    assert alone == [None if most == 2 else "OutOfMemoryError: CUDA out of memory"] * 4


def test_what_a_cohort_cannot_do_is_done_one_by_one_with_a_note(monkeypatch, as_on_a_gpu):
    def broken(*arguments, **named):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(side_by_side, "train_cohort", broken)
    evaluator = make_evaluator(tiny_plan(data=AUGMENTED))
    results = list(evaluator.evaluate(jobs(2)))
    assert plain(results) == plain(result for job in jobs(2) for result in evaluator.evaluate([job]))
    said = "RuntimeError: operation not permitted when stream is capturing"
    assert {result.details["not_side_by_side"] for result in results} == {said}
    assert json.dumps([result.to_json() for result in results])


def test_several_jobs_are_asked_for_on_a_gpu_and_of_small_networks_only():
    asked = {"device": "cuda", "batch": 128, "network": {}}
    small, one = load_space("pooling_resnet20"), Standalone()
    architecture = small.known["default"].architecture
    assert one.jobs_at_once(small, architecture, **asked) == side_by_side.TOGETHER
    assert one.jobs_at_once(small, architecture, **{**asked, "device": "cpu"}) == 1
    assert Standalone(cuda_graph=False).jobs_at_once(small, architecture, **asked) == 1
    large = load_space("mobile_cnn")
    assert one.jobs_at_once(large, large.sample(np.random.default_rng(0)), **{**asked, "batch": 4096}) == 1


def test_a_network_is_small_by_what_a_step_computes():
    space = load_space("pooling_resnet20")
    known = space.known["default"]
    batch = int(SMALL_STEP_MACS // 40813184)
    assert is_small(space, known.architecture, batch, {})
    assert not is_small(space, known.architecture, batch + 1, {})
