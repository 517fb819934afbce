"""Values that a constructor refuses are shown where they are written, by `check` and before a run alike."""

from __future__ import annotations

import pytest

from nasengine.errors import InputError
from nasengine.search.fitting import check_fit
from nasengine.search.language.strategy import check_strategy, load_strategy
from nasengine.search.language.values import check_values
from nasengine.search.run_file import RunSettings
from tests.preparation.small import pooling_space

STRATEGY = """\
name: prepared
data: {name: synthetic, validation: 0.5, batch: 64}
objectives: {accuracy: maximize}
phases:
  - prepare:
      trainer: shared_weights
      sampler:
        type: balanced_mixture
        models: 2
        temperature: [1, 100]
        momentum: 0.9
      optimizer:
        type: sgd
        momentum: 0.8
      label_smoothing: 0.0
      budget: {epochs: {per_model: 2}}
  - search:
      algorithm: random_search
      evaluator:
        type: supernet
        images: 64
      budget: {trials: 3}
"""
WRONG = [
    ("models: 2", "models: 0", "9:17: balanced_mixture with 0 models"),
    ("[1, 100]", "[1]", "10:22: balanced_mixture with the temperature [1]"),
    ("momentum: 0.9", "momentum: 1.5", "11:19: balanced_mixture with the momentum 1.5"),
    ("momentum: 0.8", "momentum: 1.5", "14:19: momentum of optimizer 'sgd' is 1.5"),
    ("smoothing: 0.0", "smoothing: 3", "15:24: label_smoothing is 3"),
    ("images: 64", "images: 0", "21:17: images is 0"),
]


@pytest.mark.parametrize(("right", "wrong", "expected"), WRONG)
def test_a_wrong_value_of_a_prepare_phase_is_found_by_check_where_it_is_written(tmp_path, right, wrong, expected):
    path = tmp_path / "wrong.yaml"
    path.write_text(STRATEGY.replace(right, wrong))
    (problem,) = check_strategy(path)
    assert str(problem).startswith(f"{path}:{expected}\n")


MIXTURE = STRATEGY[STRATEGY.index("        type: balanced") : STRATEGY.index("      optimizer")]
SEVERAL = [
    ("multi_architecture\n        architectures: 65", "9:24: 65 architectures in one pass need as many images"),
    (
        "multi_architecture\n        architectures: 3\n      several: masks",
        "10:16: several is masks, but a batch of 64",
    ),
    ("fair\n      several: masks", "9:16: several is masks, but 'fair' has one architecture in a pass"),
]


@pytest.mark.parametrize(("sampler", "expected"), SEVERAL)
def test_passes_that_a_batch_cannot_hold_or_masks_cannot_run_are_found_by_check(tmp_path, sampler, expected):
    path = tmp_path / "several.yaml"
    path.write_text(STRATEGY.replace(MIXTURE, f"        type: {sampler}\n"))
    (problem,) = check_strategy(path)
    assert str(problem).startswith(f"{path}:{expected}")


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("{algorithm: random_search, evaluator: supernet, budget: {trials: 3}}", "scores with shared weights, but no"),
        ("{algorithm: derived}", "reads probabilities, but no phase before learns any"),
    ],
)
def test_a_search_that_lacks_the_phase_before_it_is_found_by_check(tmp_path, search, expected):
    path = tmp_path / "alone.yaml"
    path.write_text(f"{STRATEGY[: STRATEGY.index('  - prepare')]}  - search: {search}\n")
    (problem,) = check_strategy(path)
    assert problem.mark is not None
    assert problem.mark.line == 5
    assert expected in problem.message


def test_an_optimizer_of_choices_without_a_type_is_found_by_check_where_it_is_written(tmp_path):
    path = tmp_path / "relaxed.yaml"
    text = STRATEGY.replace("trainer: shared_weights", "trainer: relaxed\n      choice_optimizer: {typ: adam, rate: 1}")
    path.write_text(text[: text.index("      sampler")] + text[text.index("      optimizer") :])
    (problem,) = check_strategy(path)
    assert str(problem).startswith(f"{path}:7:25: choice_optimizer has no type\n")
    assert problem.expected == "expected `type:` with one of adam, adamw, sgd; did you mean 'type'?"


@pytest.mark.parametrize("override", ["prepare.sampler.models=0", "search.images=0", "prepare.optimizer.momentum=2"])
def test_a_wrong_value_that_an_override_brought_in_is_said_once_and_of_the_override(tmp_path, override):
    path = tmp_path / "right.yaml"
    path.write_text(STRATEGY)
    with pytest.raises(InputError) as caught:
        check_fit(RunSettings(pooling_space(), load_strategy(path, overrides=[override]), data="synthetic"))
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f"--set {override}: ")


def test_of_values_that_do_not_go_together_the_one_brought_in_is_named(tmp_path):
    path = tmp_path / "evolution.yaml"
    algorithm = "algorithm: {type: regularized_evolution, population: 20, tournament: 5}"
    path.write_text(STRATEGY.replace("algorithm: random_search", algorithm))
    strategy = load_strategy(path, overrides=["search.population=3"])
    (problem,) = check_values(strategy)
    assert str(problem).startswith(
        "--set search.population=3: regularized_evolution with tournament 5 and population 3"
    )
    path.write_text(path.read_text().replace("population: 20", "population: 3"))
    (problem,) = check_strategy(path)
    assert str(problem).startswith(f"{path}:18:18: regularized_evolution with tournament 5 and population 3")
