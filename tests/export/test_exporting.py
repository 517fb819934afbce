"""An exported folder computes what the trained network computes, or is not handed over at all."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nasengine.build import build
from nasengine.errors import ExportError, InputError
from nasengine.export import Preprocessing, Proof, Trained, export, exporting
from nasengine.export.proof import prove
from nasengine.records import Architecture
from nasengine.space import SearchSpace, parse_space
from nasengine.space.loading import load_space

RESIDUAL = """\
name: residual
task: {kind: image_classification, input: [1, 12, 12], classes: 3}
network:
  type: residual_network
  stem_width: 4
  widths: [4, 8]
  downsample: max_pool
  downsample_at: {subset: {of: [1, 2], size: 1}}
"""
OPEN_SLOTS = """\
name: open_slots
task: {kind: image_classification, input: [1, 8, 8], classes: 3}
network:
  type: sequential
  layers:
    - optional: {type: conv_norm_activation, width: 6, kernel: 3}
    - type: parallel
      join: concat
      branches:
        - optional: {type: conv, width: 2, kernel: 3}
        - {type: conv, width: 3, kernel: 1}
    - repeat: {choice: [1, 2]}
      of: {optional: {type: residual, body: {type: conv, kernel: 3}}}
    - {type: global_average_pool}
    - {type: linear_head}
"""
# The grammar refuses labels and names with quotes; values are free.
WORDS = ("a'\"); raise SystemExit(3); (", '"""', "{b}\\", "\n__import__('os').abort()")
WORDED = """\
name: hostile
about: ABOUT
task: {kind: image_classification, input: [1, 8, 8], classes: 2}
network:
  type: sequential
  layers:
    - {type: 'my_blocks:Scaled', width: 2, word: {choice: [WORDS]}}
    - {type: global_average_pool}
    - {type: linear_head}
"""
PLUGIN = """\
import torch
from torch import nn

GAIN = 3.0


class Scaled(nn.Module):
    def __init__(self, in_channels: int, width: int, word: str = ""):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 1)
        self.word = word

    def forward(self, x):
        return GAIN * torch.tanh(self.conv(x))
"""
CELL = """\
name: a_cell
task: {kind: image_classification, input: [1, 8, 8], classes: 3}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: 4, kernel: 3}
    - type: cell
      nodes: 3
      edges:
        all:
          choice:
            none: {type: zero}
            skip: {type: identity}
            conv: {type: relu_conv_norm, width: 4, kernel: 3}
    - {type: global_average_pool}
    - {type: linear_head}
"""

Train = Callable[..., Trained]


@pytest.fixture
def trained(tmp_path: Path) -> Train:
    """Weights that are not the initial ones, for an architecture drawn from a space."""

    def make(text: str, *, draw: int = 0, architecture: Architecture | None = None, **settings: object) -> Trained:
        space = SearchSpace(parse_space(text, "space.yaml"))
        architecture = architecture or space.sample(np.random.default_rng(draw))
        network = build(space, architecture, seed=1)
        generator = torch.Generator().manual_seed(2)
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand(tensor.shape, generator=generator)
        save_file({name: tensor.clone() for name, tensor in network.state_dict().items()}, tmp_path / "w.safetensors")
        return Trained(space, architecture, tmp_path / "w.safetensors", **settings)

    return make


