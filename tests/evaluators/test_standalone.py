"""The stand-alone evaluator: measurements, failures, resolutions."""

from __future__ import annotations

import dataclasses
import gc
import math
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from nasengine.errors import InputError
from nasengine.evaluators import Standalone, StandaloneEvaluator, make_evaluator, standalone
from nasengine.records import Job
from tests.evaluators.prepared import write_supernet
from tests.evaluators.tiny import tiny_plan, tiny_space

SPACE = tiny_space()
ARCHITECTURE = SPACE.sample(np.random.default_rng(0))


def measure(evaluator, *, epochs=2, seed=1, architecture=ARCHITECTURE):
    (result,) = evaluator.evaluate([Job(7, architecture, {"epochs": epochs}, seed)])
    return result


def test_a_completed_trial_has_every_metric_and_its_learning_curve():
    evaluator = make_evaluator(tiny_plan())
    result = measure(evaluator, epochs=6)
    assert (result.trial, result.status, result.reason) == (7, "completed", "")
    assert result.measurements.keys() == evaluator.metrics.keys()
    assert all(math.isfinite(value) for value in result.measurements.values())
    assert result.measurements["accuracy"] > 0.6
    assert [point["epoch"] for point in result.details["curve"]] == [1, 2, 3, 4, 5, 6]
    assert result.seconds > 0


def test_measurements_depend_on_the_job_alone():
    evaluator = make_evaluator(tiny_plan())
    first = measure(evaluator)
    measure(evaluator, seed=2)
    torch.manual_seed(3)
    assert measure(evaluator).measurements == first.measurements
    assert measure(make_evaluator(tiny_plan())).measurements == first.measurements
    assert measure(evaluator, seed=2).measurements != first.measurements


def test_what_torch_imports_late_is_there_before_the_first_trial_is_timed():
    code = (
        "import sys\n"
        "from tests.evaluators.test_standalone import SPACE, measure, make_evaluator, tiny_plan\n"
        "evaluator = make_evaluator(tiny_plan())\n"
        "before = set(sys.modules)\n"
        "measure(evaluator, epochs=1)\n"
        "print(len(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40


def test_several_jobs_give_one_result_each_in_turn():
    evaluator = make_evaluator(tiny_plan())
    jobs = [Job(trial, ARCHITECTURE, {"epochs": 1}, trial) for trial in (4, 2, 9)]
    assert [result.trial for result in evaluator.evaluate(jobs)] == [4, 2, 9]


def test_a_training_that_diverges_is_a_failed_trial_with_its_reason():
    hot = {"optimizer": {"type": "sgd", "rate": 1e30}, "schedule": "constant"}
    result = measure(make_evaluator(tiny_plan(evaluator=hot)))
    assert result.status == "failed"
    assert result.measurements == {}
    assert "training loss became" in result.reason
    assert "\n" not in result.reason
    assert "TrialError" in result.details["traceback"]


def test_a_validation_loss_that_is_no_number_is_a_failed_trial(monkeypatch):
    monkeypatch.setattr(standalone, "evaluate", lambda *_, **__: {"accuracy": 0.5, "loss": math.nan})
    result = measure(make_evaluator(tiny_plan()))
    assert (result.status, result.reason) == ("failed", "the validation loss is nan")


def test_an_architecture_that_cannot_be_built_is_a_failed_trial():
    layers = [
        {"type": "conv_norm_activation", "width": 4, "kernel": {"choice": [3, 5]}},
        *[{"type": "max_pool", "kernel": 2, "stride": 2}] * 4,
        {"type": "linear_head"},
    ]
    space = tiny_space(network={"type": "sequential", "layers": layers})
    architecture = space.sample(np.random.default_rng(0))
    result = measure(make_evaluator(tiny_plan(space)), architecture=architecture)
    assert result.status == "failed"
    assert result.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore."),
            "OutOfMemoryError: CUDA out of",
        ),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_a_trial_raises_fails_it_alone(monkeypatch, error, reason):
    evaluator = make_evaluator(tiny_plan())
    honest = standalone.train_member
    calls = []

    def faulty(*arguments, **more):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return honest(*arguments, **more)

    monkeypatch.setattr(standalone, "train_member", faulty)
    jobs = [Job(trial, ARCHITECTURE, {"epochs": 1}, 0) for trial in (0, 1)]
    first, second = evaluator.evaluate(jobs)
    assert first.status == "failed"
    assert first.reason.startswith(reason)
    assert "\n" not in first.reason
    assert "Traceback" in first.details["traceback"]
    assert second.status == "completed"


