"""Checkpoints of a training of shared weights: everything needed to go on bit for bit.

checkpoints/             see `training/checkpoint_files.py`; not after epochs that take no time. In each:
    weights.MODEL/KEY        every set of weights
    average.MODEL/KEY        their running averages, if there are any
    optimizer.MODEL.I.KEY    state of parameter I of each optimiser
    metadata                 also: steps of the averages, the sampler's state
history.jsonl            a line an epoch; on the disk before the checkpoint, and cut back to it when going on
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from nasengine.errors import RunError
from nasengine.records import canonical_json
from nasengine.runs.files import sync_folder, write_atomically
from nasengine.supernet.artifact import HISTORY
from nasengine.supernet.supernet import Supernet
from nasengine.training.checkpoint import below, load_optimizer, optimizer_tensors
from nasengine.training.checkpoint_files import CheckpointFiles
from nasengine.training.weight_average import TensorAverage

FORMAT = 1
FOLDER = "checkpoints"


class Stateful(Protocol):
    """What decides which architectures are trained: a sampler, or probabilities that are learned."""

    def state(self) -> dict[str, Any]:
        """Everything it has learned, as plain values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""


@dataclass(frozen=True, slots=True)
class PreparationCheckpoints:
    """Where the checkpoints and the history of one training of shared weights lie.

    Args:
        folder: RUN/<phase>; made when needed.
        key: what the training depends on, as text; only checkpoints with the same key are gone on from.
        every_s: seconds between checkpoints; epochs of small networks take less time than it takes to write them down.
    """

    folder: Path
    key: str
    every_s: float = 15.0
    _saved: list[float] = field(default_factory=lambda: [time.monotonic()])

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is so long ago that the next epoch should leave one."""
        return time.monotonic() - self._saved[-1] >= self.every_s

    def write_line(self, line: Mapping[str, Any]) -> None:
        """Add an epoch to the history."""
        path = self.folder / HISTORY
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(canonical_json(line) + "\n")

    def save(
        self,
        *,
        supernet: Supernet,
        optimizers: Sequence[torch.optim.Optimizer],
        averages: Sequence[TensorAverage],
        sampler: Stateful,
        history: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write the state after an epoch, whose line is the last of the history; keep the last two."""
        tensors = {f"weights.{name}": value for name, value in supernet.state().items()}
        for average in averages:
            tensors |= {f"average.{name}": value for name, value in average.values.items()}
        for model, optimizer in enumerate(optimizers):
            for name, value in optimizer_tensors(optimizer).items():
                tensors[f"optimizer.{model}.{name.removeprefix('optimizer.')}"] = value
        steps = [average.steps for average in averages]
        self._force_history()
        self._files.save(len(history), tensors, {"average_steps": steps, "sampler": sampler.state()})
        self._saved.append(time.monotonic())

    def load(
        self,
        *,
        supernet: Supernet,
        optimizers: Sequence[torch.optim.Optimizer],
        averages: Sequence[TensorAverage],
        sampler: Stateful,
    ) -> tuple[int, list[dict[str, Any]]]:
        """Put the latest checkpoint into place: epochs done and the history until then; (0, []) without one.

        A damaged file is passed over for the one before it; history beyond the checkpoint is dropped.

        Raises:
            RunError: the checkpoints are those of another training, or of a newer nasengine; or the history lacks what
                they go on from.
        """
        epoch = 0
        found = self._files.latest()
        if found is not None:
            metadata, tensors = found
            supernet.load_state(below("weights.", tensors))
            for model, optimizer in enumerate(optimizers):
                load_optimizer(optimizer, below(f"optimizer.{model}.", tensors))
            for model, average in enumerate(averages):
                average.steps = metadata["average_steps"][model]
                for name, value in average.values.items():
                    value.copy_(tensors[f"average.{name}"])
            sampler.restore(metadata["sampler"])
            epoch = metadata["epoch"]
        try:
            history = self._history(epoch)
        except ValueError as error:
            raise RunError(f"{self.folder / HISTORY} is damaged: {error}; remove {self.folder}") from error
        if len(history) < epoch:
            raise RunError(f"{self.folder / HISTORY} lacks epochs that the checkpoint has; remove {self.folder}")
        return epoch, history

    def clear(self) -> None:
        """Remove all checkpoints: the training is done and its weights are saved elsewhere."""
        self._files.clear()

    def _force_history(self) -> None:
        """Bring the history to the disk: after a power cut a checkpoint is worth nothing without it."""
        path = self.folder / HISTORY
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sync_folder(self.folder)

    def _history(self, epochs: int) -> list[dict[str, Any]]:
        """The first so many lines; what is beyond them in the file is dropped from it."""
        path = self.folder / HISTORY
        if not path.is_file():
            return []
        kept = path.read_text("utf-8").splitlines()[:epochs]
        write_atomically(path, "".join(f"{line}\n" for line in kept))
        return [json.loads(line) for line in kept]

    @property
    def _files(self) -> CheckpointFiles:
        return CheckpointFiles(self.folder / FOLDER, self.key, FORMAT, "preparation", begin_anew=self.folder)
