"""`start:`: a network that starts from a supernet is, before any training, the subnet that the supernet runs.

Over every kind of norm, mixtures, and both places where a training can start: a trial of a search, a retraining.
"""

from __future__ import annotations

import copy

import pytest
import torch

from nasengine.build import build
from nasengine.evaluators import make_evaluator, retraining, standalone
from nasengine.evaluators.retraining import retrain
from nasengine.records import Job
from nasengine.space import load_space
from nasengine.supernet.artifact import SupernetArtifact
from tests.evaluators.prepared import write_supernet
from tests.evaluators.tiny import TINY, tiny_plan, tiny_space

NORMS = {
    "running": {},
    "by_batch": {"affine": False, "statistics": "batch"},
    "group": {"kind": "group", "groups": 2},
    "layer": {"kind": "layer"},
}


def space_with(norm):
    layers = [{**layer, "norm": NORMS[norm]} if "width" in layer else layer for layer in TINY["network"]["layers"]]
    return tiny_space(network={**TINY["network"], "layers": layers})


def images(space, architecture):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, *space.fill(architecture).input_shape, generator=generator)


@pytest.fixture
def started(monkeypatch):
    """The networks that were handed to training, as they were then."""
    found = []
    honest = standalone.train_member

    def watched(member, *arguments, **keywords):
        found.append(copy.deepcopy(member.network))
        return honest(member, *arguments, **keywords)

    monkeypatch.setattr(standalone, "train_member", watched)
    monkeypatch.setattr(retraining, "train_member", watched)
    return found


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("models", [1, 2])
def test_a_trial_started_from_the_supernet_computes_its_scores_before_training(tmp_path, started, norm, models):
    space = space_with(norm)
    architectures = list(space.enumerate())
    table = {
        "configurations": [architecture.to_json() for architecture in architectures],
        "probabilities": [[float(m == i % models) for m in range(models)] for i in range(len(architectures))],
    }
    folder = write_supernet(tmp_path, space, models=models, table=table)
    supernet = SupernetArtifact.read(folder).supernet(space)
    evaluator = make_evaluator({**tiny_plan(space), "artifact": str(folder)})
    jobs = [Job(trial, a, {"steps": 1}, seed=trial) for trial, a in enumerate(architectures)]
    assert {result.status for result in evaluator.evaluate(jobs)} == {"completed"}
    for training in (False, True):  # in this order: training changes the supernet's running averages
        supernet.train(training)
        for index, (network, architecture) in enumerate(zip(started, architectures, strict=True)):
            pixels = images(space, architecture)
            with torch.no_grad():
                expected = supernet(pixels, architecture, model=index % models)
                assert torch.equal(network.train(training)(pixels), expected), (architecture, training)


def test_a_retraining_started_from_the_supernet_computes_its_scores_before_training(tmp_path, started):
    space = space_with("running")
    folder = write_supernet(tmp_path / "prepare", space)
    supernet = SupernetArtifact.read(folder).supernet(space)
    for number, architecture in enumerate(list(space.enumerate())[:2]):
        retrain(
            tiny_plan(space), architecture, budget={"steps": 1}, seed=5, folder=tmp_path / str(number), start=folder
        )
        pixels = images(space, architecture)
        with torch.no_grad():
            expected = supernet.eval()(pixels, architecture)
            assert torch.equal(started[-1].eval()(pixels), expected)


def test_the_shared_weights_are_read_once_for_all_trainings_of_a_worker(tmp_path, monkeypatch):
    read = []
    honest = SupernetArtifact.supernet
    monkeypatch.setattr(SupernetArtifact, "supernet", lambda self, *a: (read.append(self.folder), honest(self, *a))[1])
    folder = write_supernet(tmp_path / "prepare")
    retrainer = retraining.Retrainer(tiny_plan())
    first, second, *_ = tiny_space().enumerate()
    for number, architecture in enumerate((first, second, first)):
        wanted = retraining.Retraining(architecture, {"steps": 1}, number, tmp_path / str(number), folder)
        retrainer.alone(wanted)
    assert read == [folder]
    evaluator = make_evaluator({**tiny_plan(), "artifact": str(folder)})
    assert len(list(evaluator.evaluate([Job(trial, first, {"steps": 1}) for trial in range(3)]))) == 3
    assert read == [folder, folder]


def test_what_the_supernet_holds_nothing_of_begins_fresh_from_the_seed(tmp_path, started):
    space = load_space("pooling_resnet20")
    folder = write_supernet(tmp_path, space, network={"norm": NORMS["by_batch"]})
    architecture = space.known["default"].architecture
    plan = {**tiny_plan(space), "data": {"name": "synthetic", "limit": 64, "validation": 0.5, "batch": 16}}
    (result,) = make_evaluator({**plan, "artifact": str(folder)}).evaluate([Job(0, architecture, {"steps": 1})])
    assert result.status == "completed", result.reason
    (network,) = started
    held = SupernetArtifact.read(folder).supernet(space).subnet(architecture).state_dict()
    fresh = build(space, architecture, seed=0).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, held.get(name, fresh[name])), name
    assert network.state_dict().keys() - held.keys() == {name for name in fresh if ".norm." in name}


def test_a_trial_gone_on_with_equals_one_trained_from_its_start_without_a_break(tmp_path):
    folder = write_supernet(tmp_path / "run" / "prepare")
    plan = {**tiny_plan(), "artifact": str(folder)}
    architecture = next(iter(tiny_space().enumerate()))
    part = Job(0, architecture, {"epochs": 1, "of_epochs": 2}, seed=4)
    whole = Job(1, architecture, {"epochs": 2, "of_epochs": 2}, seed=4, resumes=0)
    evaluator = make_evaluator({**plan, "checkpoints": str(tmp_path / "run" / "search" / "checkpoints")})
    first, gone_on = evaluator.evaluate([part, whole])
    (at_once,) = make_evaluator(plan).evaluate([whole])
    assert gone_on.measurements == at_once.measurements != first.measurements
    (fresh,) = make_evaluator(tiny_plan()).evaluate([whole])
    assert fresh.measurements != at_once.measurements


def test_a_network_that_the_supernet_holds_nothing_of_fails_its_trial(tmp_path, monkeypatch):
    folder = write_supernet(tmp_path)
    evaluator = make_evaluator({**tiny_plan(), "artifact": str(folder)})
    monkeypatch.setattr(standalone, "build", lambda *a, **k: torch.nn.Linear(2, 2))
    (result,) = evaluator.evaluate([Job(0, next(iter(tiny_space().enumerate())), {"steps": 1})])
    assert result.status == "failed"
    assert "holds no weight of this network" in result.reason