def run_alone(folder: Path, code: str) -> str:
    """Run code beside model.py in an interpreter that has torch and safetensors, and no nasengine."""
    blocked = "import sys; sys.modules['nasengine'] = None; sys.path.insert(0, '.')\n"
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", blocked + code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proof is made, where a test asks for what happens around it: it takes seconds."""
    monkeypatch.setattr(exporting, "prove", lambda *_, **__: Proof(params=1, macs=1, difference=0.0))


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra `onnx` is not installed."""
    real = exporting.importlib.util.find_spec
    monkeypatch.setattr(
        exporting.importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else real(name)
    )


def check_format(file: Path) -> None:
    """See that ruff would leave a file as it is."""
    pytest.importorskip("ruff", reason="needs the extra `dev`")
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--config", "line-length=120", "--diff", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_export_is_complete_and_computes_the_trained_scores(tmp_path: Path, trained: Train) -> None:
    preprocessing = Preprocessing((0.25,), (0.5,), ("shoe", "bag's", 'sh"irt'))
    subject = trained(RESIDUAL, preprocessing=preprocessing, measurements={"test_accuracy": 0.75}, about={"run": "x"})
    exported = export(subject, tmp_path / "best")

    assert exported.files == ("architecture.json", "model.py", "weights.safetensors", "model.onnx", "README.md")
    assert sorted(path.name for path in exported.folder.iterdir()) == sorted(exported.files)
    assert json.loads((exported.folder / "architecture.json").read_text()) == subject.architecture.to_json()
    assert exported.proof.difference <= 1e-5
    assert exported.proof.onnx_difference is not None
    assert exported.proof.macs == exported.costs.macs
    assert exported.proof.params == exported.costs.params
    assert "nasengine" not in (exported.folder / "model.py").read_text()
    assert "0.75" in (exported.folder / "README.md").read_text()
    (tmp_path / "beside").touch()
    assert {path.stat().st_mode for path in exported.folder.iterdir()} == {(tmp_path / "beside").stat().st_mode}

    images = torch.randint(0, 256, (2, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    save_file({"images": images}, tmp_path / "images.safetensors")
    run_alone(
        exported.folder,
        "from model import *\nfrom model import CLASS_NAMES\nfrom safetensors.torch import save_file, load_file\n"
        "assert CLASS_NAMES == ('shoe', \"bag's\", 'sh\"irt')\n"
        "images = load_file('../images.safetensors')['images']\n"
        "save_file({'scores': load()(normalize(images)).detach()}, '../scores.safetensors')",
    )
    network = build(subject.space, subject.architecture)
    network.load_state_dict(load_file(subject.weights))
    expected = network.eval()((images.float() / 255 - 0.25) / 0.5)
    torch.testing.assert_close(load_file(tmp_path / "scores.safetensors")["scores"], expected, rtol=0, atol=1e-6)
    check_format(exported.folder / "model.py")


@pytest.mark.parametrize("draw", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3, 4))])
def test_absent_modules_leave_no_trace(tmp_path: Path, trained: Train, without_onnx: None, draw: int) -> None:
    exported = export(trained(OPEN_SLOTS, draw=draw), tmp_path / "best")
    text = (exported.folder / "model.py").read_text()
    assert "None" not in text[text.index("def build_network") : text.index("def load")]
    check_format(exported.folder / "model.py")


@pytest.mark.slow
def test_a_cell_is_exported(tmp_path: Path, trained: Train, without_onnx: None) -> None:
    assert export(trained(CELL), tmp_path / "best").proof.difference <= 1e-5


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module my_blocks can be imported, and --plugin has allowed it."""
    (tmp_path / "my_blocks.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_blocks", raising=False)
    monkeypatch.setattr("nasengine.registry._allowed", {"my_blocks"})


def worded(about: str, words: Sequence[str]) -> str:
    """A space whose choice is among these words."""
    return WORDED.replace("WORDS", ", ".join(map(json.dumps, words))).replace("ABOUT", json.dumps(about))


def test_text_of_a_space_never_becomes_code(tmp_path: Path, trained: Train, plugin: None, without_onnx: None) -> None:
    subject = trained(
        worded(WORDS[0], WORDS), preprocessing=Preprocessing((0.5,), (0.5,), WORDS[:2]), about={"run": WORDS[1]}
    )
    exported = export(subject, tmp_path / "best")
    model = runpy.run_path(str(exported.folder / "model.py"))  # the proof has run it before
    assert model["build_network"]().get_submodule("0").word in WORDS
    check_format(exported.folder / "model.py")