def test_a_failed_trial_lets_its_network_go(monkeypatch):
    networks: list[weakref.ref[nn.Module]] = []

    def faulty(member, *_, **__):
        networks.append(weakref.ref(member.network))
        raise RuntimeError("no")

    monkeypatch.setattr(standalone, "train_member", faulty)
    measure(make_evaluator(tiny_plan()))
    gc.collect()
    assert networks[0]() is None


def test_an_interrupt_is_no_failed_trial(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    evaluator = make_evaluator(tiny_plan())
    monkeypatch.setattr(standalone, "train_member", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(evaluator)


def test_a_resolution_that_is_chosen_is_the_resolution_trained_at(monkeypatch):
    space = tiny_space(task={"kind": "image_classification", "input": [1, {"choice": [8, 12]}, "same"], "classes": 4})
    evaluator = make_evaluator(tiny_plan(space))
    seen = []
    honest = standalone.train_member
    monkeypatch.setattr(
        standalone,
        "train_member",
        lambda member, part, *a, **k: (seen.append(part.images.shape), honest(member, part, *a, **k))[1],
    )
    for height in (8, 12, 8):
        options = {**space.sample(np.random.default_rng(0)).to_json(), "task.resolution": height}
        result = measure(evaluator, architecture=space.architecture(options), epochs=1)
        assert result.status == "completed", result.reason
    assert [tuple(shape[-2:]) for shape in seen] == [(8, 8), (12, 12), (8, 8)]


def test_label_smoothing_changes_the_training_and_not_the_measured_loss():
    smooth = make_evaluator(tiny_plan(evaluator={"label_smoothing": 0.2}))
    plain = make_evaluator(tiny_plan())
    assert isinstance(smooth, StandaloneEvaluator)
    assert smooth.task == dataclasses.replace(plain.task, label_smoothing=0.2)
    assert measure(smooth).measurements != measure(plain).measurements


def test_label_smoothing_is_refused_for_a_task_without_it():
    class Odd:
        def loss(self, outputs, targets):
            return outputs.mean()

    with pytest.raises(InputError, match="label_smoothing"):
        standalone.smoothed(Odd(), 0.1)


def test_a_search_without_held_out_images_is_refused():
    with pytest.raises(InputError, match=r"data\.validation above 0"):
        make_evaluator(tiny_plan(data={"validation": 0.0}))


def test_settings_are_checked_without_data():
    with pytest.raises(InputError) as caught:
        Standalone(optimizer={"type": "sdg"}, schedule={"type": "cosine", "lust": 1}, ema=2.0)
    assert len(caught.value.problems) == 3


def test_a_budget_that_is_none_fails_the_trial_with_the_units():
    (result,) = make_evaluator(tiny_plan()).evaluate([Job(0, ARCHITECTURE, {"seconds": 3})])
    assert result.status == "failed"
    assert "seconds" in result.reason


def test_trials_in_a_run_that_was_moved_with_the_weights_they_started_from_are_gone_on_with(tmp_path):
    def measured(run: str) -> float:
        folders = {
            "checkpoints": str(tmp_path / run / "search" / "checkpoints"),
            "artifact": tmp_path / run / "prepare",
        }
        evaluator = make_evaluator(tiny_plan(**folders))
        (result,) = evaluator.evaluate([Job(7, ARCHITECTURE, {"epochs": 2, "of_epochs": 4}, 1)])
        return result.details["images_per_second"]

    write_supernet(tmp_path / "run" / "prepare")
    assert measured("run") > 0
    (tmp_path / "run").rename(tmp_path / "moved")
    assert measured("moved") == 0  # nothing was left to train
