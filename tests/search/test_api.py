"""Whole runs from Python: searched, retrained, interrupted, resumed, exported."""

import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch

import nasengine as nas
from nasengine.errors import InputError, RunError
from nasengine.runs import canonical_records
from nasengine.search.api import trained
from nasengine.search.events import Note, PhaseSkipped, RunEnded, SearchProgress, TrainingEnded, TrainingProgress
from tests.search.small import STRATEGY, quick_search, quick_strategy, small_space


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that is done, and the events it told. Tests read it only."""
    events = []
    return quick_search(tmp_path_factory.mktemp("runs") / "done", on_event=events.append), events


def canonical(run):
    return [json.dumps(record, sort_keys=True) for record in canonical_records(run.folder)]


def test_a_run_leaves_what_the_design_lists(finished):
    run, _ = finished
    files = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    assert {"run.yaml", "journal.jsonl", "search/architectures.jsonl", "retrain/results.jsonl"} <= files
    assert sum(name.startswith("tensorboard/search/events") for name in files) == 1
    curves = {name.split("/")[2] for name in files if name.startswith("tensorboard/search/trial-")}
    assert curves == {f"trial-{trial.number}" for trial in run.trials}
    assert sum(name.endswith("weights.safetensors") for name in files) == 4
    assert not any("checkpoint" in name for name in files)


def test_the_best_is_the_first_of_the_ranking_with_the_weights_of_its_first_seed(finished):
    run, _ = finished
    best = run.best
    assert best.trial == run.ranked[0]
    assert best.architecture == run.ranked[0].architecture
    assert [record.repeat for record in best.retrained] == [0, 1]
    assert best.weights == run.folder / "retrain" / f"trial-{best.trial.number}-seed-0" / "weights.safetensors"
    assert best.measurements["test_accuracy"] == best.retrained[0].measurements["test_accuracy"]
    assert best.measurements["accuracy"] == best.trial.measurements["accuracy"]


def test_a_baseline_that_is_trained_last_is_not_the_best(tmp_path):
    baseline = "  - retrain: {name: baseline, architecture: known.narrow, budget: {epochs: 1}}\n"
    run = quick_search(tmp_path / "run", "search.budget.trials=2", "retrain.seeds=1", text=STRATEGY + baseline)
    assert [record.phase for record in run.retrained][-1] == "baseline"
    assert run.best.trial == run.ranked[0]
    assert {record.phase for record in run.best.retrained} == {"retrain"}


def test_a_run_says_when_an_epoch_has_only_a_step_or_two(tmp_path):
    events = []
    quick_search(tmp_path / "run", "data.batch=256", "search.budget.trials=1", on_event=events.append)
    notes = [event.message for event in events if isinstance(event, Note)]
    assert notes == ["384 training images in batches of 256 are 1 step an epoch; try --set data.batch=16"]
    events.clear()
    small = ("data.batch=16", "data.limit=40", "search.budget.trials=1")
    quick_search(tmp_path / "small", *small, on_event=events.append)
    (note,) = [event.message for event in events if isinstance(event, Note)]
    assert note.endswith("training images in batches of 16 are 1 step an epoch; take more images")


def test_two_seeds_give_a_mean_and_a_deviation(finished):
    run, _ = finished
    first, second = (record.measurements["test_loss"] for record in run.best.retrained)
    assert first != second
    spread = run.best.spreads["test_loss"]
    assert (spread.n, spread.mean) == (2, pytest.approx((first + second) / 2))
    assert spread.deviation == pytest.approx(abs(first - second) / math.sqrt(2))


def test_no_figure_of_the_test_part_is_in_the_journal(finished):
    run, _ = finished
    journal = (run.folder / "journal.jsonl").read_text()
    assert "test_" not in journal
    for record in run.retrained:
        assert repr(record.measurements["test_loss"]) not in journal


def test_saved_weights_give_the_accuracy_that_was_reported(finished):
    from safetensors.torch import load_file

    from nasengine.data import load_data
    from nasengine.evaluators import make_task
    from nasengine.training import evaluate

    run, _ = finished
    network = nas.build(run.space, run.best.architecture)
    network.load_state_dict(load_file(run.best.weights))
    test = load_data("synthetic", shape=(1, 8, 8), classes=4).test
    measured = evaluate(network, test, make_task(run.space))
    assert measured["accuracy"] == run.best.measurements["test_accuracy"]


def test_events_tell_the_whole_run_in_order_and_as_json(finished):
    run, events = finished
    words = [event.to_json()["event"] for event in events]
    assert words[0] == "run_started"
    assert words[-1] == "run_ended"
    assert words.count("search_ended") == 4
    assert words.count("retrain_ended") == 4
    assert words.count("retrain_progress") == 8
    assert [word for word in words if word.startswith("phase_")] == ["phase_started", "phase_ended"] * 2
    for event in events:
        json.dumps(event.to_json(), allow_nan=False)
    ended = [event for event in events if isinstance(event, TrainingEnded)]
    assert [(event.done, event.of) for event in ended] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    bests = [event.best for event in events if isinstance(event, SearchProgress) and event.progress.kind == "done"]
    assert bests == [run.ranked[0]]


def test_a_run_that_is_done_is_not_run_again(finished):
    run, _ = finished
    before = (run.folder / "journal.jsonl").read_bytes(), (run.folder / "retrain" / "results.jsonl").read_bytes()
    events = []
    nas.resume(run.folder, on_event=events.append)
    assert [event.reason for event in events if isinstance(event, PhaseSkipped)] == ["finished before"] * 2
    assert isinstance(events[-1], RunEnded)
    after = (run.folder / "journal.jsonl").read_bytes(), (run.folder / "retrain" / "results.jsonl").read_bytes()
    assert before == after


def test_two_worker_processes_find_what_this_process_finds(finished, tmp_path):
    run, _ = finished
    text = STRATEGY.partition("  - retrain")[0]
    assert canonical(quick_search(tmp_path / "run", text=text, executor="local", workers=2)) == canonical(run)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_whole_run_with_worker_processes_measures_what_this_process_measures(finished, tmp_path, workers):
    run, _ = finished
    other = quick_search(tmp_path / "run", executor="local", workers=workers)
    assert canonical(other) == canonical(run)
    assert [record.measurements for record in other.retrained] == [record.measurements for record in run.retrained]


@pytest.mark.parametrize("stop_at", ["search", "retrain"])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(finished, tmp_path, stop_at):
    run, _ = finished

    def interrupt(event):
        in_search = isinstance(event, SearchProgress) and event.progress.kind == "ended" and event.progress.ended == 2
        in_training = isinstance(event, TrainingProgress) and event.name.endswith("seed-1") and event.epoch == 1
        if (in_search and stop_at == "search") or (in_training and stop_at == "retrain"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick_search(tmp_path / "run", on_event=interrupt)
    assert (stop_at == "retrain") == bool(list((tmp_path / "run").rglob("checkpoint_*")))
    events = []
    resumed = nas.resume(tmp_path / "run", on_event=events.append)
    assert canonical(resumed) == canonical(run)
    assert [record.measurements for record in resumed.retrained] == [record.measurements for record in run.retrained]
    if stop_at == "retrain":
        trained = [event.epoch for event in events if isinstance(event, TrainingProgress)]
        assert trained == [2, 1, 2, 1, 2]  # the interrupted one goes on from its checkpoint; the finished one is kept


def test_a_retraining_cut_off_while_its_line_was_written_is_read_not_trained_again(finished, tmp_path):
    run, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    results = copy / "retrain" / "results.jsonl"
    results.write_bytes(results.read_bytes()[:-20])
    events = []
    resumed = nas.resume(copy, on_event=events.append)
    assert not [event for event in events if isinstance(event, TrainingProgress)]
    assert [record.measurements for record in resumed.retrained] == [record.measurements for record in run.retrained]


def test_the_threads_of_this_process_are_put_back(finished):
    assert finished
    assert torch.get_num_threads() == 1
    torch.set_num_threads(2)
    try:
        nas.resume(finished[0].folder)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_finished_run_can_train_another_architecture(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0].folder, copy)
    worst = finished[0].ranked[-1].number
    run = nas.retrain(copy, worst, set=["retrain.budget.epochs=1", "retrain.seeds=1"])
    assert (copy / f"retrain-trial-{worst}" / f"trial-{worst}-seed-0" / "weights.safetensors").is_file()
    assert run.find(worst).measurements["test_accuracy"] >= 0
    assert run.best.trial == finished[0].best.trial
    known = nas.retrain(copy, "known.narrow", set=["retrain.budget.epochs=1", "retrain.seeds=1"]).find("known.narrow")
    assert known.weights == copy / "retrain-known-narrow" / "known-narrow-seed-0" / "weights.safetensors"
    with pytest.raises(InputError, match="there is no trial 77"):
        nas.retrain(copy, 77)
    with pytest.raises(InputError, match=r"did you mean 'known\.narrow'\?"):
        nas.retrain(copy, "known.narow")


def test_an_export_is_told_what_was_measured_and_how(finished):
    run, _ = finished
    told = trained(run.best)
    assert told.measurements == run.best.measurements
    assert told.about["trained for"] == "2 epochs"
    assert told.about["test_accuracy over 2 seeds"].endswith("(n=2)")
    assert told.preprocessing.class_names == ("pattern 0", "pattern 1", "pattern 2", "pattern 3")
    with pytest.raises(InputError, match="no trained weights to export"):
        trained(run.find(run.ranked[-1].number))


@pytest.mark.slow
def test_what_was_found_is_exported(finished, tmp_path):
    run, _ = finished
    exported = nas.export(run, tmp_path / "best")
    assert json.loads((exported.folder / "architecture.json").read_text()) == run.best.architecture.to_json()


def test_a_search_in_which_every_trial_fails_ends_with_the_reason(tmp_path):
    with pytest.raises(RunError, match="nothing to train: no trial of 'search' completed"):
        quick_search(tmp_path / "run", "search.optimizer.rate=1.0e+30", "search.budget.trials=2")
    reasons = {trial.reason for trial in nas.open_run(tmp_path / "run").trials}
    assert all("loss" in reason for reason in reasons)


def test_two_objectives_rank_and_bound(tmp_path):
    text = """
