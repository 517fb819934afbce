"""A prepare phase of a run: what it leaves, how it is shown, gone on with and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from torch import Tensor, nn

import nasengine as nas
from nasengine.build import allow_modules
from nasengine.cli.runs import preparations
from nasengine.cli.standing import unfinished
from nasengine.errors import InputError
from nasengine.preparation import PreparationInputs
from nasengine.search.events import Note, PhaseEnded, PhaseSkipped, PreparationProgress
from nasengine.search.prepared import last_checkpoint
from nasengine.space import space_from_mapping
from nasengine.supernet.artifact import SupernetArtifact
from tests.preparation.small import POOLING, pooling_space
from tests.search.small import quick_strategy, small_space

STRATEGY = """
name: prepared
data: {name: synthetic, validation: 0.5, batch: 64}
objectives: {accuracy: maximize}
phases:
  - prepare:
      trainer: shared_weights
      sampler: {type: balanced_mixture, models: 2}
      network: {norm: {affine: false, statistics: batch}}
      budget: {epochs: {per_model: 2}}
  - retrain: {architecture: known.middle, budget: {steps: 1}, data: {validation: 0.0}}
"""


def run(folder, *overrides, space=None, text=STRATEGY, **more):
    strategy = quick_strategy(*overrides, text=text)
    return nas.search(space or pooling_space(), strategy, run=folder, device="cpu", **more)


def test_a_prepare_phase_leaves_weights_a_table_and_a_history(tmp_path):
    events = []
    run(tmp_path / "run", on_event=events.append)
    folder = tmp_path / "run" / "prepare"
    artifact = SupernetArtifact.read(folder)
    assert (artifact.models, artifact.about["epochs"], artifact.about["images"]) == (2, 4, 1024)
    supernet = artifact.supernet(pooling_space())
    middle = pooling_space().known["middle"].architecture
    table = json.loads((folder / "table.json").read_text())
    row = table["probabilities"][table["configurations"].index(middle.to_json())]
    assert artifact.model_of(middle) == row.index(max(row))
    for wrong in (3, None, {}, dict(middle), nas.Architecture({"network.width": 4})):
        with pytest.raises(InputError, match="architecture of three_pools"):
            artifact.model_of(wrong)
    for wrong in (3, None, "three_pools"):
        with pytest.raises(InputError, match="needs a search space"):
            artifact.supernet(wrong)
        with pytest.raises(InputError, match="needs a search space"):
            artifact.check(wrong)
    assert supernet.subnet(middle, model=1) is not None
    assert [json.loads(line)["epoch"] for line in (folder / "history.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.jsonl", "prepared.json", "supernet.json", "table.json", "weights.safetensors",
    ]  # fmt: skip
    assert list((tmp_path / "run" / "tensorboard" / "prepare").rglob("events*"))
    assert [event.epoch for event in events if isinstance(event, PreparationProgress)] == [1, 2, 3, 4]
    ended = next(event for event in events if isinstance(event, PhaseEnded))
    assert ended.summary.startswith("2 models, 4 epochs, training loss")


def test_a_run_stopped_while_it_prepares_goes_on_as_if_nothing_had_happened(tmp_path):
    def stop(event):
        if isinstance(event, PreparationProgress) and event.epoch == 2:
            raise KeyboardInterrupt

    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "pieces", on_event=stop)
    assert unfinished(tmp_path / "pieces") == ["prepare", "retrain"]
    standing = preparations(tmp_path / "pieces")["prepare"]
    assert (standing["done"], standing["epochs"], standing["checkpoint"]) == (False, 2, 0)
    events = []
    nas.resume(tmp_path / "pieces", on_event=events.append)
    assert events[0].resumed
    assert unfinished(tmp_path / "pieces") == []
    assert preparations(tmp_path / "pieces")["prepare"]["done"]
    for name in ("weights.safetensors", "table.json"):
        whole, pieces = (tmp_path / which / "prepare" / name for which in ("whole", "pieces"))
        assert whole.read_bytes() == pieces.read_bytes(), name
    again = []
    nas.resume(tmp_path / "pieces", on_event=again.append)
    assert PhaseSkipped("prepare", "finished before") in again


def test_what_a_resumed_preparation_took_is_all_that_it_took(tmp_path, monkeypatch):
    def stop(event):
        if isinstance(event, PreparationProgress) and event.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        "nasengine.search.preparing.PreparationInputs", partial(PreparationInputs, checkpoint_every_s=0)
    )
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_event=stop)
    history = tmp_path / "prepare" / "history.jsonl"
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    history.write_text("".join(json.dumps({**line, "seconds": 1000.0}) + "\n" for line in lines))
    kept = last_checkpoint(tmp_path / "prepare")
    assert kept >= 1
    nas.resume(tmp_path)
    seconds = json.loads((tmp_path / "prepare" / "prepared.json").read_text())["seconds"]
    assert 1000.0 * kept < seconds < 1000.0 * kept + 500


def test_a_run_notes_that_there_are_more_models_than_architectures(tmp_path):
    def notes(folder, models):
        events = []
        short = ("prepare.budget={steps: 1}", f"prepare.sampler.models={models}")
        run(tmp_path / folder, *short, on_event=events.append)
        return [event.message for event in events if isinstance(event, Note) and "models" in event.message]

    (note,) = notes("five", 5)
    assert note == (
        "balanced_mixture trains 5 models for 3 architectures, each scored by one: at least 2 models will score none"
    )
    assert notes("three", 3) == []


@pytest.mark.parametrize("folder", [3, None, ["run"]])
def test_what_is_no_path_holds_no_shared_weights(folder):
    with pytest.raises(InputError, match="a folder of shared weights is wanted, got "):
        SupernetArtifact.read(folder)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("prepare.budget={hours: 1}", "unknown unit 'seconds'"),
        ("prepare.sampler={type: balanced_mixture, models: 0}", "balanced_mixture with 0 models"),
        ("prepare.sampler={type: balanced_mixture, modells: 2}", "unknown"),
        ("prepare.optimizer={type: sgd, rate: -1}", "rate of optimizer 'sgd' is -1"),
        ("prepare.from=run/prepare", "reads no artifact"),
        ("prepare.sampler={type: multi_architecture, architectures: 65}", "65 architectures in one pass need as many"),
        (
            "prepare.several=masks",
            "several is masks, but 'balanced_mixture' has one architecture in a pass",
        ),
        ("prepare.network={norms: 1}", "norms"),
    ],
)
def test_what_cannot_be_prepared_is_refused_before_anything_runs(tmp_path, override, expected):
    with pytest.raises(InputError, match=expected):
        run(tmp_path / "run", override)
    assert not (tmp_path / "run" / "prepare").exists()


def test_what_is_wrong_with_overrides_is_said_once_beside_what_is_wrong_with_the_sampler(tmp_path):
    overrides = ("prepare.network={nrm: {affine: false}}", "prepare.sampler={type: balanced_mixture, models: 0}")
    with pytest.raises(InputError) as caught:
        run(tmp_path / "run", *overrides)
    first, second = caught.value.problems
    assert "unknown argument 'nrm' of residual_network" in first.message
    assert "did you mean 'norm'?" in first.expected
    assert "balanced_mixture with 0 models" in second.message


def test_an_override_that_a_constructor_refuses_is_named_at_its_place(tmp_path):
    text = STRATEGY.replace("statistics: batch", "statistic: batch")
    with pytest.raises(InputError) as caught:
        run(tmp_path / "run", text=text)
    (problem,) = caught.value.problems
    assert "unexpected keyword argument 'statistic'" in problem.message
    assert problem.mark is not None
    assert (problem.mark.file, problem.mark.line, problem.mark.column) == ("quick.yaml", 9, 23)


class Mixed(nn.Module):
    """A softmax over channels, so that none of them is the same at another width."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).softmax(1)


