"""Shipped strategies of shared weights from end to end on a CPU, shortened: prepare, search, retrain, export."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import nasengine as nas
from nasengine.search.events import PhaseEnded
from nasengine.supernet.artifact import SupernetArtifact

SHORT = ("data.limit=192", "data.batch=16", "retrain.budget={steps: 2}", "retrain.seeds=1")

pytestmark = pytest.mark.thorough


def searched(folder, space, strategy, *settings, **keywords):
    ended = []
    run = nas.search(
        space,
        strategy,
        run=folder,
        device="cpu",
        set=[*SHORT, *settings],
        on_event=lambda event: ended.append(event.phase) if isinstance(event, PhaseEnded) else None,
        **keywords,
    )
    assert ended == ["prepare", "search", "retrain"]
    return run


def used_as_exported(run, folder):
    """What the exported files give in an interpreter of their own equals what the run's network gives."""
    exported = nas.export(run, folder)
    assert (exported.folder / "weights.safetensors").is_file()
    code = "import torch; from model import load; torch.manual_seed(0); print(load()(torch.randn(*{})).sum().item())"
    shape = (2, *run.space.fill(run.best.architecture).input_shape)
    done = subprocess.run(
        [sys.executable, "-c", code.format(shape)], cwd=exported.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def command(*words):
    done = subprocess.run([sys.executable, "-m", "nasengine", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_balanced_mixture_finds_where_a_resnet_20_pools(tmp_path):
    settings = ("prepare.sampler.models=2", "prepare.budget={steps: 12}")
    run = searched(tmp_path / "run", "pooling_resnet20", "balanced_mixture", *settings, data="synthetic")
    assert len({trial.architecture for trial in run.trials}) == 36
    assert all(trial.completed for trial in run.trials)
    artifact = SupernetArtifact.read(run.folder / "prepare")
    models = {artifact.model_of(trial.architecture) for trial in run.trials}
    assert models == {0, 1}  # balanced: neither has them all
    assert torch.isfinite(torch.tensor(used_as_exported(run, tmp_path / "best")))
    shown = command("status", str(run.folder))
    assert "prepare" in shown
    assert "36 trials asked (36 completed)" in shown
    command("report", str(run.folder))
    assert "supernet of prepare (statistics batch)" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_single_paths_and_evolution_find_a_network_for_the_images_that_ship(tmp_path):
    evolution = "search.algorithm={type: regularized_evolution, population: 4, tournament: 2}"
    settings = ("prepare.budget={steps: 12}", evolution, "search.budget.trials=10", "retrain.start=prepare")
    more = ("search.evaluator.images=64",)
    run = searched(tmp_path / "run", "quickstart", "single_path", *settings, *more)
    assert [trial.status for trial in run.trials] == ["completed"] * 10
    assert all(trial.measurements["macs"] <= 4_000_000 for trial in run.trials)
    used_as_exported(run, tmp_path / "best")
