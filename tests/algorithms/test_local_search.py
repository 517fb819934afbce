"""Local search: climbs, local optima, restarts, neighbours asked ahead under a lag, several objectives."""

import numpy as np
import pytest

from nasengine.algorithms import LocalSearch, RandomSearch
from nasengine.errors import InputError
from nasengine.objectives import hypervolume, pareto_front, parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.domain import Domain

ONE = parse_objectives({"score": "maximize"})
TWO = parse_objectives({"score": "maximize", "cost": "minimize"})
CHOICES = 6
PATHS = [f"network.c{i}" for i in range(CHOICES)]
NEIGHBOURS = CHOICES * 4


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    network = {"type": "net", **{f"c{i}": {"choice": [0, 1, 2, 3, 4]} for i in range(CHOICES)}}
    known = {"zeros": {"architecture": dict.fromkeys(PATHS, 0)}}
    return space_from_mapping(
        {"name": "six", "task": {"kind": "any", "input": [1, 1, 1]}, "network": network, "known": known}
    )


def measured(number: int, candidate: Candidate) -> Trial:
    """Separable: one optimum, all fours; its opposite is cheapest."""
    taken = np.array(list(candidate.architecture.values()), dtype=float)
    return Trial(number, candidate, "completed", {"score": float((taken**2).sum()), "cost": float(taken.sum())})


def drive(algorithm, trials: int, lag: int = 1, measure=measured) -> list[Trial]:
    done: list[Trial] = []
    for k in range(trials):
        if k >= lag:
            algorithm.tell(done[k - lag])
        done.append(measure(k, algorithm.ask(k)))
    return done


def distance(first: Architecture, second: Architecture) -> int:
    return sum(first[path] != second[path] for path in PATHS)


@pytest.mark.parametrize("leave", ["first", "all"])
@pytest.mark.parametrize("lag", [1, 16])
def test_every_candidate_is_random_or_a_neighbour_of_its_centre(space: SearchSpace, leave: str, lag: int) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, leave=leave), 150, lag)
    assert all(not trial.candidate.parents for trial in trials[:5])
    children = [trial for trial in trials if trial.candidate.parents]
    assert len(children) > 100
    assert all(distance(t.architecture, trials[t.candidate.parents[0]].architecture) == 1 for t in children)


def test_the_first_climb_begins_at_the_best_of_the_random_ones(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, initial=8), 9)
    best = max(trials[:8], key=lambda trial: trial.measurements["score"])
    assert trials[8].candidate.parents == (best.number,)


def test_to_leave_at_the_first_better_one_means_every_centre_is_the_best_known(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, leave="first", initial=3), 60)
    scores = [trial.measurements["score"] for trial in trials]
    optimum = scores.index(max(scores))
    assert optimum > 20
    for trial in trials[3:optimum]:
        (centre,) = trial.candidate.parents
        assert scores[centre] == max(scores[: trial.number])


def test_to_leave_after_all_means_all_neighbours_of_a_centre_are_asked(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, leave="all", initial=1), 100)
    centres = list(dict.fromkeys(trial.candidate.parents[0] for trial in trials[1:] if trial.candidate.parents))
    for centre in centres[:2]:
        around = set(space.neighbours(trials[centre].architecture))
        asked = {trial.architecture for trial in trials}
        assert around <= asked
    second = trials[centres[1]]
    first_round = [t for t in trials if t.candidate.parents == (centres[0],)]
    assert second.measurements["score"] == max(t.measurements["score"] for t in first_round), "it moves to the best"


@pytest.mark.parametrize("leave", ["first", "all"])
@pytest.mark.parametrize("lag", [1, 16])
def test_it_finds_the_optimum_and_then_begins_elsewhere(space: SearchSpace, leave: str, lag: int) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, leave=leave), 400, lag)
    found = next(t.number for t in trials if set(t.architecture.values()) == {4})
    assert found < 200
    later = [trial for trial in trials[found + NEIGHBOURS + lag + 1 :] if not trial.candidate.parents]
    assert later, "a restart after the local optimum"
    again = {parent for trial in trials[found + NEIGHBOURS :] for parent in trial.candidate.parents}
    assert {trial.number for trial in later} & again, "a later climb begins at a random trial"


