"""The supernet evaluator: scores are those of the plain network with the weights it inherits, however it is run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nasengine.data import DATASETS
from nasengine.errors import InputError, RunError
from nasengine.evaluators import load_materials, make_evaluator, shared_arrays
from nasengine.evaluators.supernet import InheritedWeights
from nasengine.records import Job
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.supernet.calibration import recalibrated
from nasengine.training import evaluate
from nasengine.training.batches import Normalize
from tests.evaluators.prepared import write_supernet
from tests.evaluators.tiny import TINY, tiny_plan, tiny_space

ARCHITECTURES = list(tiny_space().enumerate())
PLAIN = {"kind": "batch", "affine": False, "statistics": "batch"}


def plan(folder, space=None, *, data=None, **settings):
    changed = tiny_plan(space, data=data or {})
    return {**changed, "evaluator": {"type": "supernet", **settings}, "artifact": str(folder)}


def scores(plan, *architectures):
    evaluator = make_evaluator(plan)
    jobs = [Job(trial, architecture) for trial, architecture in enumerate(architectures or ARCHITECTURES)]
    results = list(evaluator.evaluate(jobs))
    assert all(result.status == "completed" for result in results), [result.reason for result in results]
    return [dict(result.measurements) for result in results]


def by_batch_space():
    """The tiny space with norms that use the statistics of the batch."""
    layers = [{**layer, "norm": PLAIN} if "width" in layer else layer for layer in TINY["network"]["layers"]]
    return tiny_space(network={**TINY["network"], "layers": layers})


def test_running_statistics_score_what_the_copied_out_network_scores(tmp_path):
    folder = write_supernet(tmp_path)
    found = scores(plan(folder, statistics="running"))
    supernet = SupernetArtifact.read(folder).supernet(tiny_space())
    inputs = load_materials(plan(folder)).inputs()
    for architecture, measured in zip(ARCHITECTURES, found, strict=True):
        network = supernet.subnet(architecture)
        assert measured == evaluate(network, inputs.validation, inputs.task, batch=32)


def test_recalibrated_scores_are_those_of_a_copy_whose_norms_saw_the_training_images(tmp_path):
    folder = write_supernet(tmp_path)
    found = scores(plan(folder, images=100))  # three batches of 32
    supernet = SupernetArtifact.read(folder).supernet(tiny_space())
    inputs = load_materials(plan(folder)).inputs()
    order = np.random.default_rng(0).permutation(len(inputs.training))[:96]
    normalize = Normalize(inputs.training.mean, inputs.training.std)
    images = normalize(inputs.training.select(order).images)
    for architecture, measured in zip(ARCHITECTURES, found, strict=True):
        network = supernet.subnet(architecture)
        with recalibrated(network, torch.split(images, 32)):
            expected = evaluate(network, inputs.validation, inputs.task, batch=32)
        assert measured == expected
    assert found != scores(plan(folder, statistics="running"))
    assert found != scores(plan(folder, images=64))


def test_with_statistics_of_the_batch_the_last_smaller_batch_is_left_out(tmp_path):
    folder = write_supernet(tmp_path)
    data = {"batch": 48}  # of 128 validation images: two batches and 32 images
    found = scores(plan(folder, statistics="batch", data=data))
    supernet = SupernetArtifact.read(folder).supernet(tiny_space())
    inputs = load_materials(plan(folder, data=data)).inputs()
    normalize = Normalize(inputs.training.mean, inputs.training.std)
    for architecture, measured in zip(ARCHITECTURES, found, strict=True):
        network = supernet.subnet(architecture).train()
        right, loss = 0, 0.0
        with torch.no_grad():
            for start in (0, 48):
                outputs = network(normalize(inputs.validation.images[start : start + 48]))
                labels = inputs.validation.labels[start : start + 48]
                right += int((outputs.argmax(1) == labels).sum())
                loss += float(torch.nn.functional.cross_entropy(outputs, labels, reduction="sum").double())
        assert measured["accuracy"] == pytest.approx(right / 96, abs=1e-12)
        assert measured["loss"] == pytest.approx(loss / 96, rel=1e-6)


def test_several_batches_at_once_score_what_one_after_another_does(tmp_path, monkeypatch):
    folder, data = write_supernet(tmp_path), {"batch": 24}  # five batches of the 128 images, and 8 that are left out
    one, several = (make_evaluator(plan(folder, statistics="batch", data=data)) for _ in range(2))
    several.large_batch = 48  # as on a GPU: twice two at once, then the fifth
    seen = []
    monkeypatch.setattr(
        "nasengine.evaluators.supernet.evaluate",
        lambda network, part, *a, **k: (seen.append((len(part), k["batch"])), evaluate(network, part, *a, **k))[1],
    )
    for architecture in ARCHITECTURES:
        (expected,), (found,) = one.evaluate([Job(0, architecture)]), several.evaluate([Job(0, architecture)])
        assert found.measurements == pytest.approx(expected.measurements, rel=1e-5)
        assert found.measurements["accuracy"] == pytest.approx(expected.measurements["accuracy"], abs=1e-9)
    assert seen[:3] == [(120, 24), (96, 48), (24, 24)]


@pytest.mark.parametrize("statistics", ["recalibrate", "running"])
def test_norms_that_keep_no_averages_go_by_the_batch_whatever_is_said(tmp_path, statistics):
    space = by_batch_space()
    folder = write_supernet(tmp_path, space)
    said = scores(plan(folder, space, statistics=statistics, data={"batch": 48}))
    assert said == scores(plan(folder, space, statistics="batch", data={"batch": 48}))


def test_scoring_changes_nothing_of_the_shared_weights(tmp_path):
    evaluator = make_evaluator(plan(write_supernet(tmp_path)))
    before = {key: value.clone() for key, value in evaluator.supernet.state().items()}
    list(evaluator.evaluate([Job(trial, architecture) for trial, architecture in enumerate(ARCHITECTURES)]))
    after = evaluator.supernet.state()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_the_table_of_a_mixture_says_which_weights_score_an_architecture(tmp_path):
    rows = [architecture.to_json() for architecture in ARCHITECTURES]
    table = {"configurations": rows, "probabilities": [[0.2, 0.8] if i % 2 else [0.9, 0.1] for i in range(len(rows))]}
    folder = write_supernet(tmp_path / "mixture", models=2, table=table)
    evaluator = make_evaluator(plan(folder))
    results = list(evaluator.evaluate([Job(trial, a) for trial, a in enumerate(ARCHITECTURES)]))
    assert [result.details["model"] for result in results] == [i % 2 for i in range(len(rows))]
    first = scores(plan(write_supernet(tmp_path / "first", models=2)))  # without a table: the first weights
    second = [dict(result.measurements) for result in results]
    assert [a == b for a, b in zip(first, second, strict=True)] == [i % 2 == 0 for i in range(len(rows))]


def test_the_images_are_at_the_resolution_that_is_chosen(tmp_path, monkeypatch):
    space = tiny_space(task={"kind": "image_classification", "input": [1, {"choice": [8, 12]}, "same"], "classes": 4},
                       network={**TINY["network"], "layers": [*TINY["network"]["layers"][:3],
                                {"type": "global_average_pool"}, {"type": "linear_head"}]})  # fmt: skip
    folder = write_supernet(tmp_path, space)
    seen = []
    monkeypatch.setattr(
        "nasengine.evaluators.supernet.evaluate",
        lambda network, part, *a, **k: (seen.append(part.images.shape[-1]), evaluate(network, part, *a, **k))[1],
    )
    options = ARCHITECTURES[0].to_json()
    chosen = [space.architecture({**options, "task.resolution": size}) for size in (8, 12, 8)]
    found = scores(plan(folder, space), *chosen)
    assert seen == [8, 12, 8]
    assert found[0] == found[2]


def test_a_cluster_worker_is_given_the_weights_and_reads_no_file(tmp_path, monkeypatch):
    folder = write_supernet(tmp_path / "there")
    here = plan(folder)
    arrays = shared_arrays(here)
    expected = scores(here)
    folder.rename(tmp_path / "gone")
    monkeypatch.setitem(DATASETS, "synthetic", lambda request: pytest.fail("images were loaded"))
    for array in arrays.values():
        array.setflags(write=False)
    evaluator = make_evaluator(here, arrays)
    found = [dict(r.measurements) for r in evaluator.evaluate([Job(t, a) for t, a in enumerate(ARCHITECTURES)])]
    assert found == expected


def test_weights_that_are_missing_damaged_or_of_another_space_are_refused(tmp_path):
    with pytest.raises(RunError, match="holds no shared weights"):
        make_evaluator(plan(tmp_path / "nowhere"))
    folder = write_supernet(tmp_path / "there")
    with pytest.raises(InputError, match="are of the space tiny"):
        make_evaluator(plan(folder, by_batch_space()))
    (folder / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(RunError, match="cannot be read"):
        make_evaluator(plan(folder))
    without = {key: value for key, value in plan(folder).items() if key != "artifact"}
    with pytest.raises(InputError, match="no shared weights to score"):
        make_evaluator(without)


def test_a_device_that_is_none_is_no_damage_of_the_weights(tmp_path):
    artifact = SupernetArtifact.read(write_supernet(tmp_path / "there"))
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        artifact.supernet(tiny_space(), device="gpu")


def test_settings_are_checked_without_data():
    with pytest.raises(InputError) as caught:
        InheritedWeights(statistics="moving", images=0, precision="float8")
    assert len(caught.value.problems) == 3


DAMAGED = [
    ("supernet.json", b'{"format": 1}', "supernet.json is damaged: there is no 'space' in it"),
    ("supernet.json", b"[]", "supernet.json is damaged: it holds no mapping"),
    ("supernet.json", b"\xff", "supernet.json cannot be read"),
    ("table.json", b'{"configurations": [1], "probabilities": [[]]}', "table.json is damaged"),
    ("table.json", b"{}", "table.json is damaged: there is no 'configurations' in it"),
    ("weights.safetensors", b"", "the shared weights cannot be read: .*weights.safetensors"),
]


@pytest.mark.parametrize(("name", "content", "expected"), DAMAGED)
def test_a_damaged_artifact_is_refused_by_the_name_of_the_file(tmp_path, name, content, expected):
    folder = write_supernet(tmp_path / "there")
    SupernetArtifact.read(folder).check_weights()
    (folder / name).write_bytes(content)
    with pytest.raises(RunError, match=expected):
        SupernetArtifact.read(folder).check_weights()


def test_weights_that_are_not_what_is_said_of_them_are_refused_in_one_sentence(tmp_path):
    folder = write_supernet(tmp_path / "there")
    about = json.loads((folder / "supernet.json").read_text())
    (folder / "supernet.json").write_text(json.dumps({**about, "models": about["models"] + 1}))
    artifact = SupernetArtifact.read(folder)
    with pytest.raises(RunError, match=r"weights.safetensors holds \d sets of weights, and .*supernet.json speaks of"):
        artifact.check_weights()
    with pytest.raises(RunError, match=r"does not hold what .* says: the weights lack .*, and more$"):
        artifact.supernet(tiny_space())
