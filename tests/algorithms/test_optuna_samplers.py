"""Optuna's samplers as algorithms: what they are told, what they propose, and that resuming them is exact."""

import importlib.util
import logging
import random
import subprocess
import sys
import warnings
import zlib
from collections.abc import Sequence

import numpy as np
import optuna
import pytest

from nasengine.algorithms import ALGORITHMS, Algorithm
from nasengine.algorithms.optuna_sampler import OptunaSampler, is_ordered
from nasengine.errors import InputError
from nasengine.objectives import Constraint, parse_objectives
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import parse_space

SPACE = """
name: mixed
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [64, 16, 32, 8]}, kernel: {choice: [1, 3, 5]}}
    - choice:
        convolution: {type: conv_norm_activation, width: {choice: [8, 16, 24, 32]}, kernel: {choice: [1, 3, 5]}}
        residual: {type: residual_block, width: {choice: [16, 32, 48]}}
        nothing: {type: identity}
    - {type: linear_head}
"""
SAMPLERS = ("tpe", "nsga3", "cma_es", "gp")
SAMPLERS_BUT_GP = ("tpe", "nsga3", "cma_es", pytest.param("gp", marks=pytest.mark.slow))  # where that would take long
ONE = parse_objectives({"loss": "minimize"})
TWO = parse_objectives({"loss": "minimize", "speed": "maximize"})
SETTINGS: dict[str, dict[str, int]] = {"nsga3": {"population": 6}, "tpe": {"startup": 5}, "gp": {"startup": 4}}


def load(text: str = SPACE) -> SearchSpace:
    return SearchSpace(parse_space(text, "test.yaml"))


def make(name: str, domain: Domain, *, several: bool = False, seed: int = 0, **settings: object) -> OptunaSampler:
    made = ALGORITHMS[name](domain, TWO if several else ONE, seed=seed, **{**SETTINGS.get(name, {}), **settings})
    assert isinstance(made, OptunaSampler)
    return made


def outcome(number: int, candidate: Candidate) -> Trial:
    """Small widths and kernels are good; one architecture in eight fails, one in eight is infeasible."""
    architecture = candidate.architecture
    draw = zlib.crc32(architecture.key.encode())
    if draw % 4 == 0:
        status = "failed" if draw % 8 else "infeasible"
        return Trial(number, candidate, status, {}, "by lot")
    numbers = [option for option in architecture.values() if not isinstance(option, str)]
    return Trial(number, candidate, "completed", {"loss": sum(numbers) / 100, "speed": len(numbers) + draw % 97 / 97})


def drive(algorithm: Algorithm, trials: int, lag: int = 1) -> list[Candidate]:
    asked: list[Candidate] = []
    for k in range(trials):
        if k >= lag:
            algorithm.tell(outcome(k - lag, asked[k - lag]))
        candidate = algorithm.ask(k)
        assert candidate is not None
        asked.append(candidate)
    return asked


def run(name: str, **settings: object) -> tuple[OptunaSampler, list[Candidate]]:
    algorithm = make(name, Domain(load()), **settings)
    return algorithm, drive(algorithm, 12 if name == "gp" else 30)


@pytest.mark.parametrize("lag", [1, 16])
@pytest.mark.parametrize("name", ["tpe", "nsga3", "cma_es"])
def test_a_search_interrupted_anywhere_and_replayed_goes_on_as_if_it_had_not_been(name: str, lag: int) -> None:
    trials = 40
    whole = drive(make(name, Domain(load()), seed=5), trials, lag)
    for cut in (1, lag + 1, 29):
        again = make(name, Domain(load()), seed=5)
        assert drive(again, cut, lag) == whole[:cut]
        for k in range(cut, cut + 6):
            if k >= lag:
                again.tell(outcome(k - lag, whole[k - lag]))
            assert again.ask(k) == whole[k]


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("lag", [1, 16])
def test_a_gaussian_process_replayed_goes_on_as_if_uninterrupted(lag: int, several: bool) -> None:
    trials = lag + 12
    whole = drive(make("gp", Domain(load()), several=several, seed=5), trials, lag)
    again = make("gp", Domain(load()), several=several, seed=5)
    assert drive(again, trials - 4, lag) == whole[: trials - 4]
    for k in range(trials - 4, trials):
        again.tell(outcome(k - lag, whole[k - lag]))
        assert again.ask(k) == whole[k]


