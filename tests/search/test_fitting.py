"""Impossible pairs of space and strategy are refused before anything runs, each with the reason and its place."""

import pytest

import nasengine as nas
from nasengine.errors import InputError
from nasengine.search.new_run import new_run_settings
from nasengine.space import load_space, space_from_mapping
from tests.search.small import SPACE, STRATEGY, quick_strategy, small_space


def reasons(*overrides: str, text: str = STRATEGY, space=None) -> list[str]:
    with pytest.raises(InputError) as caught:
        new_run_settings(space or small_space(), quick_strategy(*overrides, text=text), device="cpu")
    return [str(problem) for problem in caught.value.problems]


def test_a_pair_that_fits_is_accepted():
    settings = new_run_settings(small_space(), quick_strategy(), device="cpu")
    assert settings.pixels["class_names"] == ["pattern 0", "pattern 1", "pattern 2", "pattern 3"]
    assert settings.pixels["shape"] == [1, 8, 8]


def test_an_objective_must_be_measured_or_be_a_cost():
    (reason,) = reasons(text=STRATEGY.replace("accuracy: maximize", "acuracy: maximize"))
    assert reason.startswith("quick.yaml:4:14: the objective 'acuracy' is neither a cost nor measured by the evaluator")
    assert "did you mean 'accuracy'?" in reason


def test_an_objective_must_point_its_way():
    (reason,) = reasons("objectives.macs=maximize")
    assert reason.endswith("expected macs: minimize")


def test_a_bound_must_be_on_something_counted_or_measured():
    (reason,) = reasons("objectives.latency_ms={max: 3}")
    assert "the constraint on 'latency_ms' is on nothing that is counted or measured" in reason


def test_bounds_that_no_architecture_keeps_are_refused_with_what_the_space_can_do():
    (reason,) = reasons(text=STRATEGY.replace("{accuracy: maximize}", "{accuracy: maximize, macs: {max: 10}}"))
    assert reason.startswith("quick.yaml:4:34: no architecture of small has macs up to 10")
    assert "2,576" in reason


def test_an_endless_search_of_a_large_space_needs_a_budget():
    layers = [{"type": "conv_norm_activation", "width": {"choice": list(range(4, 68))}, "kernel": 1} for _ in range(4)]
    network = {"type": "sequential", "layers": [*layers, {"type": "global_average_pool"}, {"type": "linear_head"}]}
    space = space_from_mapping({"name": "large", "task": SPACE["task"], "network": network})
    (reason,) = reasons(text=STRATEGY.replace("budget: {trials: 4}", ""), space=space)
    assert "has no budget, and large has 1.68e+07 architectures" in reason


def test_a_network_argument_that_does_not_exist_is_named_at_its_place():
    (reason,) = reasons("search.network={layrs: 3}")
    assert "--set search.network={layrs: 3}" in reason
    assert "did you mean 'layers'?" in reason


def test_values_that_only_a_constructor_can_judge_are_refused():
    found = reasons("search.optimizer.momentum=1.5", "search.algorithm={type: regularized_evolution, population: 1}")
    assert any("tournament" in reason for reason in found)
    assert any("momentum" in reason for reason in found)
    (reason,) = reasons("retrain.optimizer={type: sgd, momentum: 1.5}")
    assert "momentum of optimizer 'sgd' is 1.5" in reason


def test_a_search_needs_images_held_out():
    (reason,) = reasons(text=STRATEGY.replace("validation: 0.25", "validation: 0"))
    assert reason.startswith("quick.yaml:3:37: the phase 'search' holds no images out")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("retrain.architecture=known.nrrow", "small knows no architecture 'nrrow'\n"),
        ("retrain.architecture={network.layers.0.width: 5}", "network.layers.0.width has no option 5"),
        ("retrain.quantization=fake", "no quantization rules"),
        ("retrain.when=not_converged", "asks how a prepare phase ended"),
        ("retrain.from=other/run", "there is no folder 'other/run'"),
        ("retrain.start=other/run", "there is no folder 'other/run'"),
        ("retrain.from=[search, search]", "takes its architectures from one place, not from 2"),
        ("search.require={probability: 0.9}", "there is nothing to require"),
        ("search.from=other/run", "reads no artifact, so `from` would change nothing"),
        ("search.evaluator.start=other/run", "there is no folder 'other/run'"),
    ],
)
def test_what_this_version_cannot_do_is_refused(override, message):
    text = STRATEGY.replace("best: 2, ", "") if "architecture" in override else STRATEGY
    found = reasons(override, text=text)
    assert any(message in reason for reason in found), found
    assert all(reason.startswith(f"--set {override}: ") for reason in found)


def test_an_architecture_that_is_named_comes_from_nowhere_else():
    text = STRATEGY.replace("best: 2", "architecture: known.narrow, from: search")
    (reason,) = reasons(text=text)
    assert "names its architecture, so `from` would change nothing" in reason


def test_all_reasons_come_together():
    text = STRATEGY.replace("accuracy: maximize", "speed: maximize").replace("seeds: 2", "quantization: fake")
    assert len(reasons(text=text)) == 2


def test_a_space_of_proxies_and_a_quantized_space_are_refused_with_the_reason(repository):
    examples = repository / "tests" / "space" / "examples"
    if not examples.is_dir():
        examples = next(path.parent for path in repository.glob("tests/**/emq_proxy.yaml"))
    (proxy,) = reasons(space=load_space(examples / "emq_proxy.yaml"))
    assert "describes a proxy, not a network" in proxy
    (quantized,) = reasons(space=load_space(examples / "fliqs_joint_mobilenet_v2.yaml"))
    assert "asks for quantization, which this version cannot build" in quantized


def test_a_space_whose_networks_cannot_be_built_is_refused():
    network = {"type": "sequential", "layers": [{"type": "linear_hed"}]}
    (reason,) = reasons(space=small_space(network=network, known={}))
    assert "did you mean 'linear_head'" in reason


def test_data_must_have_the_channels_and_classes_of_the_task():
    task = {"kind": "image_classification", "input": [3, 28, 28], "classes": 7}
    found = reasons("data.name=fashion", space=small_space(task=task))
    assert ["channels" in reason or "classes" in reason for reason in found] == [True, True]


def test_python_finds_in_a_space_what_the_command_finds():
    space = small_space(constraints={"macz": {"max": 10}}, task={**SPACE["task"], "smoothing": 0.1})
    found = {problem.message for problem in nas.check_space(space)}
    assert found == {
        "unknown argument 'smoothing' of image_classification in task",
        "unknown cost 'macz' in constraints",
    }
    assert nas.check_space(small_space()) == []