def test_layers_that_cannot_share_are_refused_before_a_run_begins(tmp_path):
    allow_modules([__name__])
    mixed = {"type": f"{__name__}:Mixed", "width": {"choice": [4, 8]}}
    layers = [mixed, {"type": "global_average_pool"}, {"type": "linear_head"}]
    task = {"kind": "image_classification", "input": [3, 16, 16], "classes": 10}
    network = {"type": "sequential", "layers": layers}
    space = space_from_mapping({"name": "mixed", "task": task, "network": network})
    retrained = "retrain.architecture={network.layers.0.width: 4}"
    overrides = [retrained, "prepare.network={}", "prepare.sampler=single_path"]
    with pytest.raises(InputError, match=r"quick.yaml:7:7: network.layers.2.classifier \(Linear\) takes 4 channels"):
        run(tmp_path / "run", *overrides, space=space)
    assert not (tmp_path / "run").exists()


def test_a_mixture_is_refused_for_a_space_that_cannot_be_listed(tmp_path):
    network = {**POOLING["network"], "stem_width": {"range": [1, 4000, 1]}}
    space = space_from_mapping({**POOLING, "network": network, "known": {}}, "many.yaml")
    with pytest.raises(InputError, match="more than 10,000 architectures"):
        run(tmp_path / "run", "retrain.architecture={network.downsample_at: [2], network.stem_width: 4}", space=space)


