"""What every scheduler promises, with every algorithm as the source of its architectures."""

import inspect
import pickle
from collections import Counter

import pytest

from nasengine.algorithms import ALGORITHMS
from nasengine.algorithms.schedulers import SCHEDULERS, Scheduler
from nasengine.records import Candidate, Trial, is_partial
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from tests.contracts.test_algorithms import SPACE, load, make, outcome

BUDGET = {"epochs": 27}
TRIALS = 45


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load(SPACE)


@pytest.fixture(params=list(SCHEDULERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# A Gaussian process fitted anew at every ask takes minutes.
@pytest.fixture(
    params=[
        pytest.param(key, marks=pytest.mark.slow if key == "gp" else ())
        for key, algorithm in ALGORITHMS.items()
        if not algorithm.reads_probabilities  # one candidate, with which no scheduler goes
    ]
)
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def scheduled(name: str, source: str, space: SearchSpace, seed: int = 0) -> Scheduler:
    return SCHEDULERS[name](make(source, Domain(space), seed), budget=BUDGET)


def measured(number: int, candidate: Candidate) -> Trial:
    """Under a part of the budget what would complete is stopped; a promoted trial measures a little more."""
    trial = outcome(number, candidate)
    if trial.completed:
        budget = BUDGET if candidate.budget is None else candidate.budget
        more = {**trial.measurements, "accuracy": trial.measurements["accuracy"] + budget["epochs"] / 1000}
        trial = Trial(number, candidate, "stopped" if is_partial(candidate.budget) else "completed", more)
    return trial


def drive(scheduler: Scheduler, trials: int = TRIALS, lag: int = 5) -> list[Candidate]:
    """Ask and tell as the search loop does: by the lag rule, and earlier where there is nothing to ask."""
    asked: list[Candidate] = []
    told = 0
    while len(asked) < trials:
        while told <= len(asked) - lag:
            scheduler.tell(measured(told, asked[told]))
            told += 1
        candidate = scheduler.ask(len(asked))
        if candidate is not None:
            asked.append(candidate)
        elif told < len(asked):
            scheduler.tell(measured(told, asked[told]))
            told += 1
        else:
            break
    return asked


def test_the_same_seed_asks_for_the_same_trials(name: str, source: str, space: SearchSpace) -> None:
    assert drive(scheduled(name, source, space, 3)) == drive(scheduled(name, source, space, 3))


def test_replaying_the_calls_in_a_new_process_continues_as_if_uninterrupted(
    name: str, source: str, space: SearchSpace
) -> None:
    lag, cut = 5, 31
    whole = drive(scheduled(name, source, space, 1), lag=lag)
    again = scheduled(name, source, pickle.loads(pickle.dumps(space)), 1)
    assert drive(again, cut, lag) == whole[:cut]
    for k in range(cut, len(whole)):
        again.tell(measured(k - lag, whole[k - lag]))
        assert again.ask(k) == whole[k]


def test_what_goes_on_is_the_same_architecture_under_a_larger_budget_once(
    name: str, source: str, space: SearchSpace
) -> None:
    lag = 5
    asked = drive(scheduled(name, source, space), lag=lag)
    resumed = [candidate.resumes for candidate in asked if candidate.resumes is not None]
    assert resumed, "nothing was promoted in this test"
    assert len(set(resumed)) == len(resumed)
    for number, candidate in enumerate(asked):
        if candidate.resumes is None:
            continue
        earlier = asked[candidate.resumes]
        assert candidate.resumes <= number - lag
        assert candidate.architecture == earlier.architecture
        assert earlier.budget is not None
        assert earlier.budget["epochs"] < (candidate.budget or BUDGET)["epochs"] <= 27


def test_parents_are_trials_of_the_search_told_before(name: str, source: str, space: SearchSpace) -> None:
    lag = 5
    asked = drive(scheduled(name, source, space), lag=lag)
    for number, candidate in enumerate(asked):
        for parent in candidate.parents:
            assert parent <= number - lag
            assert measured(parent, asked[parent]).status == "stopped"


def test_the_architectures_are_those_of_the_source_on_its_own(name: str, source: str, space: SearchSpace) -> None:
    asked = drive(scheduled(name, source, space))
    begun = [candidate for candidate in asked if candidate.resumes is None]
    alone = make(source, Domain(space))
    own: list[Candidate] = []
    numbers = [number for number, candidate in enumerate(asked) if candidate.resumes is None]
    told, tell_at = 0, iter(numbers)
    for number in tell_at:
        while told < len(own) and numbers[told] <= number - 5:
            first = outcome(told, own[told])
            if first.completed:
                more = {**first.measurements, "accuracy": first.measurements["accuracy"] + 3 / 1000}
                first = Trial(told, own[told], "completed", more)
            alone.tell(first)
            told += 1
        candidate = alone.ask(len(own))
        assert candidate is not None
        own.append(candidate)
    assert [candidate.architecture for candidate in own] == [candidate.architecture for candidate in begun]


def test_it_lives_with_never_being_told_a_measured_trial(name: str, source: str, space: SearchSpace) -> None:
    scheduler = scheduled(name, source, space)
    for number in range(40):
        candidate = scheduler.ask(number)
        assert candidate is not None
        assert candidate.resumes is None
        scheduler.tell(Trial(number, candidate, "failed", {}, "always"))
    assert not scheduler.resumable(None)


def test_what_may_be_resumed_includes_all_that_later_is(name: str, source: str, space: SearchSpace) -> None:
    asked = drive(scheduled(name, source, space))
    again = scheduled(name, source, space)
    lag, told = 5, 0
    kept: dict[int, set[int]] = {}
    for number, candidate in enumerate(asked):
        while told <= number - lag:
            again.tell(measured(told, asked[told]))
            told += 1
        kept[number] = set(again.resumable(len(asked) - number))
        assert again.ask(number) == candidate
    for number, candidate in enumerate(asked):
        if candidate.resumes is not None:
            first_known = candidate.resumes + lag
            assert all(candidate.resumes in kept[k] for k in range(first_known, number + 1))


def test_most_trials_get_the_smallest_budget(name: str, source: str, space: SearchSpace) -> None:
    asked = drive(scheduled(name, source, space))
    counts = Counter((candidate.budget or BUDGET)["epochs"] for candidate in asked)
    assert sorted(counts.values(), reverse=True) == [counts[length] for length in sorted(counts)]


def test_its_constructor_takes_a_source_a_budget_and_named_settings_with_defaults(name: str) -> None:
    parameters = list(inspect.signature(SCHEDULERS[name]).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["source", "budget"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[1:])
    assert all(parameter.default is not parameter.empty for parameter in parameters[2:])
    assert len((SCHEDULERS[name].__doc__ or "").split()) > 5
