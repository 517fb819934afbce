"""TensorBoard shows every trial once, whatever was interrupted."""

import pytest

import nasengine as nas
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.search.board import Board, Curves
from tests.search.small import quick_search

OBJECTIVES = parse_objectives({"accuracy": "maximize", "macs": "minimize"})


def trial(number: int, accuracy: float, macs: float, status="completed") -> Trial:
    measured = {"accuracy": accuracy, "macs": macs} if status == "completed" else {}
    return Trial(number, Candidate(Architecture({"x": number})), status, measured)


def shown(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, pytest.approx(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_each_objective_is_shown_with_its_best_so_far(tmp_path):
    with Board(tmp_path / "b", OBJECTIVES) as board:
        for told in (trial(0, 0.5, 30), trial(1, 0, 0, "failed"), trial(2, 0.4, 10), trial(3, 0.7, 20)):
            board.add(told)
    assert shown(tmp_path / "b") == {
        "trial/accuracy": [(0, 0.5), (2, 0.4), (3, 0.7)],
        "best/accuracy": [(0, 0.5), (2, 0.5), (3, 0.7)],
        "trial/macs": [(0, 30), (2, 10), (3, 20)],
        "best/macs": [(0, 30), (2, 10), (3, 10)],
    }


def test_a_resumed_search_shows_each_trial_once(tmp_path):
    with Board(tmp_path / "b", OBJECTIVES) as board:
        board.add(trial(0, 0.5, 30))
        board.add(trial(1, 0.6, 30))
    with Board(tmp_path / "b", OBJECTIVES, [trial(0, 0.5, 30)]) as board:
        board.add(trial(1, 0.6, 30))
    assert shown(tmp_path / "b")["trial/accuracy"] == [(0, 0.5), (1, 0.6)]


CURVE = [{"epoch": 1, "loss": 2.0, "rate": 0.1}, {"epoch": 2, "loss": 1.5, "rate": 0.05}]
SHOWN_CURVE = {"training/loss": [(1, 2.0), (2, 1.5)], "training/rate": [(1, 0.1), (2, 0.05)]}


def test_a_trial_with_a_learning_curve_has_a_folder_of_its_own_and_others_have_none(tmp_path):
    with Board(tmp_path / "b", OBJECTIVES) as board:
        board.add(trial(0, 0.5, 30), {"curve": CURVE, "images_per_second": 10.0})
        board.add(trial(1, 0.6, 30), {"traceback": "…"})
        board.add(trial(2, 0.6, 30))
        board.add(trial(3, 0.6, 30), {"curve": [0.1, 0.5]})  # somebody else's idea of a curve
    assert shown(tmp_path / "b" / "trial-0") == SHOWN_CURVE
    assert [path.name for path in (tmp_path / "b").iterdir() if path.is_dir()] == ["trial-0"]


def test_a_resumed_search_shows_each_curve_once_and_all_of_it(tmp_path):
    with Board(tmp_path / "b", OBJECTIVES) as board:
        board.add(trial(0, 0.5, 30), {"curve": CURVE})
        board.add(trial(1, 0.5, 30), {"curve": CURVE})
    with Board(tmp_path / "b", OBJECTIVES, [trial(0, 0.5, 30)], {0: {"curve": CURVE}}) as board:
        board.add(trial(1, 0.6, 30), {"curve": CURVE})
    for name in ("trial-0", "trial-1"):
        assert shown(tmp_path / "b" / name) == SHOWN_CURVE
        assert len(list((tmp_path / "b" / name).iterdir())) == 1


def test_trials_stopped_early_are_shown_apart(tmp_path):
    stopped = Trial(0, Candidate(Architecture({"x": 0})), "stopped", {"accuracy": 0.9, "macs": 5})
    with Board(tmp_path / "b", OBJECTIVES) as board:
        board.add(stopped)
        board.add(trial(1, 0.5, 30))
    found = shown(tmp_path / "b")
    assert found["stopped/accuracy"] == [(0, 0.9)]
    assert found["best/accuracy"] == [(1, 0.5)]


def test_a_retraining_grows_and_is_whole_when_it_ended(tmp_path):
    curves = Curves(tmp_path / "r", {"first": CURVE})
    curves.grow("second", CURVE[1])  # it went on from a checkpoint after epoch 1
    curves.close()
    assert shown(tmp_path / "r" / "second") == {"training/loss": [(2, 1.5)], "training/rate": [(2, 0.05)]}
    curves = Curves(tmp_path / "r", {"first": CURVE})
    assert not (tmp_path / "r" / "second").exists()  # what a kill left is begun anew
    curves.grow("second", CURVE[1])
    curves.ended("second", CURVE)
    curves.close()
    assert shown(tmp_path / "r" / "first") == SHOWN_CURVE
    assert shown(tmp_path / "r" / "second") == SHOWN_CURVE


@pytest.mark.parametrize("kept", [4, 1000])
def test_a_run_cut_anywhere_shows_the_same_curves_once_resumed(tmp_path, kept):
    quick_search(tmp_path / "run")
    boards = tmp_path / "run" / "tensorboard"
    whole = {path.relative_to(boards): shown(path) for path in sorted(boards.rglob("*")) if path.is_dir()}
    names = {str(path) for path in whole}
    assert {"search", "retrain", "search/trial-0", "search/trial-3"} <= names
    assert len([name for name in names if name.startswith("retrain/")]) == 4
    assert all(whole[path]["training/loss"] for path in whole if path.parent.name in ("search", "retrain"))
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:kept]))
    (tmp_path / "run" / "search" / "architectures.jsonl").unlink()
    results = tmp_path / "run" / "retrain" / "results.jsonl"
    results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:2]))
    nas.resume(tmp_path / "run")
    again = {path.relative_to(boards): shown(path) for path in sorted(boards.rglob("*")) if path.is_dir()}
    assert again == whole
