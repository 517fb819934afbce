"""Checkpoints of a training: everything needed to go on bit for bit, in files of tensors (`checkpoint_files`).

    network.NAME          weights and buffers
    average.NAME          their running average, if there is one
    optimizer.I.KEY       state of parameter I, in the order of the optimizer's groups
    metadata              also: step of the average, learning curve

Random generators need not be kept: all draws are keyed by seed and epoch. A checkpoint of another training (other
settings, seed, length) is refused by its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.training.checkpoint_files import CheckpointFiles
from nasengine.training.weight_average import WeightAverage

FORMAT = 1


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
        steps = average.steps if average else 0
        self._files.save(epoch, tensors, {"average_steps": steps, "curve": list(curve)})

    def load(self, *, network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None) -> Progress:
        """Put the latest checkpoint into place; without one, epoch 0 and nothing is changed.

        A damaged file is passed over for the one before it.

        Raises:
            RunError: the checkpoints are those of another training, or of a newer nasengine.
        """
        found = self._files.latest()
        if found is None:
            return Progress(0, ())
        metadata, tensors = found
        network.load_state_dict(below("network.", tensors))  # in place: device and memory order stay
        if average is not None:
            average.steps = metadata["average_steps"]
            for name, value in below("average.", tensors).items():
                average.values[name].copy_(value)
        load_optimizer(optimizer, below("optimizer.", tensors))
        return Progress(metadata["epoch"], tuple(metadata["curve"]))

    def fits(self) -> bool:
        """Whether there is a checkpoint of this very training that can be read."""
        return self._files.fits()

    def clear(self) -> None:
        """Remove all checkpoints: the training is done and its weights are saved elsewhere."""
        self._files.clear()

    @property
    def _files(self) -> CheckpointFiles:
        return CheckpointFiles(self.folder, self.key, FORMAT, "training", begin_anew=self.folder)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training was: epochs done, and its learning curve until then."""

    epoch: int
    curve: tuple[Mapping[str, Any], ...]


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
