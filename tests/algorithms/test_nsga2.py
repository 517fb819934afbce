"""NSGA-II: survival and selection worked by hand, constraint domination, lag, memory, and that it searches well."""

import sys

import numpy as np
import pytest

from nasengine.algorithms import NSGA2, RandomSearch
from nasengine.errors import InputError
from nasengine.objectives import Constraint, hypervolume, parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.domain import Domain

ONE = parse_objectives({"score": "maximize"})
TWO = parse_objectives({"score": "maximize", "cost": "minimize"})
CHOICES = 10
PATHS = [f"network.c{i}" for i in range(CHOICES)]


def space_of(relations: list[object], options: int = 6) -> SearchSpace:
    network = {"type": "net", **{f"c{i}": {"choice": list(range(options))} for i in range(CHOICES)}}
    task = {"kind": "any", "input": [1, 1, 1]}
    known = {"zeros": {"architecture": dict.fromkeys(PATHS, 0)}, "ones": {"architecture": dict.fromkeys(PATHS, 1)}}
    return space_from_mapping({"name": "ten", "task": task, "network": network, "relations": relations, "known": known})


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return space_of([])


def values(architecture: Architecture) -> np.ndarray:
    return np.array([architecture[path] for path in PATHS], dtype=float)


def measured(number: int, candidate: Candidate) -> Trial:
    """Two objectives in conflict: the same options that score cost."""
    taken = values(candidate.architecture)
    found = {"score": float(np.sqrt(taken) @ np.arange(1, CHOICES + 1)), "cost": float(taken.sum())}
    return Trial(number, candidate, "completed", found)


def drive(algorithm, trials: int, lag: int = 1, measure=measured) -> list[Trial]:
    done: list[Trial] = []
    for k in range(trials):
        if k >= lag:
            algorithm.tell(done[k - lag])
        done.append(measure(k, algorithm.ask(k)))
    return done


def survivors(algorithm: NSGA2, population: int) -> set[int]:
    """The trials that are left when the next generation is made, of a population of this size."""
    algorithm.population = population
    algorithm.ask(1000)
    return set(algorithm._members.numbers.tolist())


def test_the_first_population_is_random_and_later_candidates_have_one_or_two_parents(space: SearchSpace) -> None:
    trials = drive(NSGA2(Domain(space), TWO, population=20, children=5), 100)
    assert all(not trial.candidate.parents for trial in trials[:20])
    assert all(len(trial.candidate.parents) in (1, 2) for trial in trials[20:])


def test_who_survives_a_worked_population(space: SearchSpace) -> None:
    """Fronts {0, 1, 2}, {3, 4, 5}, {6, 7}; four survive: the first front and one end of the second."""
    points = [(1, 5), (2, 3), (5, 1), (2, 6), (3, 4), (6, 2), (4, 7), (7, 6)]
    algorithm = NSGA2(Domain(space), TWO, population=8, children=4)
    for k, (a, b) in enumerate(points):
        algorithm.tell(Trial(k, algorithm.ask(k), "completed", {"score": float(-a), "cost": float(b)}))
    assert survivors(algorithm, 4) == {0, 1, 2, 3}  # 3 and 5 are the ends of their front; who came first stands first


def test_the_crowded_middle_of_a_front_goes_first(space: SearchSpace) -> None:
    points = [(0, 10), (1, 8), (2, 7), (3, 6), (7, 2), (10, 0)]  # rooms: inf, 0.5, 0.4, 1.0, 1.3, inf
    algorithm = NSGA2(Domain(space), TWO, population=6, children=4)
    for k, (a, b) in enumerate(points):
        algorithm.tell(Trial(k, algorithm.ask(k), "completed", {"score": float(-a), "cost": float(b)}))
    assert survivors(algorithm, 4) == {0, 3, 4, 5}


def test_better_members_have_more_children(space: SearchSpace) -> None:
    algorithm = NSGA2(Domain(space), ONE, population=10, children=1000)
    for k in range(10):
        algorithm.tell(Trial(k, algorithm.ask(k), "completed", {"score": float(k)}))
    shares = np.zeros(10)
    for k in range(10, 1010):
        for parent in algorithm.ask(k).parents:
            shares[parent] += 1
    assert shares[0] == 0, "who loses to everybody wins no tournament"
    assert shares[9] > shares[6] > shares[3] > 0


def test_feasible_before_infeasible_and_those_by_total_violation(space: SearchSpace) -> None:
    bounds = (Constraint("latency", high=10.0), Constraint("accuracy", low=0.5))
    found = [
        ("infeasible", {"latency": 30.0, "accuracy": 0.6}),  # 20 / 20 over
        ("infeasible", {"latency": 12.0, "accuracy": 0.4}),  # 2 / 20 over and 0.1 / 0.4 under: 0.35
        ("completed", {"score": 0.0, "cost": 99.0, "latency": 9.0, "accuracy": 0.6}),  # the worst that is feasible
        ("infeasible", {"latency": 14.0, "accuracy": 0.5}),  # 4 / 20: 0.2
        ("infeasible", {"latency": 9.0, "accuracy": 0.1}),  # 0.4 / 0.4
        ("infeasible", {"latency": 10.1}),  # accuracy unknown: does not join
        ("failed", {"latency": 9.0, "accuracy": 0.9}),
    ]
    for size, expected in ((7, {0, 1, 2, 3, 4}), (3, {1, 2, 3}), (2, {2, 3})):
        algorithm = NSGA2(Domain(space), TWO, constraints=bounds, population=7, children=4)
        for k, (status, measurements) in enumerate(found):
            algorithm.tell(Trial(k, algorithm.ask(k), status, measurements))
        assert survivors(algorithm, size) == expected


