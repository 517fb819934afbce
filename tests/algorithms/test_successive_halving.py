"""Successive halving: its rungs by hand, its budgets, and what the source of its architectures is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nasengine.algorithms import Algorithm
from nasengine.algorithms.schedulers import SuccessiveHalving
from nasengine.errors import InputError
from nasengine.objectives import Objective, parse_objectives
from nasengine.records import Architecture, Candidate, Trial, is_partial
from nasengine.space import space_from_mapping
from nasengine.space.domain import Domain

TASK = {"kind": "image_classification", "input": [1, 8, 8], "classes": 4}
SPACE = space_from_mapping({"name": "any", "task": TASK, "network": {"type": "conv", "width": {"choice": [1, 2]}}})
ACCURACY = parse_objectives({"accuracy": "maximize"})
TWO = parse_objectives({"accuracy": "maximize", "macs": "minimize"})


class Counting(Algorithm):
    """Proposes x = 0, 1, 2, …; each but the first descends from the one before."""

    def __init__(self, objectives: Sequence[Objective] = ACCURACY, end: int = 1000, values: Sequence[int] = ()) -> None:
        super().__init__(Domain(SPACE), objectives)
        self.end, self.values = end, values
        self.told: list[Trial] = []

    def ask(self, trial_number: int) -> Candidate | None:
        if trial_number >= self.end:
            return None
        value = self.values[trial_number] if self.values else trial_number
        return Candidate(Architecture({"x": value}), (trial_number - 1,) if trial_number else ())

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


def halving(source: Algorithm | None = None, /, **settings: object) -> SuccessiveHalving:
    settings = {"budget": {"epochs": 9}, **settings}
    return SuccessiveHalving(Counting() if source is None else source, **settings)


def tell(scheduler: SuccessiveHalving, number: int, candidate: Candidate, accuracy: float, **more: float) -> None:
    status = "stopped" if is_partial(candidate.budget) else "completed"
    scheduler.tell(Trial(number, candidate, status, {"accuracy": accuracy, **more}))


def short(candidate: Candidate | None) -> tuple[int, float, int | None]:
    """(architecture, epochs, trial it resumes)"""
    assert candidate is not None
    epochs = 9 if candidate.budget is None else candidate.budget["epochs"]
    return candidate.architecture["x"], epochs, candidate.resumes


def test_a_search_worked_out_by_hand() -> None:
    """Reduction 3, rungs of 1, 3 and 9 epochs, one trial at a time; accuracies after 1 epoch in the order of asking."""
    scheduler = halving()
    lowest = {0: 0.3, 1: 0.5, 2: 0.1, 3: 0.4, 4: 0.6, 5: 0.2, 6: 0.9, 7: 0.8}  # by architecture
    asked: list[tuple[int, float, int | None]] = []
    for number in range(14):
        candidate = scheduler.ask(number)
        asked.append(short(candidate))
        assert candidate is not None
        accuracy = lowest[candidate.architecture["x"]] if candidate.resumes is None else 0.5 + number / 100
        tell(scheduler, number, candidate, accuracy)
    assert asked == [
        (0, 1, None), (1, 1, None), (2, 1, None),
        (1, 3, 1),  # of three, one may go on: trial 1, with 0.5
        (3, 1, None),  # of three still: it went on
        (4, 1, None),
        (4, 3, 5),  # of five, one may: trial 5 with 0.6 is the best now
        (5, 1, None),  # of six, two may: trials 5 and 1, which both went on
        (6, 1, None),
        (6, 3, 8),  # of seven, two: trial 8 with 0.9 and trial 5
        (6, 9, 9),  # three at the middle rung, 0.53, 0.56 and 0.59: the best goes on before any other begins
        (7, 1, None),
        (7, 3, 11),  # of eight, two: trials 8 and 11, with 0.8
        (7, 9, 12),  # of four at the middle, one: trial 12 with 0.62 is the best now
    ]  # fmt: skip
    assert scheduler.contents() == [[8, 11, 5, 1, 4, 0, 7, 2], [12, 9, 6, 3]]


def test_the_top_rung_is_the_budget_of_the_phase_itself() -> None:
    scheduler = halving(budget={"epochs": 27, "steps_per_epoch": 100})
    lower = [{"epochs": epochs, "of_epochs": 27, "steps_per_epoch": 100} for epochs in (3, 9)]
    assert scheduler.budgets == [*lower, None]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"budget": {"epochs": 27}, "reduction": 3, "rungs": 4}, [1, 3, 9, 27]),
        ({"budget": {"epochs": 20}, "reduction": 3}, [2, 7, 20]),
        ({"budget": {"epochs": 16}, "reduction": 4, "rungs": 2}, [4, 16]),
        ({"budget": {"epochs": 16}, "reduction": 2, "smallest": 3}, [3, 6, 12, 16]),
        ({"budget": {"steps": 1000}, "reduction": 10, "rungs": 3}, [10, 100, 1000]),
        ({"budget": {"epochs": 4.5}, "reduction": 2, "rungs": 2}, [2, 4.5]),
    ],
)
def test_rungs_are_whole_epochs_or_steps(settings: dict[str, object], expected: list[float]) -> None:
    assert halving(**settings).levels == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduction": 1}, r"reduction of successive_halving is 1\n  expected at least 2"),
        ({"rungs": 1}, r"rungs of successive_halving is 1\n  expected at least 2"),
        ({"rungs": 2, "smallest": 1}, "gives both rungs and smallest"),
        ({"rungs": 4}, r"divides 9 epochs into rungs of 0, 1, 3, 9\n  expected .* 9 epochs allow 3 rungs"),
        ({"rungs": 5000, "budget": {"epochs": 9.5}}, r"divides 9.5 epochs into rungs of 0, 1, 3, 9.5\n"),
        ({"smallest": 1e-30}, r"divides 9 epochs into rungs of 0, 0, 0, 0, 9\n"),
        ({"smallest": 9}, "divides 9 epochs into rungs of 9"),
        ({"smallest": 0}, "divides 9 epochs into rungs of 9"),
        ({"budget": {}}, r"a budget in no unit cannot be divided into rungs\n  expected one in epochs or in steps"),
        ({"horizon": "half"}, r"horizon of successive_halving is 'half'\n  expected full or rung"),
    ],
)
def test_settings_that_make_no_rungs_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        halving(**settings)


def test_a_schedule_for_each_rung_is_said_in_every_budget() -> None:
    ends = {"restart_1": 1, "restart_2": 3}
    budgets = halving(horizon="rung").budgets
    assert budgets == [{"epochs": epochs, "of_epochs": 9, **ends} for epochs in (1, 3, 9)]
    assert [is_partial(budget) for budget in budgets] == [True, True, False]


def test_the_source_is_told_each_of_its_candidates_once_with_what_the_lowest_rung_measured() -> None:
    source = Counting()
    scheduler = halving(source)
    parents = []
    for number in range(14):
        candidate = scheduler.ask(number)
        assert candidate is not None
        parents.append(candidate.parents)
        tell(scheduler, number, candidate, 0.5 + number / 100)
    begun = [number for number, rung in enumerate(scheduler._rung_of) if rung == 0]
    assert [trial.number for trial in source.told] == list(range(len(begun)))
    assert [trial.status for trial in source.told] == ["completed"] * len(begun)
    assert [trial.measurements["accuracy"] for trial in source.told] == [0.5 + number / 100 for number in begun]
    assert [trial.candidate.parents for trial in source.told[1:]] == [(k,) for k in range(len(begun) - 1)]
    assert [parents[number] for number in begun[1:]] == [(number,) for number in begun[:-1]]


def test_what_was_not_measured_is_on_no_rung_and_the_source_learns_why() -> None:
    source = Counting()
    scheduler = halving(source)
    for number, status in enumerate(["failed", "infeasible", "stopped", "stopped", "stopped"]):
        candidate = scheduler.ask(number)
        assert candidate is not None
        measured = {"accuracy": number / 10} if status == "stopped" else {}
        scheduler.tell(Trial(number, candidate, status, measured, "by lot"))
    assert scheduler.contents()[0] == [4, 3, 2]
    assert [(trial.status, trial.reason) for trial in source.told[:3]] == [
        ("failed", "by lot"), ("infeasible", "by lot"), ("completed", "")
    ]  # fmt: skip


def test_an_architecture_is_on_the_lowest_rung_once() -> None:
    source = Counting(values=[1, 1, 1, 2, 3, 1])
    scheduler = halving(source)
    for number in range(4):
        candidate = scheduler.ask(number)
        assert candidate is not None
        tell(scheduler, number, candidate, candidate.architecture["x"] / 10)
    assert scheduler.contents()[0] == [3, 0]
    assert len(source.told) == 4


def test_when_the_source_has_nothing_left_promotions_go_on_until_there_are_none() -> None:
    scheduler = halving(Counting(end=9))
    number = 0
    while (candidate := scheduler.ask(number)) is not None:
        tell(scheduler, number, candidate, candidate.architecture["x"] / 10)
        number += 1
    middle, top = scheduler._rung_of.count(1), scheduler._rung_of.count(2)
    assert scheduler._rung_of.count(0) == 9
    assert middle >= 3  # a full rung would send three on; without waiting some more went
    assert top >= 1
    assert all(scheduler.ask(number) is None for _ in range(3))


def test_asking_in_vain_leaves_no_trace() -> None:
    eager, patient = halving(Counting(end=3)), halving(Counting(end=3))
    candidates = []
    for number in range(3):
        candidates.append(eager.ask(number))
        patient.ask(number)
    assert eager.ask(3) is None
    for number, candidate in enumerate(candidates):
        assert candidate is not None
        for scheduler in (eager, patient):
            tell(scheduler, number, candidate, number / 10)
    assert eager.ask(3) == patient.ask(3)


def test_several_objectives_go_on_by_front_and_then_by_room() -> None:
    scheduler = halving(Counting(TWO))
    #          0           1         2 (worst)    3 (ends)    4           5
    points = [(0.5, 50), (0.6, 60), (0.4, 90), (0.9, 100), (0.1, 10), (0.52, 51)]
    for number, (accuracy, macs) in enumerate(points):
        scheduler._note(Candidate(Architecture({"x": number}), (), scheduler.budgets[0]), 0)
        scheduler._proposed.append(Candidate(Architecture({"x": number})))
        tell(scheduler, number, scheduler._asked[number], accuracy, macs=macs)
    assert scheduler.contents()[0][:2] == [3, 4]
    assert scheduler.contents()[0][-1] == 2
    asked = [short(scheduler.ask(number)) for number in (6, 7)]
    assert asked == [(3, 3, 3), (4, 3, 4)]


def test_checkpoints_are_kept_of_trials_that_can_still_go_on() -> None:
    scheduler = halving()
    for number in range(3):
        candidate = scheduler.ask(number)
        assert candidate is not None
        tell(scheduler, number, candidate, number / 10)
    assert set(scheduler.resumable(None)) == {0, 1, 2}
    assert set(scheduler.resumable(6)) == {0, 1, 2}  # nine at the rung at most: three go on
    assert set(scheduler.resumable(3)) == {1, 2}
    assert set(scheduler.resumable(0)) == {2}
    promoted = scheduler.ask(3)
    assert short(promoted) == (2, 3, 2)
    assert promoted is not None
    assert set(scheduler.resumable(0)) == {2}  # trial 3 goes on with it
    tell(scheduler, 3, promoted, 0.5)
    assert set(scheduler.resumable(None)) == {0, 1, 3}
    assert set(scheduler.resumable(2)) == {3}
    assert set(scheduler.resumable(3)) == {1, 3}


def test_a_checkpoint_is_kept_where_trials_that_still_run_may_make_room_for_it() -> None:
    scheduler = halving(Counting(end=6))
    asked = [scheduler.ask(number) for number in range(6)]
    for number, accuracy in enumerate((0.9, 0.8, 0.1)):
        candidate = asked[number]
        assert candidate is not None
        tell(scheduler, number, candidate, accuracy)
    assert short(scheduler.ask(6)) == (0, 3, 0)
    assert set(scheduler.resumable(1)) == {0, 1}  # six at the rung once the others are told: two go on
    for number in (3, 4, 5):
        candidate = asked[number]
        assert candidate is not None
        tell(scheduler, number, candidate, 0.2)
    assert short(scheduler.ask(7)) == (1, 3, 1)
