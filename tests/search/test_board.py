"""TensorBoard shows every trial once, whatever was interrupted."""

import pytest

from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.search.board import Board

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
