"""Retraining: the test part read once, weights that give the same figures, and kills that change nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nasengine.build import build
from nasengine.data import Dataset, load_data
from nasengine.errors import InputError, RunError, TrialError
from nasengine.evaluators import Retrained, make_task, retrain
from nasengine.training import evaluate
from tests.evaluators.tiny import tiny_plan, tiny_space

SPACE = tiny_space()
ARCHITECTURE = SPACE.sample(np.random.default_rng(0))
PLAN = tiny_plan(data={"validation": 0.0, "augmentation": {"type": "crop_flip", "pad": 1}})


def train_into(folder: Path, *, plan=PLAN, epochs=3, seed=5, **more) -> Retrained:
    return retrain(plan, ARCHITECTURE, budget={"epochs": epochs}, seed=seed, folder=folder, **more)


def test_the_saved_weights_give_the_reported_test_figures(tmp_path):
    done = train_into(tmp_path, epochs=6)
    network = build(SPACE, ARCHITECTURE)
    network.load_state_dict(load_file(tmp_path / done.weights))
    test = load_data("synthetic", shape=(1, 8, 8), classes=4).test
    assert evaluate(network, test, make_task(SPACE)) == pytest.approx(dict(done.test), rel=1e-5)
    assert done.test["accuracy"] > 0.4
    assert done.test_images == 256
    assert done.validation == {}
    assert len(done.curve) == 6


def test_the_test_part_is_read_exactly_once_and_after_the_training(tmp_path, monkeypatch):
    reads: list[int] = []
    epochs: list[int] = []
    honest = Dataset.test.fget
    monkeypatch.setattr(Dataset, "test", property(lambda self: (reads.append(len(epochs)), honest(self))[1]))
    first = train_into(tmp_path, on_epoch=lambda record: epochs.append(record.epoch))
    assert reads == [3]
    again = train_into(tmp_path, on_epoch=lambda record: epochs.append(record.epoch))
    assert reads == [3]
    assert again == first


def test_all_training_images_are_trained_on_where_none_are_held_out(tmp_path):
    done = train_into(tmp_path, plan=tiny_plan(data={"validation": 0.0, "batch": 512}))
    assert done.validation == {}
    held_out = train_into(tmp_path / "held_out", plan=tiny_plan(data={"validation": 0.25}))
    assert held_out.validation.keys() == held_out.test.keys()
    assert held_out.validation != held_out.test


def test_seeds_differ_and_repeat(tmp_path):
    first, again, other = (train_into(tmp_path / name, seed=s) for name, s in (("a", 1), ("b", 1), ("c", 2)))
    assert first.test == again.test
    assert first.curve != other.curve
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (
        tmp_path / "b" / "weights.safetensors"
    ).read_bytes()


def test_a_retraining_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    whole = train_into(tmp_path / "whole", epochs=4)

    def stop(record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_into(tmp_path / "cut", epochs=4, on_epoch=stop)
    assert not (tmp_path / "cut" / "result.json").exists()
    resumed = train_into(tmp_path / "cut", epochs=4)
    assert (resumed.test, resumed.curve) == (whole.test, whole.curve)
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_a_finished_folder_is_not_taken_for_another_retraining(tmp_path):
    train_into(tmp_path)
    with pytest.raises(RunError, match="other settings"):
        train_into(tmp_path, seed=6)
    with pytest.raises(RunError, match="other settings"):
        train_into(tmp_path, epochs=4)


def test_a_damaged_result_is_reported(tmp_path):
    train_into(tmp_path)
    (tmp_path / "result.json").write_text('{"key": ')
    with pytest.raises(RunError, match="damaged"):
        train_into(tmp_path)


def test_a_training_can_start_from_weights_of_the_same_architecture(tmp_path):
    train_into(tmp_path / "first", epochs=6)
    start = tmp_path / "first" / "weights.safetensors"
    fresh, tuned = train_into(tmp_path / "fresh", epochs=1), train_into(tmp_path / "tuned", epochs=1, start=start)
    assert tuned.curve[0]["loss"] < fresh.curve[0]["loss"]


def test_a_training_goes_on_in_a_run_that_was_moved_with_the_weights_it_started_from(tmp_path):
    train_into(tmp_path / "run" / "first" / "a", epochs=1)

    def stop(record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    def go_on(run: str, **more) -> Retrained:
        start = tmp_path / run / "first" / "a" / "weights.safetensors"
        return train_into(tmp_path / run / "second" / "a", start=start, **more)

    with pytest.raises(KeyboardInterrupt):
        go_on("run", on_epoch=stop)
    (tmp_path / "run").rename(tmp_path / "moved")
    epochs: list[int] = []
    done = go_on("moved", on_epoch=lambda record: epochs.append(record.epoch))
    assert epochs == [3]
    (tmp_path / "moved").rename(tmp_path / "again")
    assert go_on("again") == done


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    for name, words in (("other", "no weight"), ("bad", "cannot be read"), ("none", "cannot be read")):
        with pytest.raises(RunError, match=words):
            train_into(tmp_path / "run", start=tmp_path / f"{name}.safetensors")


def test_a_retraining_that_diverges_says_so_and_leaves_no_result(tmp_path):
    hot = tiny_plan(evaluator={"optimizer": {"type": "sgd", "rate": 1e30}, "schedule": "constant"})
    with pytest.raises(TrialError, match="training loss"):
        train_into(tmp_path, plan=hot)
    assert not (tmp_path / "result.json").exists()


def test_a_budget_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither epochs nor steps"):
        retrain(PLAN, ARCHITECTURE, budget={}, seed=0, folder=tmp_path)


def test_what_is_returned_round_trips_through_json(tmp_path):
    done = train_into(tmp_path)
    assert Retrained.from_json(json.loads(json.dumps(done.to_json()))) == done


SCRIPT = """
    import json, sys, torch
    from pathlib import Path
    from nasengine.evaluators import retrain
    from nasengine.records import Architecture
    torch.set_num_threads(1)
    job = json.loads(sys.argv[1])
    retrain(job["plan"], Architecture(job["architecture"]), budget={"epochs": 60}, seed=5, folder=Path(job["folder"]))
"""


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path):
    whole = train_into(tmp_path / "whole", epochs=60)
    killed = tmp_path / "killed"
    job = {"plan": PLAN, "architecture": ARCHITECTURE.to_json(), "folder": str(killed)}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), json.dumps(job)]
    rng = np.random.default_rng(0)
    for _ in range(4):
        before = sorted((killed / "checkpoints").glob("checkpoint_*"))
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        while process.poll() is None and sorted((killed / "checkpoints").glob("checkpoint_*")) == before:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.1)))  # about an epoch: the kill may fall into a checkpoint's writing
        assert process.poll() is None, "too fast to be killed: give it more epochs"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = train_into(killed, epochs=60)
    assert (done.test, done.curve) == (whole.test, whole.curve)
    assert sorted(path.name for path in killed.iterdir()) == ["result.json", "weights.safetensors"]