objectives: {accuracy: maximize, macs: {direction: minimize, max: 10000}, params: {min: 1}}
data: {name: synthetic, batch: 32}
phases:
  - search:
      algorithm: exhaustive
      evaluator: {type: standalone, budget: {steps: 1}}
"""
    run = quick_search(tmp_path / "run", text=text)
    assert 0 < len(run.trials) < 8
    assert all(trial.status == "completed" and trial.measurements["macs"] <= 10000 for trial in run.trials)
    front = run.front
    assert [trial.measurements["macs"] for trial in front] == sorted(
        (trial.measurements["macs"] for trial in front), reverse=True
    )
    assert run.best.trial in front
    assert run.best.weights is None
    most = max(trial.measurements["accuracy"] for trial in run.trials)
    assert run.ranked[0].measurements["accuracy"] == most
    assert sorted(trial.number for trial in run.ranked) == [trial.number for trial in run.trials]


def test_a_phase_starts_from_the_weights_and_networks_of_an_earlier_one(tmp_path):
    text = """
objectives: {loss: minimize}
data: {name: synthetic, batch: 32}
phases:
  - retrain: {name: base, architecture: known.narrow, seeds: 2, budget: {epochs: 4}}
  - retrain: {name: tuned, from: base, seeds: 2, optimizer: {type: sgd, rate: 1.0e-9, momentum: 0}, budget: {steps: 1}}
  - retrain: {name: begun, architecture: known.narrow, start: base, optimizer: {type: sgd, rate: 1.0e-9, momentum: 0},
              budget: {steps: 1}}
