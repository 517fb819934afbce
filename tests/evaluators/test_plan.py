"""Plans: plain JSON from which any process rebuilds the same evaluator, and what is wrong with others."""

from __future__ import annotations

import json
import sys
import textwrap

import numpy as np
import pytest
import torch

from nasengine.data import DATASETS
from nasengine.errors import InputError
from nasengine.evaluators import PLUGIN_KINDS, load_materials, load_plugins, make_evaluator
from nasengine.evaluators.plan import largest_input
from nasengine.records import Job
from tests.evaluators.tiny import tiny_plan, tiny_space


def test_a_plan_crosses_a_process_boundary_as_json():
    plan = json.loads(json.dumps(tiny_plan()))
    architecture = tiny_space().sample(np.random.default_rng(0))
    results = [list(make_evaluator(p).evaluate([Job(0, architecture, {"epochs": 1}, 0)])) for p in (plan, tiny_plan())]
    assert results[0][0].measurements == results[1][0].measurements


def test_training_and_validation_images_are_disjoint_and_the_test_part_is_in_neither():
    materials = load_materials(tiny_plan())
    inputs = materials.inputs()
    images = {
        name: {image.numpy().tobytes() for image in part}
        for name, part in (
            ("training", inputs.training.images),
            ("validation", inputs.validation.images),
            ("test", materials.dataset.test_images),
        )
    }
    assert len(inputs.training) + len(inputs.validation) == 512
    assert not images["training"] & images["validation"]
    assert not (images["training"] | images["validation"]) & images["test"]


def test_an_evaluator_holds_no_test_image():
    evaluator = make_evaluator(tiny_plan())
    test = load_materials(tiny_plan()).dataset.test_images[0]

    def tensors(thing, seen):
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            yield thing
        slots = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
        for below in [*getattr(thing, "__dict__", {}).values(), *slots]:
            yield from tensors(below, seen)

    held = [tensor for tensor in tensors(evaluator, set()) if tensor.ndim == 4]
    assert sum(len(tensor) for tensor in held) == 512
    assert not any(torch.equal(image, test) for tensor in held for image in tensor)