SMALL = STRATEGY.replace("known.middle", "known.narrow").replace(
    "      network: {norm: {affine: false, statistics: batch}}\n", ""
)


def test_any_space_can_be_prepared_by_single_paths(tmp_path):
    run(tmp_path / "run", "prepare.sampler=single_path", "prepare.budget={steps: 3}", space=small_space(), text=SMALL)
    artifact = SupernetArtifact.read(tmp_path / "run" / "prepare")
    assert artifact.table is None
    assert artifact.about["images"] == 192
    with pytest.raises(InputError, match=r"of the space small .* not of three_pools"):
        artifact.check(pooling_space())


def test_a_run_says_that_it_proves_masks_before_it_is_silent_for_long(tmp_path, monkeypatch):
    monkeypatch.setenv("NASENGINE_CACHE", str(tmp_path / "cache"))
    several = ("prepare.sampler={type: multi_architecture, architectures: 2}", "prepare.several=masks")
    events = []
    run(
        tmp_path / "run", *several, "prepare.budget={steps: 2}", space=small_space(), text=SMALL, on_event=events.append
    )
    said = Note(f"proving masks of small (once; kept in {tmp_path / 'cache' / 'masks'})")
    assert events.index(said) < events.index(next(event for event in events if isinstance(event, PreparationProgress)))


def test_only_what_keeps_the_constraints_is_trained(tmp_path):
    space = pooling_space()
    macs = {one: nas.costs(space, one).macs for one in space.enumerate()}
    bound = sorted(macs.values())[1]
    run(tmp_path / "run", f"objectives.macs={{max: {bound}}}", "prepare.budget={steps: 2}", space=space)
    table = json.loads((tmp_path / "run" / "prepare" / "table.json").read_text())
    assert table["configurations"] == [one.to_json() for one, amount in macs.items() if amount <= bound]
    assert len(table["configurations"]) == 2


SPACE_FILE = """
name: three_pools
task: {kind: image_classification, input: [1, 8, 8], classes: 4}
network:
  type: residual_network
  stem_width: 4
  widths: [4, 4, 8]
  downsample: max_pool
  downsample_at: {subset: {of: [1, 2, 3], size: 1}}
known: {middle: {architecture: {network.downsample_at: [2]}}}
"""


@pytest.mark.thorough
def test_a_run_killed_again_and_again_while_it_prepares_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE_FILE)
    # A step so that epochs take some tenths of a second, and checkpoints at every epoch by the clock of the test.
    (tmp_path / "strategy.yaml").write_text(STRATEGY.replace("per_model: 2", "per_model: 15"))
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\n"
        "from nasengine.preparation import PreparationInputs\n"
        "import nasengine.search.preparing as preparing\n"
        "class Often(PreparationInputs):\n"
        "    def __init__(self, **given):\n"
        "        super().__init__(**{**given, 'checkpoint_every_s': 0.0})\n"
        "preparing.PreparationInputs = Often\n"
        "import nasengine as nas\n"
        "from pathlib import Path\n"
        "folder = Path(sys.argv[1])\n"
        "if (folder / 'run.yaml').exists():\n"
        "    nas.resume(folder)\n"
        "else:\n"
        "    nas.search('space.yaml', 'strategy.yaml', run=folder, device='cpu')\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

    def begin(folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(driver), folder], cwd=tmp_path, env=environment)

    assert begin("whole").wait() == 0
    kills = 0
    for wanted in (3, 11, 22):
        process = begin("pieces")
        history = tmp_path / "pieces" / "prepare" / "history.jsonl"
        while process.poll() is None:
            if history.is_file() and len(history.read_text().splitlines()) >= wanted:
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.002)
    assert kills >= 2
    assert begin("pieces").wait() == 0
    for name in ("weights.safetensors", "table.json"):
        whole, pieces = (tmp_path / which / "prepare" / name for which in ("whole", "pieces"))
        assert whole.read_bytes() == pieces.read_bytes(), name