"""
    run = quick_search(tmp_path / "run", text=text)
    losses = {f"{record.phase}/{record.repeat}": record.measurements["test_loss"] for record in run.retrained}
    # Another step at next to no rate moves only the statistics of the norms, a little.
    assert losses["tuned/0"] == pytest.approx(losses["base/0"], rel=0.1)
    assert losses["tuned/1"] == pytest.approx(losses["base/1"], rel=0.1)
    assert losses["begun/0"] == pytest.approx(losses["base/0"], rel=0.1)
    assert losses["base/0"] != losses["base/1"]
    assert max(losses.values()) < 1.2 < math.log(4)
    assert run.best.retrained[0].phase == "begun"
    other = text.replace("name: base,", f"name: base, start: {run.folder}/base,")
    again = quick_search(tmp_path / "again", text=other)
    assert again.retrained[0].measurements != run.retrained[0].measurements


def test_a_run_needs_no_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    events = []
    run = quick_search(tmp_path / "run", text=STRATEGY.partition("  - retrain")[0], on_event=events.append)
    assert len(run.trials) == 4
    assert not (run.folder / "tensorboard").exists()
    assert any("TensorBoard is not installed" in event.message for event in events if isinstance(event, Note))


def test_short_options_are_overrides_of_the_search(tmp_path):
    from nasengine.search.new_run import new_run_settings

    settings = new_run_settings(small_space(), quick_strategy(), trials=9, epochs=0.5, time="2m", set=["lag=3"])
    search = settings.strategy.phases[0]
    assert search.budget.amounts == {"trials": 9, "seconds": 120}
    assert search.evaluator.budget.amounts == {"epochs": 0.5}
    assert settings.strategy.lag == 3


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"seed": -1}, "the seed is -1"),
        ({"executor": "locl"}, "did you mean 'local'"),
        ({"workers": 2}, "expected the executor local"),
        ({"trial_time": "5s"}, "cannot stop one"),
        ({"workers": 0, "executor": "local"}, "workers is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"time": "soon"}, "'soon' is not a duration"),
        ({"trials": 0}, "--set search.budget.trials=0"),
        ({"data": "fashon"}, "did you mean 'fashion'"),
        ({"data": "cifar10"}, "cifar10"),
        ({"plugins": ["no_such_module"]}, "no_such_module"),
        ({"set": ["search.populaton=3"]}, "no setting of this search phase"),
    ],
)
def test_a_wrong_argument_is_refused_before_a_folder_is_made(tmp_path, keywords, message):
    with pytest.raises(InputError, match=message):
        quick_search(tmp_path / "run", **keywords)
    assert not (tmp_path / "run").exists()


def test_a_run_in_this_process_trains_with_its_number_of_threads(tmp_path):
    seen = set()

    def on_event(event):
        if isinstance(event, TrainingEnded) or (isinstance(event, SearchProgress) and event.progress.kind == "ended"):
            seen.add(torch.get_num_threads())

    quick_search(tmp_path / "run", "search.budget.trials=2", "retrain.seeds=1", threads=2, on_event=on_event)
    assert seen == {2}


def test_a_script_without_its_main_guard_leaves_no_run_of_its_workers(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import nasengine as nas\n"
        "from tests.search.small import quick_strategy, small_space\n"
        "nas.search(small_space(), quick_strategy(), executor='local', workers=2, device='cpu')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small-quick-1"]


def test_two_processes_never_write_one_run(tmp_path, finished):
    from nasengine.runs import Journal
    from nasengine.search.phases import header

    copy = tmp_path / "copy"
    shutil.copytree(finished[0].folder, copy)
    with Journal(copy, header(finished[0].settings)), pytest.raises(RunError, match="is being written by"):
        nas.resume(copy)