def test_under_a_lag_neighbours_are_asked_before_the_earlier_ones_are_told(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, initial=1), 40, lag=16)
    first_climb = next(trial.number for trial in trials if trial.candidate.parents)
    assert first_climb == 16  # ask(16) is the first that knows a trial
    assert all(trial.candidate.parents for trial in trials[16:32])


def test_no_architecture_is_asked_twice_while_something_is_new(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), ONE), 600, 16)
    assert len({trial.architecture for trial in trials}) == 600


def test_only_what_is_acceptable_is_asked(space: SearchSpace) -> None:
    domain = Domain(space, lambda architecture: architecture[PATHS[0]] != 4)
    trials = drive(LocalSearch(domain, ONE), 300, 4)
    assert all(trial.architecture[PATHS[0]] != 4 for trial in trials)
    assert max(trial.measurements["score"] for trial in trials) == 5 * 16 + 9, "the best that is acceptable"


def test_failed_and_infeasible_neighbours_are_no_step(space: SearchSpace) -> None:
    def measure(number: int, candidate: Candidate) -> Trial:
        if candidate.architecture[PATHS[0]] == 4:
            return Trial(number, candidate, "failed" if number % 2 else "infeasible", {"score": 1e9})
        return measured(number, candidate)

    trials = drive(LocalSearch(Domain(space), ONE), 300, 4, measure)
    assert all(trials[parent].completed for trial in trials for parent in trial.candidate.parents)
    assert max(t.measurements["score"] for t in trials if t.completed) == 5 * 16 + 9


def test_equally_good_neighbours_are_no_step(space: SearchSpace) -> None:
    def flat(number: int, candidate: Candidate) -> Trial:
        return Trial(number, candidate, "completed", {"score": 1.0})

    trials = drive(LocalSearch(Domain(space), ONE, initial=1), 1 + NEIGHBOURS + 1, measure=flat)
    assert all(trial.candidate.parents == (0,) for trial in trials[1:-1])
    assert trials[-1].candidate.parents == ()


def test_with_two_objectives_nothing_known_dominates_a_centre(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), TWO, initial=1), 300)
    centres: dict[int, int] = {}  # centre -> the first trial asked around it
    for trial in trials[1:]:
        for parent in trial.candidate.parents:
            centres.setdefault(parent, trial.number)
    assert len(centres) > 10
    for centre, began in centres.items():
        front = {trial.number for trial in pareto_front(trials[:began], TWO)}
        assert centre in front or began == 1


def test_with_two_objectives_it_dominates_more_than_random_search(space: SearchSpace) -> None:
    def volume(algorithm) -> float:
        trials = drive(algorithm, 400, 16)
        return hypervolume([(-t.measurements["score"], t.measurements["cost"]) for t in trials], (0.0, 24.0))

    seeds = range(4)
    climbed = [volume(LocalSearch(Domain(space), TWO, seed=seed)) for seed in seeds]
    drawn = [volume(RandomSearch(Domain(space), TWO, seed=seed)) for seed in seeds]
    assert min(climbed) > max(drawn)


def test_known_architectures_come_first(space: SearchSpace) -> None:
    trials = drive(LocalSearch(Domain(space), ONE, initial=1, known=["zeros"]), 10)
    assert trials[0].architecture == space.known["zeros"].architecture
    assert trials[1].candidate.parents == (0,)


def test_wrong_settings_are_bad_input(space: SearchSpace) -> None:
    with pytest.raises(InputError, match="expected one of all, first; did you mean 'first'"):
        LocalSearch(Domain(space), ONE, leave="frist")
    with pytest.raises(InputError, match="expected at least 1"):
        LocalSearch(Domain(space), ONE, initial=0)
