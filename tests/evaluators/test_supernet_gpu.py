"""The supernet evaluator on a GPU: the scores of a CPU, in seconds, waiting for the device only to read the metrics."""

from __future__ import annotations

import time
import warnings

import pytest
import torch

from nasengine.data import Part
from nasengine.evaluators import EvaluatorInputs, make_evaluator, make_task
from nasengine.evaluators.supernet import LARGE_BATCH, InheritedWeights
from nasengine.records import Job
from nasengine.space import load_space
from nasengine.supernet.artifact import SupernetArtifact
from tests.evaluators.prepared import write_supernet
from tests.evaluators.test_supernet import ARCHITECTURES, plan

pytestmark = pytest.mark.gpu
BY_BATCH = {"norm": {"affine": False, "statistics": "batch"}}


def made(folder, images, *, space=None, network=None, statistics="batch"):
    """An evaluator of the pooling space on so many random images."""
    space = space or load_space("pooling_resnet20")
    device = torch.device("cuda")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (images,), generator=generator)
    part = Part(pixels, labels, (0.5,) * 3, (0.25,) * 3).to(device)
    artifact = SupernetArtifact.read(write_supernet(folder, space, network=network or {}))
    inputs = EvaluatorInputs(space, make_task(space), part, part, device, batch=128, artifact=artifact)
    return InheritedWeights(statistics=statistics).evaluator(inputs)


@pytest.mark.parametrize("statistics", ["batch", "recalibrate", "running"])
def test_scores_are_those_of_a_cpu(tmp_path, statistics):
    folder = write_supernet(tmp_path)
    jobs = [Job(trial, architecture) for trial, architecture in enumerate(ARCHITECTURES)]
    settings = {"statistics": statistics, "precision": "float32"}
    here, there = (make_evaluator({**plan(folder, **settings), "device": device}) for device in ("cpu", "cuda"))
    assert there.large_batch == LARGE_BATCH
    for one, other in zip(here.evaluate(jobs), there.evaluate(jobs), strict=True):
        assert other.status == "completed", other.reason
        assert other.measurements["loss"] == pytest.approx(one.measurements["loss"], rel=1e-2)
        assert other.measurements["accuracy"] == pytest.approx(one.measurements["accuracy"], abs=0.03)


def test_several_batches_at_once_score_what_one_after_another_does(tmp_path):
    evaluator = made(tmp_path, 5_000, network=BY_BATCH)
    architecture = evaluator.inputs.space.known["default"].architecture
    (several,) = evaluator.evaluate([Job(0, architecture)])
    evaluator.large_batch = 128
    (one,) = evaluator.evaluate([Job(0, architecture)])
    assert several.measurements["loss"] == pytest.approx(one.measurements["loss"], rel=5e-3)
    assert several.measurements["accuracy"] == pytest.approx(one.measurements["accuracy"], abs=0.01)


@pytest.mark.parametrize("statistics", ["batch", "recalibrate"])
def test_the_number_of_images_does_not_change_how_often_the_device_is_waited_for(tmp_path, statistics):
    def waits(images):
        evaluator = made(tmp_path / str(images), images, statistics=statistics)
        job = Job(0, evaluator.inputs.space.known["default"].architecture)
        list(evaluator.evaluate([job]))  # its view is made
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                (result,) = evaluator.evaluate([job])
            finally:
                torch.cuda.set_sync_debug_mode("default")
        assert result.status == "completed", result.reason
        return sum("called a synchronizing" in str(warning.message) for warning in caught)

    assert waits(4_096) == waits(16_384)


def test_36_configurations_on_25_000_images_take_seconds(tmp_path):
    evaluator = made(tmp_path, 25_000, network=BY_BATCH)
    jobs = [Job(trial, architecture) for trial, architecture in enumerate(evaluator.inputs.space.enumerate())]
    began = time.perf_counter()
    results = list(evaluator.evaluate(jobs))
    assert [result.status for result in results] == ["completed"] * 36
    assert time.perf_counter() - began < 30
