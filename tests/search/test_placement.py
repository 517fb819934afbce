"""Where a run is measured: what is refused, what is filled in, and that a run may go on elsewhere."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import nasengine as nas
from nasengine.errors import InputError
from nasengine.evaluators import load_materials, shared_arrays
from nasengine.runs import canonical_records
from nasengine.search.final_training import TrainingPlan, make_final_training
from nasengine.search.placement import AS_MANY_AS_FIT, available_cores, moved, place
from nasengine.search.run_file import RunSettings, read_run_file, settings_of_run, to_yaml
from nasengine.search.searching import evaluation_plan
from tests.search.small import STRATEGY, quick_search, quick_strategy, small_space

sys.path.insert(0, str(Path(__file__).parents[2]))  # workers are told the path


def settings(**fields: Any) -> RunSettings:
    return RunSettings(small_space(), quick_strategy(), "synthetic", **fields)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"executor": "rya"}, "did you mean 'ray'"),
        ({"executor": "local", "address": "auto"}, "the executor local joins no cluster\n  expected the executor ray"),
        ({"executor": "local", "gpus": 0.5}, "0.5 GPUs for a worker, but the executor local gives none"),
        ({"executor": "in_process", "workers": 2}, "2 workers, but the executor in_process has none"),
        ({"executor": "ray", "gpus": -1}, "-1 GPUs for a worker"),
        ({"executor": "ray", "gpus": 1.5}, "a part of one, such as 0.5, or a whole number"),
        ({"executor": "ray", "gpus": float("nan")}, "nan GPUs"),
        ({"executor": "ray", "device": "cuda"}, "the device cuda, but no GPU for the workers"),
        ({"executor": "ray", "device": "cpu", "gpus": 1}, "1 GPUs for a worker, but the device cpu"),
        ({"executor": "ray", "device": "cuda:1", "gpus": 1}, "which GPU it is, the cluster says"),
        ({"executor": "ray", "workers": 0}, "workers is 0"),
    ],
)
def test_what_an_executor_cannot_do_is_refused(asked: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        place(settings(), **{"device": "auto", **asked})


@pytest.mark.ray
def test_workers_with_gpus_compute_on_them_whatever_this_machine_has() -> None:
    placed = place(settings(), executor="ray", gpus=0.5, workers=4, device="auto")
    assert (placed.device, placed.gpus, placed.workers) == ("cuda", 0.5, 4)
    assert place(settings(), executor="ray", device="auto").device == "cpu"


@pytest.mark.ray
def test_workers_are_one_for_each_core_here_and_what_fits_on_a_named_cluster() -> None:
    assert place(settings(), executor="ray").workers == available_cores()
    assert place(settings(), executor="ray", address="auto").workers == AS_MANY_AS_FIT
    assert place(settings(), executor="local").workers == available_cores()
    assert place(settings()).workers == 1


@pytest.mark.ray
def test_another_executor_takes_nothing_over_from_the_one_before() -> None:
    begun = place(settings(), executor="ray", address="auto", workers=7)
    assert place(begun) == begun
    here = place(begun, executor="in_process")
    assert (here.executor, here.workers, here.address) == ("in_process", 1, None)


def test_placement_is_in_run_yaml_and_files_without_it_are_read(tmp_path: Path) -> None:
    run = quick_search(tmp_path / "run", "search.budget.trials=1", text=STRATEGY.partition("  - retrain")[0])
    content = read_run_file(run.folder)
    assert (content["address"], content["gpus"]) == (None, 0.0)
    del content["address"], content["gpus"]
    (run.folder / "run.yaml").write_text(to_yaml(content))
    old = settings_of_run(run.folder)
    assert (old.address, old.gpus) == (None, 0.0)


def test_a_data_set_that_was_moved_is_read_where_it_lies_now(tmp_path: Path) -> None:
    assert moved(settings(data_folder="/before"), None).data_folder == "/before"
    assert moved(settings(data_folder="/before"), tmp_path).data_folder == str(tmp_path.resolve())


def test_a_data_set_from_shared_arrays_is_the_one_that_was_loaded() -> None:
    chosen = settings()
    phase = chosen.strategy.phases[0]  # holds a quarter of the images out
    plan = evaluation_plan(chosen, phase, {"type": "standalone"})
    arrays = shared_arrays(plan)
    for array in arrays.values():
        array.flags.writeable = False
    loaded, shared = load_materials(plan), load_materials(plan, arrays)
    for name in ("training", "validation"):
        expected, found = getattr(loaded.inputs(), name), getattr(shared.inputs(), name)
        assert found.images.equal(expected.images)
        assert found.labels.equal(expected.labels)
        assert (found.mean, found.std) == (expected.mean, expected.std)
    assert shared.inputs().training.images.data_ptr() == arrays["train_images"].ctypes.data
    assert shared.dataset.test_images.equal(loaded.dataset.test_images)
    assert shared.dataset.test_labels.equal(loaded.dataset.test_labels)
    for name in ("name", "class_names", "about"):
        assert getattr(shared.dataset, name) == getattr(loaded.dataset, name)


def test_a_worker_that_does_not_see_the_runs_folder_says_so(tmp_path: Path) -> None:
    plan = TrainingPlan({}, str(tmp_path / "elsewhere" / "retrain"), (), ())
    with pytest.raises(InputError, match=r"does not see the run's folder .*elsewhere\n  expected --run in a folder"):
        make_final_training(plan)


@pytest.mark.ray
def test_a_run_begun_in_process_goes_on_on_a_cluster_to_the_same_end(ray_machines: Any, tmp_path: Path) -> None:
    here = quick_search(tmp_path / "here")

    class EnoughError(Exception):
        """Two trials are in the journal."""

    def stop(event: Any) -> None:
        if event.to_json()["event"] == "search_ended" and event.progress.ended == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        quick_search(tmp_path / "moved", on_event=stop)
    run = nas.resume(tmp_path / "moved", executor="ray", workers=2)
    assert canonical_records(run.folder) == canonical_records(here.folder)
    assert [record.measurements for record in run.retrained] == [record.measurements for record in here.retrained]
    assert run.settings.executor == "in_process"
