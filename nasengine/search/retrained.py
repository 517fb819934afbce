"""What the trainings of a retrain phase came to: the lines of RUN/<phase>/results.jsonl, and their spread over seeds.

The only place with figures of the test part: one line a training, written when it has ended. A line is never changed;
of several with one name the last counts. Free of torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasengine.errors import RunError
from nasengine.records import Architecture, Status, canonical_json

RESULTS, WEIGHTS = "results.jsonl", "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Retrained:
    """One training of a retrain phase, as its line in results.jsonl says.

    Args:
        phase, name: RUN/<phase>/<name> is its folder.
        architecture: what was trained.
        rank: 0 for the best of the search, 1 for the next; 0 where one architecture was named.
        trial: its number in the search; None if it did not come from one.
        repeat: which of the phase's seeds, from 0; `seed` its value.
        budget: unit -> amount.
        status: completed or failed; `reason` why.
        measurements: validation_accuracy (where images were held out), test_accuracy and so on.
        seconds: of training, in the process that ended it.
        network: arguments of the network changed for this phase.
        curve: one record `{epoch, loss, rate}` per epoch.
        folder: of the run.
    """

    phase: str
    name: str
    architecture: Architecture
    rank: int
    trial: int | None
    repeat: int
    seed: int
    budget: Mapping[str, float]
    status: Status
    measurements: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    network: Mapping[str, Any] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()
    folder: Path = Path()

    @property
    def completed(self) -> bool:
        return self.status == "completed"

    @property
    def weights(self) -> Path:
        """The file of its weights."""
        return self.folder / self.phase / self.name / WEIGHTS

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rank": self.rank,
            "trial": self.trial,
            "repeat": self.repeat,
            "seed": self.seed,
            "status": self.status,
            "reason": self.reason,
            "measurements": dict(self.measurements),
            "seconds": round(self.seconds, 3),
            "budget": dict(self.budget),
            "architecture": self.architecture.to_json(),
            "network": dict(self.network),
            "curve": [dict(point) for point in self.curve],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any], phase: str, folder: Path) -> Retrained:
        values = {**record, "architecture": Architecture(record["architecture"])}
        return cls(phase=phase, folder=folder, **values)


def append_result(run: Path, record: Retrained) -> None:
    """Add a line to RUN/<phase>/results.jsonl and wait until it is on the disk."""
    path = run / record.phase / RESULTS
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.read_bytes() if path.exists() else b""
    torn = b"\n" if whole and not whole.endswith(b"\n") else b""  # a kill cut the last line: close it
    with path.open("ab") as file:
        file.write(torn + canonical_json(record.to_json()).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_results(run: Path, phase: str) -> list[Retrained]:
    """The trainings that a phase has ended, the last line of each name; lines that a kill cut off are passed over.

    Raises:
        RunError: a line is no record of a training.
    """
    path = run / phase / RESULTS
    found: dict[str, Retrained] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            record = Retrained.from_json(json.loads(line), phase, run)
        except ValueError:
            continue
        except (TypeError, KeyError) as error:
            raise RunError(f"{path} is damaged: {error}") from error
        found[record.name] = record
    return sorted(found.values(), key=lambda record: (record.rank, record.name, record.repeat))


def retrain_phases(run: Path) -> list[str]:
    """The phases that have results, by name; also those that `nasengine retrain` added."""
    return sorted(path.parent.name for path in run.glob(f"*/{RESULTS}"))


@dataclass(frozen=True, slots=True)
class Spread:
    """A measurement over repeated trainings: how many, their mean, and their standard deviation (None for one)."""

    n: int
    mean: float
    deviation: float | None

    def __str__(self) -> str:
        if self.deviation is None:
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} ± {self.deviation:.2g} (n={self.n})"


def spreads(records: Iterable[Retrained]) -> dict[str, Spread]:
    """Measurement -> its spread over completed trainings of one architecture."""
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.measurements.items() if record.completed else ():
            values.setdefault(name, []).append(value)
    return {name: spread_of(found) for name, found in values.items()}


def spread_of(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Spread(1, mean, None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(len(values), mean, math.sqrt(variance))


def summary(records: Sequence[Retrained]) -> str:
    """One line: the tests of each architecture, mean and deviation over its seeds."""
    groups: dict[Architecture, list[Retrained]] = {}
    for record in records:
        groups.setdefault(record.architecture, []).append(record)
    parts = []
    for members in groups.values():
        tests = {name: spread for name, spread in spreads(members).items() if name.startswith("test_")}
        label = members[0].name.rpartition("-seed-")[0]
        parts.append(f"{label}: " + ", ".join(f"{name} {spread}" for name, spread in tests.items()))
    return "; ".join(parts) or "no training completed"
