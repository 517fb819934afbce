"""Trials under parts of a budget, and which architectures are measured once."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from nasengine.errors import RunError
from nasengine.objectives import Constraint
from nasengine.records import Architecture, Candidate
from nasengine.runs import JOURNAL_NAME, canonical_records
from nasengine.search.proposals import job_seed
from tests.search.looping import Evaluator, Listed, search


def part(epochs: int) -> dict[str, float]:
    return {"epochs": epochs, "of_epochs": 2}


class Planned(Listed):
    """Proposes candidates that somebody wrote down."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        super().__init__(range(len(candidates)))
        self.candidates = candidates

    def ask(self, trial_number: int) -> Candidate | None:
        super().ask(trial_number)
        return self.candidates[trial_number] if trial_number < len(self.candidates) else None


def x(value: int, budget: dict[str, float] | None = None, resumes: int | None = None) -> Candidate:
    return Candidate(Architecture({"x": value}), budget=budget, resumes=resumes)


def test_what_was_measured_under_a_part_of_the_budget_is_stopped_and_the_rest_of_it_completed(tmp_path: Path) -> None:
    evaluator = Evaluator()
    plan = Planned([x(4, part(1)), x(5, part(1)), x(5, None, 1)])
    outcome = search(tmp_path, plan, evaluator, trials=3)
    assert [trial.status for trial in outcome.trials] == ["stopped", "stopped", "completed"]
    assert [trial.reason for trial in outcome.trials] == ["1 of 2 epochs", "1 of 2 epochs", ""]
    assert [trial.measurements["accuracy"] for trial in outcome.trials] == [0.04, 0.05, 0.05]
    assert [job.budget for job in evaluator.jobs] == [part(1), part(1), {"epochs": 2}]
    assert [job.resumes for job in evaluator.jobs] == [None, None, 1]
    asked = [record for record in canonical_records(tmp_path) if record["record"] == "asked"]
    assert [record.get("resumes") for record in asked] == [None, None, 1]
    assert "resumes" not in asked[0]  # journals without parts of budgets look as they always did


def test_a_trial_that_resumes_another_has_the_seed_of_the_first_of_its_chain(tmp_path: Path) -> None:
    evaluator = Evaluator()
    whole = {"epochs": 4, "of_epochs": 8}
    plan = Planned([x(1, part(1)), x(2, {"epochs": 2, "of_epochs": 8}), x(2, whole, 1), x(3, part(1)), x(2, None, 2)])
    search(tmp_path, plan, evaluator, trials=5)
    assert [job.seed for job in evaluator.jobs] == [job_seed(1, k) for k in (0, 1, 1, 3, 1)]


def test_equal_architectures_are_measured_once_under_each_budget(tmp_path: Path) -> None:
    evaluator = Evaluator()
    plan = Planned([x(4, part(1)), x(4, part(1)), x(4, None, 1), x(4), x(4, {"epochs": 2})])
    outcome = search(tmp_path, plan, evaluator, trials=5)
    assert [job.trial for job in evaluator.jobs] == [0, 2]
    assert evaluator.jobs[1].resumes == 0  # trial 1 was never trained itself
    assert evaluator.jobs[1].seed == evaluator.jobs[0].seed
    asked = [record for record in canonical_records(tmp_path) if record["record"] == "asked"]
    assert [record["same_as"] for record in asked] == [None, 0, None, 2, 2]
    assert [trial.status for trial in outcome.trials] == ["stopped", "stopped", "completed", "completed", "completed"]


def test_an_identity_makes_different_architectures_one_measurement_but_not_one_training(tmp_path: Path) -> None:
    evaluator = Evaluator()
    plan = Planned([x(4, part(1)), x(14, part(1)), x(14, None, 1)])
    search(tmp_path, plan, evaluator, trials=3, identity=lambda architecture: architecture["x"] % 10)
    assert [(job.trial, job.architecture["x"], job.resumes) for job in evaluator.jobs] == [(0, 4, None), (2, 14, None)]


def last_digit(architecture: Architecture) -> int:
    return int(architecture["x"]) % 10


def cost(architecture: Architecture) -> dict[str, float]:
    return {"cost": architecture["x"]}


def test_architectures_of_one_identity_keep_their_own_prices(tmp_path: Path) -> None:
    evaluator = Evaluator()
    outcome = search(tmp_path, Listed([14, 4, 24]), evaluator, trials=3, identity=last_digit, price=cost)
    assert [job.trial for job in evaluator.jobs] == [0]
    measured = [dict(trial.measurements) for trial in outcome.trials]
    assert measured == [{"accuracy": 0.14, "cost": x} for x in (14, 4, 24)]


def test_what_its_price_rules_out_does_not_rule_out_a_cheaper_one_of_its_identity(tmp_path: Path) -> None:
    bound = [Constraint("cost", high=20)]
    evaluator = Evaluator()
    plan = [34, 4, 14, 24]
    outcome = search(tmp_path, Listed(plan), evaluator, trials=4, identity=last_digit, price=cost, constraints=bound)
    assert [job.architecture["x"] for job in evaluator.jobs] == [4]
    assert [trial.status for trial in outcome.trials] == ["infeasible", "completed", "completed", "infeasible"]
    asked = [record for record in canonical_records(tmp_path) if record["record"] == "asked"]
    assert [record["same_as"] for record in asked] == [None, None, 1, None]


def test_a_measured_constraint_is_judged_under_the_whole_budget_only(tmp_path: Path) -> None:
    plan = Planned([x(1, part(1)), x(1, None, 0)])
    outcome = search(tmp_path, plan, Evaluator(), trials=2, constraints=[Constraint("accuracy", low=0.05)])
    assert [trial.status for trial in outcome.trials] == ["stopped", "infeasible"]


def test_only_an_earlier_trial_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trial 0 cannot resume trial 0"):
        search(tmp_path, Planned([x(1, None, 0)]), Evaluator(), trials=1)


def test_a_run_with_parts_of_budgets_cut_at_any_line_resumes_to_the_same_canonical_journal(tmp_path: Path) -> None:
    plan = [x(4, part(1)), x(5, part(1)), x(5, part(1)), x(5, None, 2), x(6, part(1)), x(6, None, 4)]
    search(tmp_path / "whole", Planned(plan), Evaluator(), trials=6, lag=2)
    expected = canonical_records(tmp_path / "whole")
    lines = (tmp_path / "whole" / JOURNAL_NAME).read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines)):
        folder = tmp_path / f"cut_{kept}"
        folder.mkdir()
        (folder / JOURNAL_NAME).write_bytes(b"".join(lines[:kept]))
        search(folder, Planned(plan), Evaluator(), trials=6, lag=2)
        assert canonical_records(folder) == expected
    with pytest.raises(RunError, match="trial 3 of phase 'search' is asked differently"):
        search(tmp_path / "whole", Planned([*plan[:3], x(5, None, 1)]), Evaluator(), trials=6, lag=2)
