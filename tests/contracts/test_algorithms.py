"""What every algorithm promises, over the whole table of algorithms."""

import inspect
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest

from nasengine.algorithms import ALGORITHMS, Algorithm
from nasengine.algorithms.probabilities import Probabilities
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import parse_space

OBJECTIVES = parse_objectives({"accuracy": "maximize", "macs": "minimize"})
SPACE = """
name: medium
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [8, 16, 24, 32]}, kernel: {choice: [1, 3, 5]}}
    - repeat: {choice: [1, 2, 3]}
      of: {type: conv_norm_activation, width: {choice: [8, 16, 24, 32]}, kernel: {choice: [1, 3, 5]}}
    - {type: linear_head}
relations:
  - {sum: [network.layers.0.kernel, network.layers.1.repeat], max: 6}
"""
TINY = """
name: tiny
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [8, 16, 24]}, kernel: 3}
    - {type: linear_head}
"""


def load(text: str) -> SearchSpace:
    return SearchSpace(parse_space(text, "test.yaml"))


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load(SPACE)


@pytest.fixture(params=list(ALGORITHMS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SETTINGS = {
    "regularized_evolution": {"population": 8, "tournament": 3},
    "nsga2": {"population": 8, "children": 4},
    "nsga3": {"population": 8},
    "gp": {"startup": 3},
}
ONE_OBJECTIVE = ("cma_es", "gp")  # all that the first can have; the second takes seconds a trial with two
SLOW = ("gp",)  # some tenths of a second a trial


def make(name: str, domain: Domain, seed: int = 0) -> Algorithm:
    objectives = OBJECTIVES[:1] if name in ONE_OBJECTIVE else OBJECTIVES
    handed = {"probabilities": settled(domain.space)} if ALGORITHMS[name].reads_probabilities else {}
    return ALGORITHMS[name](domain, objectives, seed=seed, **handed, **SETTINGS.get(name, {}))


def settled(space: SearchSpace) -> Probabilities:
    """The first option of every choice is the most probable one."""
    counts = {decision.path: len(decision.options) for decision in space.decisions}
    return Probabilities(space, {path: [2 / (n + 1), *[1 / (n + 1)] * (n - 1)] for path, n in counts.items()})


def outcome(number: int, candidate: Candidate) -> Trial:
    """A result that depends on the architecture alone; about one in five trials does not complete."""
    draw = zlib.crc32(candidate.architecture.key.encode())
    if draw % 5 == 0:
        return Trial(number, candidate, "failed" if draw % 2 else "infeasible", {}, "by lot")
    return Trial(number, candidate, "completed", {"accuracy": draw % 997 / 997, "macs": draw % 1009})


def some(trials: int, name: str) -> int:
    """So many trials, or fewer of an algorithm that is slow."""
    return trials // 6 if name in SLOW else trials


def drive(algorithm: Algorithm, trials: int, lag: int = 5) -> list[Candidate]:
    """Ask and tell by the lag rule."""
    asked: list[Candidate] = []
    for k in range(trials):
        if k >= lag:
            algorithm.tell(outcome(k - lag, asked[k - lag]))
        candidate = algorithm.ask(k)
        if candidate is None:
            assert algorithm.ask(k + 1) is None, "nothing left means nothing left"
            break
        asked.append(candidate)
    return asked


def test_the_same_seed_asks_for_the_same_trials(name: str, space: SearchSpace) -> None:
    domain = Domain(space)
    trials = some(60, name)
    assert drive(make(name, domain, 3), trials) == drive(make(name, domain, 3), trials)


def test_another_seed_asks_for_others_unless_nothing_is_drawn(
    name: str, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    generator = Algorithm.generator

    def watched(self: Algorithm, trial_number: int) -> np.random.Generator:
        drawn.append(trial_number)
        return generator(self, trial_number)

    monkeypatch.setattr(Algorithm, "generator", watched)
    trials = some(30, name)
    differ = drive(make(name, Domain(space), 3), trials) != drive(make(name, Domain(space), 4), trials)
    assert differ == bool(drawn)


def test_replaying_the_calls_in_a_new_process_continues_as_if_uninterrupted(name: str, space: SearchSpace) -> None:
    lag, cut = 5, some(50, name)
    whole = drive(make(name, Domain(space), 1), some(75, name), lag)
    again = make(name, Domain(pickle.loads(pickle.dumps(space))), 1)
    assert drive(again, cut, lag) == whole[:cut]
    for k in range(cut, len(whole)):
        again.tell(outcome(k - lag, whole[k - lag]))
        assert again.ask(k) == whole[k]


def test_every_candidate_is_a_valid_architecture_that_keeps_relations_and_constraints(
    name: str, space: SearchSpace
) -> None:
    def accepts(architecture: Architecture) -> bool:
        return architecture["network.layers.0.width"] != 24

    for candidate in drive(make(name, Domain(space, accepts)), some(80, name)):
        assert space.architecture(candidate.architecture) == candidate.architecture
        assert space.satisfies(candidate.architecture)
        assert accepts(candidate.architecture)


def test_parents_are_completed_trials_told_before(name: str, space: SearchSpace) -> None:
    lag = 5
    asked = drive(make(name, Domain(space)), some(80, name), lag)
    for k, candidate in enumerate(asked):
        for parent in candidate.parents:
            assert parent <= k - lag
            assert outcome(parent, asked[parent]).completed


@pytest.mark.parametrize("lag", [1, 16])
def test_a_space_of_three_ends_or_goes_on_but_never_stalls(name: str, lag: int) -> None:
    trials = 24 if name in SLOW else 50
    asked = drive(make(name, Domain(load(TINY))), trials, lag)
    count = 1 if ALGORITHMS[name].reads_probabilities else 3
    assert len({candidate.architecture for candidate in asked}) == count
    assert len(asked) in (count, trials)


def test_where_it_says_how_many_candidates_it_has_it_proposes_so_many(name: str) -> None:
    domain = Domain(load(TINY))
    said = make(name, domain).ends_after
    assert said is None or said == len(drive(make(name, domain), said + 1))


def test_an_exhaustive_search_knows_the_size_of_what_refuses_nothing(space: SearchSpace) -> None:
    assert make("exhaustive", Domain(load(TINY))).ends_after == 3
    assert make("exhaustive", Domain(space)).ends_after is None  # has relations
    assert make("exhaustive", Domain(load(TINY), accepts=lambda architecture: False)).ends_after is None


def test_it_lives_with_never_being_told_a_completed_trial(name: str, space: SearchSpace) -> None:
    algorithm = make(name, Domain(space))
    for k in range(1 if ALGORITHMS[name].reads_probabilities else 40):
        candidate = algorithm.ask(k)
        assert candidate is not None
        algorithm.tell(Trial(k, candidate, "failed", {}, "always"))


def test_its_constructor_takes_domain_objectives_and_named_settings_with_defaults(name: str) -> None:
    parameters = list(inspect.signature(ALGORITHMS[name]).parameters.values())
    assert [parameter.name for parameter in parameters[:3]] == ["domain", "objectives", "seed"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[2:])
    assert all(parameter.default is not parameter.empty for parameter in parameters[2:])


def test_it_has_a_docstring_that_says_what_it_does(name: str) -> None:
    assert len((ALGORITHMS[name].__doc__ or "").split()) > 5


def test_it_has_a_row_in_the_table_of_algorithms(name: str, repository: Path) -> None:
    rows = (repository / "docs" / "algorithms.md").read_text(encoding="utf-8").splitlines()
    assert sum(row.startswith(f"| `{name}` |") for row in rows) == 1
