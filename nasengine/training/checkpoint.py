"""Checkpoints of a training: everything needed to go on bit for bit, in one safetensors file, without pickle.

    checkpoint_000012.safetensors      after epoch 12; the last two are kept
        network.NAME          weights and buffers
        average.NAME          their running average, if there is one
        optimizer.I.KEY       state of parameter I, in the order of the optimizer's groups
        metadata              JSON: format, epoch, step of the average, key of the training, learning curve

A file appears whole or not at all (written beside, flushed, renamed). Random generators need not be kept: all draws
are keyed by seed and epoch. A checkpoint of another training (other settings, seed, length) is refused by its key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nasengine.errors import RunError
from nasengine.training.weight_average import WeightAverage

FORMAT = 1
KEPT = 2


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """Where the checkpoints of one training lie.

    Args:
        folder: made when needed.
        key: what the training depends on, as text; only checkpoints with the same key are gone on from.
        every: epochs between checkpoints.
    """

    folder: Path
    key: str
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"need every >= 1, got {self.every}")

    def save(
        self,
        epoch: int,
        *,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
        curve: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write the state after `epoch` epochs, and drop all checkpoints but the last two."""
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        if average is not None:
            tensors |= {f"average.{name}": value for name, value in average.values.items()}
        tensors |= optimizer_tensors(optimizer)
        metadata = {
            "format": FORMAT,
            "epoch": epoch,
            "key": self.key,
            "average_steps": average.steps if average else 0,
            "curve": list(curve),
        }
        save_tensors(tensors, self._path(epoch), metadata={"nasengine": json.dumps(metadata)})
        for path in self._paths()[:-KEPT]:
            path.unlink()

    def load(self, *, network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None) -> Progress:
        """Put the latest checkpoint into place; without one, epoch 0 and nothing is changed.

        A damaged file is passed over for the one before it.

        Raises:
            RunError: the checkpoints are those of another training, or of a newer nasengine.
        """
        for path in reversed(self._paths()):
            try:
                metadata, tensors = read_tensors(path)
            except (SafetensorError, OSError, ValueError, KeyError):
                continue
            if metadata["format"] != FORMAT:
                raise RunError(f"{path}: checkpoint format {metadata['format']}; this nasengine reads {FORMAT}")
            if metadata["key"] != self.key:
                raise RunError(f"{path} is of a training with other settings; remove {self.folder} to train anew")
            network.load_state_dict(below("network.", tensors))  # in place: device and memory order stay
            if average is not None:
                average.steps = metadata["average_steps"]
                for name, value in below("average.", tensors).items():
                    average.values[name].copy_(value)
            load_optimizer(optimizer, below("optimizer.", tensors))
            return Progress(metadata["epoch"], tuple(metadata["curve"]))
        return Progress(0, ())

    def fits(self) -> bool:
        """Whether there is a checkpoint of this very training that can be read."""
        for path in reversed(self._paths()):
            try:
                with safe_open(path, framework="pt") as file:
                    metadata = json.loads(file.metadata()["nasengine"])
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                continue
            return bool(metadata["format"] == FORMAT and metadata["key"] == self.key)
        return False

    def clear(self) -> None:
        """Remove all checkpoints: the training is done and its weights are saved elsewhere."""
        for path in (*self._paths(), *self.folder.glob(".checkpoint_*.tmp")):  # the latter after a kill while writing
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, epoch: int) -> Path:
        return self.folder / f"checkpoint_{epoch:06d}.safetensors"

    def _paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("checkpoint_*.safetensors"))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training was: epochs done, and its learning curve until then."""

    epoch: int
    curve: tuple[Mapping[str, Any], ...]


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically: readers see the old file or the whole new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")  # one name: what a killed process left is written over
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        with open(beside, "wb") as file:  # not by save_file, whose files only their owner may read
            file.write(save(plain, metadata=dict(metadata or {})))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata and the tensors of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["nasengine"])
        return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer, as `load_optimizer` takes it back."""
    tensors = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if value is None:
                continue
            if not isinstance(value, Tensor):
                raise TypeError(f"state {key!r} of {type(optimizer).__name__} is no tensor, and cannot be kept")
            tensors[f"optimizer.{index}.{key}"] = value
    return tensors


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state back, in the memory order of the parameters it belongs to."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