def test_the_budget_and_the_start_beside_an_evaluator_are_not_its_arguments():
    plan = tiny_plan(evaluator={"budget": {"epochs": 3}, "start": "before"})
    assert make_evaluator(plan).metrics


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (tiny_plan(evaluator={"type": "stand_alone"}), "did you mean 'standalone'"),
        (tiny_plan(evaluator={"optimiser": "sgd"}), "did you mean 'optimizer'"),
        (tiny_plan(data={"name": "fasion"}), "did you mean 'fashion'"),
        (tiny_plan(data={"validaton": 0.1}), "did you mean 'validation'"),
        (tiny_plan(data={"validation": "some"}), "'validation'"),
        (tiny_plan(devise="cpu"), "did you mean 'device'"),
        (tiny_plan(device="gpu"), "unknown device 'gpu'"),
        (tiny_plan(device="cuda:99"), "torch finds"),
        (tiny_plan(data={"name": "fashion"}), "task.classes 10"),
        (tiny_plan(tiny_space(task={"kind": "image_clasification", "input": [1, 8, 8]})), "image_classification"),
        (tiny_plan(tiny_space(task={"kind": "image_classification", "input": [1, 8, 8], "classes": 1})), "at least 2"),
        (tiny_plan(tiny_space(task={"kind": "image_classification", "input": [1, 8, 8], "clases": 4})), "'classes'"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_why(plan, words):
    with pytest.raises(InputError) as caught:
        make_evaluator(plan)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([3, 32, 32], (3, 32, 32)),
        ([1, {"choice": [12, 16, 8]}, "same"], (1, 16, 16)),
        ([1, {"range": [4, 8, 2]}, 5], (1, 8, 5)),
    ],
)
def test_the_largest_input_is_that_of_all_resolutions(shape, expected):
    assert largest_input(tiny_space(task={"kind": "image_classification", "input": shape, "classes": 4})) == expected


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "my_plugin.py").write_text(
        textwrap.dedent(
            """
            from dataclasses import dataclass, replace

            import torch

            from nasengine.data.synthetic import load_synthetic
            from nasengine.tasks import ImageClassification
            from nasengine.training.optimizers import SGD


            def load_loud(request):
                return replace(load_synthetic(request), name="loud")


            @dataclass(frozen=True)
            class Confidence(ImageClassification):
                floor: float = 0.0

                @property
                def metrics(self):
                    return {**ImageClassification.metrics.fget(self), "confidence": "maximize"}

                def measure(self, outputs, targets):
                    chosen = outputs.softmax(1).amax(1).clamp(min=self.floor)
                    return {**ImageClassification.measure(self, outputs, targets), "confidence": chosen}


            @dataclass(frozen=True)
            class Lookahead(SGD):
                ahead: int = 5


            @dataclass(frozen=True)
            class Invert:
                def __call__(self, images, generator):
                    return 255 - images


            NASENGINE = {
                "dataset": {"loud": load_loud},
                "task": {"confidence": Confidence},
                "optimizer": {"lookahead": Lookahead},
                "augmentation": {"invert": Invert},
            }
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = {kind: dict(about.table) for kind, about in PLUGIN_KINDS.items()}
    yield "my_plugin"
    for kind, about in PLUGIN_KINDS.items():
        for name in set(about.table) - set(before[kind]):
            del about.table[name]
    sys.modules.pop("my_plugin", None)


def test_a_plug_in_adds_a_data_set_a_task_a_metric_an_optimizer_and_an_augmentation(plugin):
    space = tiny_space(task={"kind": "confidence", "input": [1, 8, 8], "classes": 4, "floor": 0.3})
    plan = tiny_plan(
        space,
        plugins=[plugin],
        data={"name": "loud", "augmentation": "invert"},
        evaluator={"optimizer": {"type": "lookahead", "ahead": 3}},
    )
    evaluator = make_evaluator(plan)
    assert evaluator.metrics["confidence"] == "maximize"
    (result,) = evaluator.evaluate([Job(0, space.sample(np.random.default_rng(0)), {"epochs": 1}, 0)])
    assert result.status == "completed", result.reason
    assert 0.3 <= result.measurements["confidence"] <= 1


def test_loading_a_plug_in_twice_is_harmless(plugin):
    load_plugins([plugin])
    load_plugins([plugin])
    assert "loud" in DATASETS


def test_a_plug_in_of_an_unknown_kind_is_refused(plugin, tmp_path):
    (tmp_path / "my_plugin.py").write_text("NASENGINE = {'dataste': {}}")
    with pytest.raises(InputError, match="did you mean 'dataset'"):
        load_plugins([plugin])


def test_every_entry_of_every_table_is_of_its_kind():
    for kind, about in PLUGIN_KINDS.items():
        assert all(about.fits(entry) for entry in about.table.values()), kind


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("{'block': {'my': 3}}", "adds the block 'my', which is 3", "a class derived from torch.nn.Module"),
        ("{'block': {'my': nn.ReLU()}}", "adds the block 'my', which is ReLU()", "a class derived from"),
        ("{'block': {'good': nn.ELU, 'my': 3}}", "adds the block 'my', which is 3", "a class derived from"),
        ("{'block': {3: nn.ReLU}}", "adds the block 3", "a class derived from"),
        ("{'algorithm': {'my': nn.ReLU}}", "adds the algorithm 'my', which is <class", "the methods ask and tell"),
        ("{'optimizer': {'my': torch.optim.SGD}}", "adds the optimizer 'my'", "settings with the method build"),
        ("{'dataset': {'my': 'a.csv'}}", "adds the dataset 'my', which is 'a.csv'", "a function DataRequest"),
    ],
)
def test_what_is_not_of_its_kind_is_refused_and_nothing_added(plugin, tmp_path, text, found, expected):
    (tmp_path / "my_plugin.py").write_text(f"import torch\nfrom torch import nn\n\nNASENGINE = {text}\n")
    with pytest.raises(InputError) as caught:
        load_plugins([plugin])
    (problem,) = caught.value.problems
    assert found in problem.message
    assert expected in problem.expected
    assert not any({"my", "good", 3} & set(about.table) for about in PLUGIN_KINDS.values())
