"""Regularized evolution: ageing, tournaments, several objectives, the lag, and that it searches better than chance."""

import numpy as np
import pytest

from nasengine.algorithms import RandomSearch, RegularizedEvolution
from nasengine.errors import InputError
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import parse_space

ONE = parse_objectives({"score": "maximize"})
TWO = parse_objectives({"score": "maximize", "cost": "minimize"})
BLOCKS = 8
SMALLEST = ", ".join(f"network.layers.{i}.width: 1" for i in range(BLOCKS))
SPACE = (
    f"""
name: blocks
task: {{kind: image_classification, input: [3, 32, 32], classes: 10}}
known:
  smallest: {{architecture: {{{SMALLEST}}}, about: all ones}}
network:
  type: sequential
  layers:
"""
    + "    - {type: conv_norm_activation, width: {range: [1, 9, 1]}, kernel: 3}\n" * BLOCKS
)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(parse_space(SPACE, "test.yaml"))


def widths(architecture: Architecture) -> list[int]:
    return [architecture[f"network.layers.{i}.width"] for i in range(BLOCKS)]


def score(architecture: Architecture) -> float:
    """Best where the widths rise from 1 to 8."""
    return -float(sum(abs(width - 1 - i) for i, width in enumerate(widths(architecture))))


def measured(number: int, candidate: Candidate) -> Trial:
    found = {"score": score(candidate.architecture), "cost": float(sum(widths(candidate.architecture)))}
    return Trial(number, candidate, "completed", found)


def drive(algorithm, trials: int, lag: int = 1) -> list[Trial]:
    done: list[Trial] = []
    for k in range(trials):
        if k >= lag:
            algorithm.tell(done[k - lag])
        done.append(measured(k, algorithm.ask(k)))
    return done


def distance(first: Architecture, second: Architecture) -> int:
    return sum(a != b for a, b in zip(widths(first), widths(second), strict=True))


def test_the_first_population_is_random_and_every_later_candidate_is_one_mutation_from_its_parent(
    space: SearchSpace,
) -> None:
    trials = drive(RegularizedEvolution(Domain(space), ONE, population=10, tournament=4), 60)
    assert all(not trial.candidate.parents for trial in trials[:10])
    for trial in trials[10:]:
        (parent,) = trial.candidate.parents
        assert distance(trial.architecture, trials[parent].architecture) == 1


def test_the_oldest_die_whatever_their_score(space: SearchSpace) -> None:
    trials = drive(RegularizedEvolution(Domain(space), ONE, population=10, tournament=4), 200)
    assert all(trial.candidate.parents[0] >= trial.number - 10 for trial in trials[10:])


def test_the_parent_is_the_best_of_the_contestants_drawn_with_replacement(space: SearchSpace) -> None:
    algorithm = RegularizedEvolution(Domain(space), ONE, seed=7, population=12, tournament=5)
    trials = drive(algorithm, 12)
    algorithm.tell(trials[11])
    for k in range(12, 60):
        drawn = np.random.default_rng([7, k]).integers(12, size=5)
        best = max(trials[i].measurements["score"] for i in drawn)
        (parent,) = algorithm.ask(k).parents
        assert parent in drawn
        assert trials[parent].measurements["score"] == best


def test_a_larger_tournament_prefers_better_parents(space: SearchSpace) -> None:
    def mean_parent(tournament: int) -> float:
        algorithm = RegularizedEvolution(Domain(space), ONE, population=50, tournament=tournament)
        trials = drive(algorithm, 50)
        algorithm.tell(trials[49])
        parents = [trials[algorithm.ask(k).parents[0]] for k in range(50, 350)]
        return float(np.mean([parent.measurements["score"] for parent in parents]))

    assert mean_parent(2) < mean_parent(8) < mean_parent(40)


