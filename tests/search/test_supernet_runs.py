"""Whole runs with shared weights: prepared, searched by scores with them, retrained from them; anywhere the same."""

from __future__ import annotations

import json

import pytest

import nasengine as nas
from nasengine.cli.rank import remarks
from nasengine.runs import canonical_records
from nasengine.search.events import PhaseSkipped, SearchProgress
from tests.search.supernet_runs import STARTED, STRATEGY, shared_search


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that is done. Tests read it only."""
    return shared_search(tmp_path_factory.mktemp("runs") / "done")


def canonical(run):
    return [json.dumps(record, sort_keys=True) for record in canonical_records(run.folder)]


def test_every_architecture_is_scored_and_the_winner_retrained(finished):
    assert [trial.status for trial in finished.trials] == ["completed"] * 8
    assert all(trial.measurements.keys() == {"accuracy", "loss", "params", "macs"} for trial in finished.trials)
    assert len({trial.measurements["loss"] for trial in finished.trials}) == 8
    (record,) = finished.retrained
    assert record.completed
    assert finished.best.architecture == record.architecture
    assert record.measurements["test_accuracy"] > 0.5  # of four classes


def test_a_retraining_starts_where_the_supernet_left_off(finished, tmp_path):
    fresh = nas.retrain(finished.folder, finished.best.trial.number, set=["retrain.name=again"])
    started = next(record for record in fresh.retrained if record.phase == "again")
    assert started.curve == finished.retrained[0].curve  # `start: prepare` holds for a single training too
    text = STRATEGY.replace(" start: prepare,", "")
    other = shared_search(tmp_path / "fresh", text=text)
    assert canonical(other) == canonical(finished)
    assert other.retrained[0].curve[0]["loss"] > 1.3 * finished.retrained[0].curve[0]["loss"]


def test_status_and_report_tell_of_it(finished):
    status = finished.status
    (searched,) = [phase for phase in status.phases if phase.name == "search"]
    assert (searched.asked, searched.counts["completed"]) == (8, 8)
    page = nas.report(finished.folder).read_text(encoding="utf-8")
    assert "supernet of prepare (images 64)" in page


def test_another_run_scores_with_the_weights_that_are_there(finished, tmp_path):
    text = STRATEGY[: STRATEGY.index("  - prepare")] + (
        "  - search:\n"
        f"      from: {finished.folder}/prepare\n"
        "      algorithm: exhaustive\n"
        "      evaluator: {type: supernet, images: 64}\n"
    )
    assert canonical(shared_search(tmp_path / "run", text=text)) == canonical(finished)


def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(finished, tmp_path):
    def interrupt(event):
        if isinstance(event, SearchProgress) and event.progress.kind == "ended" and event.progress.told == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared_search(tmp_path / "run", on_event=interrupt)
    weights = (tmp_path / "run" / "prepare" / "weights.safetensors").read_bytes()
    events = []
    resumed = nas.resume(tmp_path / "run", on_event=events.append)
    assert [event.phase for event in events if isinstance(event, PhaseSkipped)] == ["prepare"]
    assert (resumed.folder / "prepare" / "weights.safetensors").read_bytes() == weights
    assert canonical(resumed) == canonical(finished)
    assert resumed.retrained[0].curve == finished.retrained[0].curve


def test_candidates_trained_from_the_shared_weights_begin_better_than_fresh_ones(tmp_path):
    started = shared_search(tmp_path / "started", text=STARTED)
    fresh = shared_search(tmp_path / "fresh", text=STARTED.replace(" start: prepare,", ""))
    for mine, theirs in zip(started.trials, fresh.trials, strict=True):
        assert mine.architecture == theirs.architecture
        assert mine.measurements["loss"] < theirs.measurements["loss"]
    for run, caution in (
        (started, f"{started.folder} has trained its networks from the weights of a supernet"),
        (fresh, ""),
    ):
        assert nas.rank(fresh, table=run.folder, samples=5).caution.partition(", not")[0] == caution


def test_a_ranking_held_against_scores_of_a_supernet_says_so_in_one_line(finished):
    found = nas.rank(finished, table=finished.folder, samples=5)
    said = f"{finished.folder} has scored with the weights of a supernet: no network in it was trained alone"
    assert found.to_json()["caution"] == said
    lines = remarks(found)
    assert lines[0] == f"note: {said}"
    assert sum("supernet" in line for line in lines) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("keywords", [{"executor": "local", "workers": 1}, {"executor": "local", "workers": 2}])
def test_workers_of_the_local_pool_measure_what_this_process_does(finished, tmp_path, keywords):
    run = shared_search(tmp_path / "run", **keywords)
    assert canonical(run) == canonical(finished)
    assert run.retrained[0].measurements == finished.retrained[0].measurements


@pytest.mark.ray
def test_workers_on_a_cluster_are_given_the_weights_and_measure_what_this_process_does(finished, tmp_path):
    run = shared_search(tmp_path / "run", executor="ray", workers=2)
    assert canonical(run) == canonical(finished)