@pytest.mark.parametrize("name", SAMPLERS_BUT_GP)
def test_it_proposes_better_than_random_search_on_a_smooth_landscape(name: str) -> None:
    def proposed(algorithm: str) -> float:
        losses = []
        for seed in range(3):
            made = ALGORITHMS[algorithm](Domain(load()), ONE, seed=seed, **SETTINGS.get(algorithm, {}))
            late = drive(made, 24)[12:]
            losses += [sum(v for v in c.architecture.values() if not isinstance(v, str)) for c in late]
        return float(np.mean(losses))

    assert proposed(name) < 0.85 * proposed("random_search")


@pytest.mark.parametrize("name", ["tpe", "nsga3", pytest.param("gp", marks=pytest.mark.slow)])
def test_it_takes_several_objectives(name: str) -> None:
    asked = drive(make(name, Domain(load()), several=True), 8 if name == "gp" else 30, lag=3)
    assert len({candidate.architecture for candidate in asked}) == len(asked)


def test_cma_es_refuses_several_objectives_and_says_who_takes_them() -> None:
    with pytest.raises(InputError, match=r"cma_es with the objectives loss, speed\n.*tpe, gp and nsga3"):
        make("cma_es", Domain(load()), several=True)


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_is_proposed_twice_while_something_near_is_new(name: str) -> None:
    _, asked = run(name)
    assert len({candidate.architecture for candidate in asked}) == len(asked)


def test_repeats_are_proposed_where_they_may_be() -> None:
    _, asked = run("tpe", avoid_repeats=False)
    assert len({candidate.architecture for candidate in asked}) < len(asked)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_proposed_keeps_constraints_that_few_suggestions_keep(name: str) -> None:
    def accepts(architecture: Architecture) -> bool:
        return zlib.crc32(architecture.key.encode()) % 13 == 0

    for candidate in drive(make(name, Domain(load(), accepts)), 10 if name == "gp" else 16):
        assert accepts(candidate.architecture)


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_neither_warns_nor_logs_nor_touches_the_global_generators(
    name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        run(name)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_machine_without_its_packages_is_told_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"{name} needs optuna.*\n.*pip install 'nasengine\[samplers\]'"):
        make(name, Domain(load()))