def test_with_two_objectives_parents_are_not_dominated_by_their_rivals(space: SearchSpace) -> None:
    algorithm = RegularizedEvolution(Domain(space), TWO, population=30, tournament=30)
    trials = drive(algorithm, 30)
    algorithm.tell(trials[29])
    extremes = {
        max(trials, key=lambda t: t.measurements["score"]).number,
        min(trials, key=lambda t: t.measurements["cost"]).number,
    }
    parents = {algorithm.ask(k).parents[0] for k in range(30, 230)}
    assert extremes <= parents, "both ends of the front have children"
    worst = max(trials, key=lambda t: t.measurements["cost"] - t.measurements["score"])
    assert worst.number not in parents


def test_failed_and_infeasible_trials_have_no_children(space: SearchSpace) -> None:
    algorithm = RegularizedEvolution(Domain(space), ONE, population=6, tournament=2)
    bad: set[int] = set()
    for k in range(80):
        candidate = algorithm.ask(k)
        assert not bad & set(candidate.parents)
        if k % 3:
            bad.add(k)
            algorithm.tell(Trial(k, candidate, "failed" if k % 3 == 1 else "infeasible", {"score": 100.0}))
        else:
            algorithm.tell(measured(k, candidate))


def test_under_a_lag_children_begin_when_a_tournament_can_be_held(space: SearchSpace) -> None:
    trials = drive(RegularizedEvolution(Domain(space), ONE, population=5, tournament=3), 40, lag=16)
    first_child = next(trial.number for trial in trials if trial.candidate.parents)
    assert first_child == 18  # ask(18) is the first that knows three trials: 0, 1 and 2
    assert all(parent <= trial.number - 16 for trial in trials for parent in trial.candidate.parents)


def test_known_architectures_come_first(space: SearchSpace) -> None:
    algorithm = RegularizedEvolution(Domain(space), ONE, population=4, tournament=2, known=["smallest"])
    assert algorithm.ask(0).architecture == space.known["smallest"].architecture
    assert algorithm.ask(1).architecture != space.known["smallest"].architecture


def test_wrong_settings_are_bad_input(space: SearchSpace) -> None:
    with pytest.raises(InputError, match="2 <= tournament <= population"):
        RegularizedEvolution(Domain(space), ONE, population=10, tournament=20)
    with pytest.raises(InputError, match="did you mean 'smallest'"):
        RegularizedEvolution(Domain(space), ONE, known=["smalest", "largest"])


def test_children_are_new_while_there_are_new_ones(space: SearchSpace) -> None:
    trials = drive(RegularizedEvolution(Domain(space), ONE, population=10, tournament=4), 300)
    assert len({trial.architecture for trial in trials}) > 290


def test_where_no_mutation_is_acceptable_it_draws_instead(space: SearchSpace) -> None:
    def accepts(architecture: Architecture) -> bool:
        return sum(widths(architecture)) % 9 == 0 and widths(architecture)[0] == 5

    def draw(rng: np.random.Generator) -> Architecture:
        last = [int(width) for width in rng.integers(1, 10, size=BLOCKS)]
        last[0] = 5
        last[-1] = 9 - (sum(last[:-1]) - 1) % 9 - 1 or 9
        return space.architecture({f"network.layers.{i}.width": width for i, width in enumerate(last)})

    algorithm = RegularizedEvolution(Domain(space, accepts, draw=draw), ONE, population=4, tournament=2)
    for trial in drive(algorithm, 20):
        assert accepts(trial.architecture)
        assert not trial.candidate.parents


@pytest.mark.parametrize("lag", [1, 16])
def test_it_finds_better_architectures_than_random_search(space: SearchSpace, lag: int) -> None:
    def best(algorithm) -> float:
        return max(trial.measurements["score"] for trial in drive(algorithm, 400, lag))

    seeds = range(5)
    evolved = [best(RegularizedEvolution(Domain(space), ONE, seed=s, population=30, tournament=10)) for s in seeds]
    drawn = [best(RandomSearch(Domain(space), ONE, seed=s)) for s in seeds]
    assert min(evolved) > max(drawn)
