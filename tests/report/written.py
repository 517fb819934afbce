"""Run folders written without running anything, so that a report can be made of whatever a run may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nasengine.objectives import best_first
from nasengine.records import Architecture, Candidate, Result, Trial
from nasengine.runs import Asked, Finished, Header, Told
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.run_file import Environment, RunSettings, write_run_file
from nasengine.search.run_view import Run
from nasengine.search.searching import RANKING, write_ranking
from nasengine.space import SearchSpace, space_from_mapping

LAYER = {"type": "conv_norm_activation", "width": {"choice": [4, 8, 16, 32]}, "kernel": {"choice": [1, 3, 5]}}
STRATEGY = """
name: written
data: {name: synthetic, validation: 0.25, batch: 32}
objectives: {objectives}
lag: 2
phases:
{phases}
"""
SEARCH = (
    "  - search: {{name: {name}, algorithm: random_search, budget: {{trials: {trials}}},"
    " evaluator: {{type: standalone, optimizer: {{type: sgd, rate: 0.1}}, budget: {{epochs: 1}}}}}}"
)

Outcome = tuple[str, dict[str, float], str, dict[str, Any]]  # status, measurements, reason, details
Measure = Callable[[int, Architecture], Outcome]


def space_of(layers: int = 2, name: str = "written", **changes: Any) -> SearchSpace:
    """A chain of convolutions, two choices each."""
    ends = [{"type": "global_average_pool"}, {"type": "linear_head"}]
    task = {"kind": "image_classification", "input": [1, 8, 8], "classes": 4}
    network = {"type": "sequential", "layers": [LAYER] * layers + ends}
    return space_from_mapping({"name": name, "task": task, "network": network, **changes}, "written.yaml")


def separable(number: int, architecture: Architecture) -> Outcome:
    """Accuracy from widths and kernels, MACs from widths: completed, whatever the architecture."""
    widths = [value for path, value in architecture.items() if path.endswith("width")]
    kernels = [value for path, value in architecture.items() if path.endswith("kernel")]
    accuracy = 0.5 + 0.08 * np.log2(widths[0]) / 5 + 0.02 * sum(kernels) / (5 * len(kernels))
    accuracy += 0.002 * np.random.default_rng([1, number]).standard_normal()
    macs = float(sum(width * kernel**2 for width, kernel in zip(widths, kernels, strict=True)) * 1000)
    curve = [{"epoch": epoch, "loss": 2.0 / epoch, "rate": 0.1} for epoch in range(1, 4)]
    return "completed", {"accuracy": float(accuracy), "macs": macs, "params": macs / 10}, "", {"curve": curve}


def write_run(
    folder: Path,
    trials: int,
    measure: Measure = separable,
    *,
    space: SearchSpace | None = None,
    objectives: str = "{accuracy: maximize}",
    phases: Iterable[str] = ("search",),
    running: int = 0,
    finished: bool = True,
) -> Run:
    """A run of random architectures.

    Args:
        trials: that ended, in each phase.
        measure: what came of each.
        running: trials asked beyond these.
        finished: whether the phases are done.
    """
    space, phases = space or space_of(), tuple(phases)
    written = "\n".join(SEARCH.format(name=name, trials=max(1, trials + running)) for name in phases)
    text = STRATEGY.replace("{objectives}", objectives).replace("{phases}", written)
    strategy = parse_strategy(text, "written.yaml")
    command = f"nasengine search {space.name} written.yaml --seed 3"
    environment = Environment(command, "2026-01-02T03:04:05+00:00", "0123abc+changes", {"nasengine": "0.1.0"})
    settings = RunSettings(space, strategy, "synthetic", seed=3, environment=environment)
    folder.mkdir(parents=True, exist_ok=True)
    write_run_file(folder, settings)
    lines = [Header.of(space, strategy.objectives, seed=3, lag=2).line()]
    for at, phase in enumerate(phases):
        rng = np.random.default_rng([at])
        drawn = space.decode_many(space.sample_encoded(rng, trials + running))
        ended = []
        for number, architecture in enumerate(drawn):
            candidate = Candidate(architecture)
            lines.append(Asked(phase, number, candidate, {"epochs": 1}).line())
            if number >= trials:
                continue
            status, measurements, reason, details = measure(number, architecture)
            result = Result(number, status, measurements, reason, 0.5, details)
            lines.append(Finished(phase, result, 0.5 * (number + 1)).line())
            ended.append(Trial(number, candidate, status, measurements, reason))
            lines.append(Told(phase, ended[-1]).line())
        if finished:
            write_ranking(folder / phase / RANKING, best_first(ended, strategy.objectives))
    (folder / "journal.jsonl").write_text("".join(lines), encoding="utf-8")
    return Run(folder)