def test_optuna_is_not_imported_before_one_of_its_samplers_is_made() -> None:
    code = "import sys, nasengine, nasengine.algorithms, nasengine.cli.main; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("tpe", {"startup": 0}, "tpe with startup 0"),
        ("tpe", {"candidates": 0}, "tpe with candidates 0"),
        ("tpe", {"group": True, "multivariate": False}, "with group and without multivariate"),
        ("nsga3", {"population": 1}, "nsga3 with population 1"),
        ("nsga3", {"mutation": 1.5}, "nsga3 with mutation 1.5"),
        ("cma_es", {"population": 1}, "cma_es with population 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make(name, Domain(load()), **settings)


def test_numbers_are_ordered_by_value_and_words_are_categories() -> None:
    space = load()
    ordered = {path: is_ordered(decision) for path, decision in space.choices.items()}
    assert ordered["network.layers.0.width"]
    assert not ordered["network.layers.1"]
    algorithm = make("tpe", Domain(space))
    width = next(axis for axis in algorithm._axes if axis.path == "network.layers.0.width")
    options = space.choices["network.layers.0.width"].options
    assert [options[width.option({width.path: place})] for place in range(4)] == [8, 16, 32, 64]
    assert all(width.option(width.point(option)) == option for option in range(4))


def studied(algorithm: OptunaSampler) -> list[optuna.trial.FrozenTrial]:
    """What the sampler sees."""
    return algorithm._study._study.get_trials(deepcopy=False)


def tell_four(name: str, constraints: Sequence[Constraint] = ()) -> list[optuna.trial.FrozenTrial]:
    """A completed trial, one off a constraint, one failed and one infeasible without a measurement."""
    algorithm = make(name, Domain(load()), constraints=constraints)
    asked = [algorithm.ask(k) for k in range(4)]
    for trial in (
        Trial(0, asked[0], "completed", {"loss": 1.0, "latency": 10.0}),
        Trial(1, asked[1], "infeasible", {"loss": 0.5, "latency": 15.0}, "too slow"),
        Trial(2, asked[2], "failed", {}, "crashed"),
        Trial(3, asked[3], "infeasible", {}, "does not fit"),
    ):
        algorithm.tell(trial)
    return [trial for trial in studied(algorithm) if trial.state.name != "FAIL" or not trial.params]


CONSTRAINTS = (Constraint("latency", high=10.0),)


@pytest.mark.parametrize("name", ["tpe", "nsga3", "gp"])
def test_a_measured_infeasible_trial_is_told_with_how_far_it_is_off(name: str) -> None:
    complete = [trial for trial in tell_four(name, CONSTRAINTS) if trial.state.name == "COMPLETE"]
    assert [trial.values for trial in complete] == [[1.0], [0.5]]
    assert [list(trial.constraints.values()) for trial in complete] == [[0.0], [0.5]]


def test_tpe_counts_failed_trials_as_infeasible() -> None:
    pruned = [trial for trial in tell_four("tpe", CONSTRAINTS) if trial.state.name == "PRUNED"]
    assert [trial.constraints for trial in pruned] == [{"failed": 1.0}, {"infeasible": 1.0}]


def test_cma_es_counts_failed_and_infeasible_trials_as_the_worst() -> None:
    complete = [trial for trial in tell_four("cma_es", CONSTRAINTS) if trial.state.name == "COMPLETE"]
    assert [trial.value for trial in complete] == [1.0, np.inf, np.inf, np.inf]


def test_cma_es_is_told_known_outcomes_without_spending_a_trial() -> None:
    algorithm, asked = run("cma_es")
    told = [trial for trial in studied(algorithm) if trial.state.name == "COMPLETE"]
    assert len(told) > len(asked)


def test_cma_es_moves_on_through_its_generations() -> None:
    algorithm = make("cma_es", Domain(load()), population=5)
    drive(algorithm, 40)
    generations = [trial.system_attrs.get("cmawm:generation", 0) for trial in studied(algorithm)]
    assert max(generations) >= 5


def test_nsga3_hands_down_what_is_inactive_and_its_populations_fill() -> None:
    algorithm = make("nsga3", Domain(load()), several=True)
    drive(algorithm, 40)
    complete = [trial for trial in studied(algorithm) if trial.state.name == "COMPLETE"]
    generations = [trial.system_attrs["KnownNSGAIII:generation"] for trial in complete]
    assert {len(trial.params) for trial in complete} == {len(algorithm._axes)}
    assert generations.count(0) >= 6
    assert max(generations) >= 3


def test_tpe_is_asked_for_active_decisions_only() -> None:
    algorithm, _ = run("tpe")
    for trial in studied(algorithm):
        if trial.state.name == "COMPLETE":
            assert (trial.params["network.layers.1"] == 2) == (len(trial.params) == 3)


def test_equal_architectures_are_equal_points_to_the_gaussian_process() -> None:
    algorithm, asked = run("gp")
    points = {}
    for trial in studied(algorithm):
        if trial.state.name in ("COMPLETE", "RUNNING"):
            points[tuple(sorted(trial.params.items()))] = trial.number
    assert len(points) <= len({candidate.architecture for candidate in asked})
    inactive = [p for p in points if dict(p)["network.layers.1"] == 2]
    assert all(dict(p)["network.layers.1.convolution.width"] == 0 for p in inactive)
