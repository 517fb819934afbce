"""The records of retrainings: kept line by line, read back whatever a kill left, summed up over seeds."""

import math

import pytest

from nasengine.errors import RunError
from nasengine.records import Architecture
from nasengine.search.retrained import Retrained, append_result, read_results, spreads, summary


def record(name: str, *, rank: int = 0, repeat: int = 0, accuracy: float | None = 0.5, width: int = 4) -> Retrained:
    status = "failed" if accuracy is None else "completed"
    measured = {} if accuracy is None else {"test_accuracy": accuracy}
    return Retrained(
        phase="retrain",
        name=name,
        architecture=Architecture({"width": width}),
        rank=rank,
        trial=3,
        repeat=repeat,
        seed=1,
        budget={"epochs": 2},
        status=status,
        measurements=measured,
        reason="" if measured else "the training loss became nan",
        seconds=1.5,
        curve=({"epoch": 1, "loss": 0.3},),
    )


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    written = record("trial-3-seed-0")
    append_result(tmp_path, written)
    (read,) = read_results(tmp_path, "retrain")
    assert read.to_json() == written.to_json()
    assert read.weights == tmp_path / "retrain" / "trial-3-seed-0" / "weights.safetensors"


def test_the_best_comes_first_and_the_last_line_of_a_name_counts(tmp_path):
    for written in (record("b", rank=1), record("a", accuracy=None), record("a", accuracy=0.9)):
        append_result(tmp_path, written)
    assert [(read.name, read.completed) for read in read_results(tmp_path, "retrain")] == [("a", True), ("b", True)]


def test_a_line_that_a_kill_cut_off_is_passed_over_and_closed(tmp_path):
    append_result(tmp_path, record("a"))
    append_result(tmp_path, record("b"))
    path = tmp_path / "retrain" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert [read.name for read in read_results(tmp_path, "retrain")] == ["a"]
    append_result(tmp_path, record("c"))
    assert [read.name for read in read_results(tmp_path, "retrain")] == ["a", "c"]


def test_a_spread_is_the_mean_and_the_sample_deviation():
    found = spreads([record("a", accuracy=0.5), record("b", accuracy=0.7), record("c", accuracy=None)])
    assert (found["test_accuracy"].n, found["test_accuracy"].mean) == (2, pytest.approx(0.6))
    assert found["test_accuracy"].deviation == pytest.approx(0.2 / math.sqrt(2))
    assert str(found["test_accuracy"]) == "0.6 ± 0.14 (n=2)"
    assert str(spreads([record("a", accuracy=0.5)])["test_accuracy"]) == "0.5"


def test_the_summary_gives_each_architecture_over_its_seeds():
    records = [record("trial-3-seed-0"), record("trial-3-seed-1", accuracy=0.7), record("known-x-seed-0", width=8)]
    assert summary(records) == "trial-3: test_accuracy 0.6 ± 0.14 (n=2); known-x: test_accuracy 0.5"


def test_a_line_that_is_no_record_is_damage(tmp_path):
    append_result(tmp_path, record("a"))
    path = tmp_path / "retrain" / "results.jsonl"
    path.write_text(path.read_text() + '{"name": "b"}\n')
    with pytest.raises(RunError, match="is damaged"):
        read_results(tmp_path, "retrain")