def test_without_the_extra_onnx_the_rest_is_exported_and_the_note_says_how_to_get_it(
    tmp_path: Path, trained: Train, without_onnx: None, believed: None
) -> None:
    exported = export(trained(RESIDUAL), tmp_path / "best")
    assert "model.onnx" not in exported.files
    assert "pip install 'nasengine[onnx]'" in exported.notes[0]
    assert "pip install" in (exported.folder / "README.md").read_text()


@pytest.mark.slow
def test_a_difference_raises_and_leaves_nothing(
    tmp_path: Path, trained: Train, without_onnx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: nn.Module, exported: nn.Module) -> dict[str, torch.Tensor]:
        return {
            name: tensor + 0.1 if tensor.is_floating_point() else tensor
            for name, tensor in exported.state_dict().items()
        }

    monkeypatch.setattr(exporting, "_renamed", broken)
    with pytest.raises(ExportError, match="differ by"):
        export(trained(RESIDUAL), tmp_path / "out" / "best")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_that_fails_leaves_the_earlier_one(
    tmp_path: Path, trained: Train, believed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(trained(RESIDUAL), tmp_path / "best")
    before = {path.name: path.read_bytes() for path in (tmp_path / "best").iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "write_readme", lambda **given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(trained(RESIDUAL), tmp_path / "best")
    assert {path.name: path.read_bytes() for path in (tmp_path / "best").iterdir()} == before
    export(trained(RESIDUAL), tmp_path / "best")
    assert {path.name for path in tmp_path.iterdir()} == {"best", "w.safetensors"}


def test_a_folder_that_is_no_earlier_export_is_not_touched(tmp_path: Path, trained: Train) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no earlier export"):
        export(trained(RESIDUAL), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        export(trained(RESIDUAL), tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made"):
        export(trained(RESIDUAL), tmp_path / "file" / "best")


def test_weights_of_another_architecture_are_refused(tmp_path: Path, trained: Train) -> None:
    subject = trained(RESIDUAL)
    other = RESIDUAL.replace("widths: [4, 8]", "widths: [8, 8]")
    space = SearchSpace(parse_space(other, "space.yaml"))
    with pytest.raises(ExportError, match="do not fit"):
        export(Trained(space, subject.architecture, subject.weights), tmp_path / "best")


def test_the_proof_sees_other_macs_and_files_that_need_nasengine(
    tmp_path: Path, trained: Train, believed: None
) -> None:
    folder = export(trained(RESIDUAL), tmp_path / "best").folder
    text = (folder / "model.py").read_text()
    space = SearchSpace(parse_space(RESIDUAL.replace("of: [1, 2], size: 1", "of: [1, 2], size: 2"), "space.yaml"))
    another = build(space, next(iter(space.enumerate())))
    with pytest.raises(ExportError, match="MACs"):
        prove(another, folder, (1, 12, 12), onnx=False)
    (folder / "model.py").write_text(text.replace("from torch import", "import nasengine\nfrom torch import"))
    with pytest.raises(ExportError, match="nasengine is not available"):
        prove(another, folder, (1, 12, 12), onnx=False)


@pytest.mark.slow
def test_a_plug_in_travels_as_source(tmp_path: Path, trained: Train, plugin: None, without_onnx: None) -> None:
    written = (export(trained(worded("words", "xy")), tmp_path / "best").folder / "model.py").read_text()
    assert "GAIN = 3.0" in written
    assert "import my_blocks" not in written


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooling_resnet20", "mobile_cnn", "inception_like"])
def test_architectures_of_the_shipped_spaces_are_exported(tmp_path: Path, name: str, without_onnx: None) -> None:
    space = load_space(name)
    for draw in range(2):
        architecture = space.sample(np.random.default_rng(draw))
        network = build(space, architecture, seed=draw)
        save_file({key: tensor.clone() for key, tensor in network.state_dict().items()}, tmp_path / "w.safetensors")
        exported = export(Trained(space, architecture, tmp_path / "w.safetensors"), tmp_path / "best")
        assert exported.proof.macs == exported.costs.macs
        check_format(exported.folder / "model.py")