def test_infeasible_trials_lead_the_way_to_feasible_ones(space: SearchSpace) -> None:
    def measure(number: int, candidate: Candidate) -> Trial:
        total = float(values(candidate.architecture).sum())
        status = "completed" if total <= 6 else "infeasible"
        return Trial(number, candidate, status, {"score": -total, "cost": total, "total": total})

    def feasible(algorithm: object) -> int:
        return sum(trial.completed for trial in drive(algorithm, 600, 16, measure))

    bound = (Constraint("total", high=6.0),)
    assert feasible(NSGA2(Domain(space), TWO, constraints=bound, population=40)) > 100
    assert feasible(RandomSearch(Domain(space), TWO)) < 5


def test_nothing_is_proposed_twice_while_something_is_new(space: SearchSpace) -> None:
    trials = drive(NSGA2(Domain(space), TWO, population=20, children=7), 600, 16)
    assert len({trial.architecture for trial in trials}) == 600


def test_a_repeat_joins_no_population() -> None:
    tiny = Domain(space_from_mapping({"name": "t", "task": {"kind": "any", "input": [1, 1, 1]},
                                      "network": {"type": "net", "c": {"choice": [0, 1, 2]}}}))  # fmt: skip
    algorithm = NSGA2(tiny, ONE, population=5, children=2)
    for k in range(40):
        candidate = algorithm.ask(k)
        algorithm.tell(Trial(k, candidate, "completed", {"score": float(candidate.architecture["network.c"])}))
    algorithm._select()
    assert len(algorithm._members.numbers) == 3


@pytest.mark.parametrize("lag", [1, 16, 50])
def test_children_descend_from_trials_that_were_told_by_then(space: SearchSpace, lag: int) -> None:
    trials = drive(NSGA2(Domain(space), TWO, population=20, children=8), 200, lag)
    assert all(parent <= trial.number - lag for trial in trials for parent in trial.candidate.parents)
    assert next(trial.number for trial in trials if trial.candidate.parents) == max(20, lag + 1)


def test_trials_that_were_late_for_one_generation_have_children_in_the_next(space: SearchSpace) -> None:
    trials = drive(NSGA2(Domain(space), TWO, population=40, children=20), 400, 16)
    late = {k for k in range(40, 400) if k % 20 >= 4}  # of each generation the last 15 and one are told later
    parents = {parent for trial in trials for parent in trial.candidate.parents}
    assert len(parents & late) > 20


def test_known_architectures_come_first(space: SearchSpace) -> None:
    algorithm = NSGA2(Domain(space), ONE, known=["ones", "zeros"])
    first, second, third = (algorithm.ask(k).architecture for k in range(3))
    assert (first, second) == (space.known["ones"].architecture, space.known["zeros"].architecture)
    assert third not in (first, second)


def test_wrong_settings_are_bad_input(space: SearchSpace) -> None:
    with pytest.raises(InputError, match="population of at least 2"):
        NSGA2(Domain(space), ONE, population=1)
    with pytest.raises(InputError, match="at least one child"):
        NSGA2(Domain(space), ONE, children=0)
    with pytest.raises(InputError, match="did you mean 'zeros'"):
        NSGA2(Domain(space), ONE, known=["zeroes"])


def test_with_relations_and_constraints_children_keep_them_and_still_improve() -> None:
    related = space_of([{"order": PATHS[:3], "is": "not_decreasing"}])
    domain = Domain(related, lambda architecture: architecture[PATHS[9]] != 3)
    trials = drive(NSGA2(domain, ONE, population=20, children=5), 300, 16)
    for trial in trials:
        assert related.satisfies(trial.architecture)
        assert trial.architecture[PATHS[9]] != 3
    scores = [trial.measurements["score"] for trial in trials]
    assert np.mean(scores[-50:]) > max(scores[:20])


@pytest.mark.parametrize("lag", [1, 16])
def test_its_front_dominates_more_than_that_of_random_search(space: SearchSpace, lag: int) -> None:
    def volume(algorithm) -> float:
        trials = drive(algorithm, 400, lag)
        return hypervolume([(-t.measurements["score"], t.measurements["cost"]) for t in trials], (0.0, 50.0))

    seeds = range(4)
    evolved = [volume(NSGA2(Domain(space), TWO, seed=seed, population=40)) for seed in seeds]
    drawn = [volume(RandomSearch(Domain(space), TWO, seed=seed)) for seed in seeds]
    assert min(evolved) > max(drawn)


def test_what_it_keeps_does_not_grow_save_for_the_set_of_rows(space: SearchSpace) -> None:
    algorithm = NSGA2(Domain(space), TWO, population=20, children=10)

    def kept() -> int:
        members = algorithm._members
        arrays = sum(array.nbytes for array in (members.rows, members.points, members.numbers, members.violations))
        return arrays + sum(sys.getsizeof(thing) for thing in (algorithm._running, algorithm._arrived))

    done: list[Trial] = []
    sizes = []
    for k in range(1200):
        if k >= 16:
            algorithm.tell(done.pop(0))
        done.append(measured(k, algorithm.ask(k)))
        if k % 100 == 99:
            sizes.append(kept())
    assert max(sizes[2:]) <= 1.5 * sizes[1]
    assert all(len(key) == CHOICES for key in algorithm._proposed), "one byte a choice"
