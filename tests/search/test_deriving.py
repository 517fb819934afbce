"""`algorithm: derived`: the most probable architecture of a relaxed supernet, measured or not; refused if unsettled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nasengine as nas
from nasengine.algorithms.derived import Derived
from nasengine.algorithms.probabilities import PROBABILITIES, Probabilities
from nasengine.objectives import parse_objectives
from nasengine.search.language.strategy import parse_strategy
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.domain import Domain
from tests.preparation.test_relaxed import SCALES, scales

HEAD = "name: relaxed\ndata: {name: synthetic, validation: 0.5, batch: 64}\nobjectives: {accuracy: maximize}\nphases:\n"
PREPARE = "  - prepare: {trainer: relaxed, network: {norm: {affine: false, statistics: batch}}, budget: {epochs: 1}}\n"
SEARCH = "  - search: {algorithm: derived, evaluator: {type: supernet, statistics: batch}}\n"
RETRAIN = "  - retrain: {budget: {epochs: 1}, data: {validation: 0.0}}\n"


def search(folder: Path, *phases: str) -> nas.Run:
    strategy = parse_strategy(HEAD + "".join(phases), "relaxed.yaml")
    found: nas.Run = nas.search(scales(), strategy, run=folder, device="cpu")
    return found


def test_a_run_relaxes_derives_measures_with_the_inherited_weights_and_trains_what_it_found(tmp_path):
    run = search(tmp_path / "run", PREPARE, SEARCH, RETRAIN)
    expected = Probabilities.read(tmp_path / "run" / "prepare", run.space).architecture()
    (trial,) = run.trials
    assert trial.architecture == expected
    assert 0 <= trial.measurements["accuracy"] <= 1
    assert run.best.architecture == expected
    assert "test_accuracy" in run.best.measurements
    nas.resume(tmp_path / "run")  # all done: nothing is done again
    assert len(run.trials) == 1


def test_without_an_evaluator_nothing_is_measured_and_the_architecture_is_trained_all_the_same(tmp_path):
    run = search(tmp_path / "run", PREPARE, "  - search: {algorithm: derived, require: {probability: 0.1}}\n", RETRAIN)
    expected = Probabilities.read(tmp_path / "run" / "prepare", run.space)
    assert run.trials == ()
    (line,) = (tmp_path / "run" / "search" / "architectures.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert told["architecture"] == expected.architecture().to_json()
    assert told["measurements"]["probability"] == min(max(row) for row in expected.of.values())
    assert told["measurements"]["macs"] == nas.costs(run.space, expected.architecture()).macs
    assert [record.name for record in run.retrained] == ["derived-seed-0"]
    assert run.best.architecture == expected.architecture()


def test_probabilities_that_have_not_settled_end_the_run_naming_the_choices(tmp_path):
    required = "  - search: {algorithm: derived, require: {probability: 0.99}}\n"
    with pytest.raises(nas.RunError, match=r"prepare has not settled.* 0\.99.*network\.scales\.0 \(0\.\d+\)"):
        search(tmp_path / "run", PREPARE, required, RETRAIN)


def test_the_probabilities_of_another_run_can_be_read_if_they_are_of_the_space(tmp_path):
    search(tmp_path / "first", PREPARE, SEARCH)
    origin = tmp_path / "first" / "prepare"
    run = search(tmp_path / "second", f"  - search: {{algorithm: derived, from: {origin}}}\n", RETRAIN)
    assert run.best.architecture == Probabilities.read(origin, run.space).architecture()
    other = {**SCALES, "name": "other", "network": {**SCALES["network"], "stem_width": 8}}
    strategy = parse_strategy(f"{HEAD}  - search: {{algorithm: derived, from: {origin}}}\n{RETRAIN}", "other.yaml")
    with pytest.raises(nas.InputError, match="are of the space scales, not of other"):
        nas.search(space_from_mapping(other, "other.yaml"), strategy, run=tmp_path / "third", device="cpu")


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((SEARCH, RETRAIN), "no phase before learns any"),
        (
            ("  - prepare: {trainer: shared_weights, budget: {epochs: 1}}\n", "  - search: {algorithm: derived}\n"),
            "the phase 'prepare' leaves no probabilities",
        ),
        ((PREPARE, "  - search: {algorithm: derived, require: {probabilty: 0.9}}\n"), "unknown condition 'probabilty'"),
        ((PREPARE, "  - search: {algorithm: derived, require: {probability: 1.5}}\n"), "at most 1"),
        (
            (PREPARE, "  - search: {algorithm: random_search, evaluator: supernet, require: {probability: 0.5}}\n"),
            "there is nothing to require",
        ),
        (
            (
                PREPARE,
                SEARCH.replace(
                    "{type: supernet, statistics: batch}",
                    "{type: standalone, budget: {epochs: 9}}, scheduler: successive_halving",
                ),
            ),
            "there is nothing to cut short",
        ),
    ],
)
def test_what_cannot_be_read_or_required_is_refused_before_anything_runs(tmp_path, phases, message):
    with pytest.raises(nas.InputError, match=message):
        search(tmp_path / "run", *phases)
    assert not (tmp_path / "run").exists()


def test_a_space_whose_choices_cannot_be_mixed_is_refused_before_anything_runs(tmp_path):
    strategy = parse_strategy(HEAD + PREPARE + SEARCH, "relaxed.yaml", overrides=["prepare.network={}"])
    with pytest.raises(nas.InputError, match="relations between choices"):
        nas.search("quickstart", strategy, run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_bound_that_the_most_probable_architecture_breaks_is_an_error_and_not_another_architecture():
    space: SearchSpace = scales()
    likely = Probabilities(space, {"network.scales.0": [0.2, 0.5, 0.3], "network.scales.1": [0.4, 0.4, 0.2]})
    objectives = parse_objectives({"accuracy": "maximize"})
    assert Derived(Domain(space), objectives, probabilities=likely).ask(0).architecture == space.architecture(
        {"network.scales.0": 2, "network.scales.1": 1}
    )
    bounded = Domain(space, lambda architecture: architecture["network.scales.0"] == 1)
    with pytest.raises(nas.InputError, match="breaks a constraint"):
        Derived(bounded, objectives, probabilities=likely).ask(0)


def test_damaged_and_foreign_probabilities_are_refused(tmp_path):
    space = scales()
    with pytest.raises(nas.RunError, match="holds no probabilities"):
        Probabilities.read(tmp_path, space)
    (tmp_path / PROBABILITIES).write_text('{"format": 1}')
    with pytest.raises(nas.RunError, match="cannot be read"):
        Probabilities.read(tmp_path, space)
    content = Probabilities(space, {"network.scales.0": [0.2, 0.5, 0.3], "network.scales.1": [1, 0, 0]}).to_json()
    (tmp_path / PROBABILITIES).write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(nas.RunError, match="the format 2"):
        Probabilities.read(tmp_path, space)
    with pytest.raises(nas.InputError, match="no probabilities of the choices"):
        Probabilities(space, {"network.scales.0": [1.0]})
