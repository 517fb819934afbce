"""How long a step of the mixture takes once all of its graphs are there (`mixture.py --steps`)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from nasengine.preparation import SharedWeightsTraining


def measure_speed(trainings: Mapping[str, SharedWeightsTraining], steps: int, device: torch.device) -> None:
    """Print the milliseconds of a step: every search, by its name, makes its steps in turn."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    met, seen = 0, dict[str, tuple[int, int]]()
    while met < 12 * steps:  # until nearly everything that is drawn is replayed
        for training in trainings.values():
            training.step()
        met += 1
        share = _replays(trainings, seen)
        if share is None or (met >= steps and share > 0.98):
            break
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        for training in trainings.values():
            training.step()
    wait()
    each_ms = 1000 * (time.perf_counter() - began) / steps
    names = ", ".join(trainings)
    print(f"{names}: {each_ms:.3f} ms a round, {each_ms / len(trainings):.3f} ms a step", flush=True)


def _replays(trainings: Mapping[str, SharedWeightsTraining], seen: dict[str, tuple[int, int]]) -> float | None:
    """Share of the last drawn work that was replayed, roughly; None where nothing ever is."""
    shares = []
    for name, training in trainings.items():
        graphs = training.graphs
        if graphs is None:
            return None
        total, eager = graphs.replayed + graphs.eager + graphs.captured, graphs.eager
        total_before, eager_before = seen.get(name, (0, 0))
        seen[name] = total, eager
        shares.append(1 - (eager - eager_before) / max(1, total - total_before))
    return min(shares)
