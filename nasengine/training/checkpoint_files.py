"""The checkpoints of one training on disk: safetensors files, whole or not at all, the last two kept.

    checkpoint_000012.safetensors      after epoch 12; metadata: JSON with the format, the epoch and the training's key

A file is written beside its place, flushed and renamed. What a checkpoint holds beside that is for its training to say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nasengine.errors import RunError

KEPT = 2
DAMAGED = (SafetensorError, OSError, ValueError, KeyError, TypeError)  # what reading a damaged file may raise

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """Where they lie, and what they must be of.

    Args:
        folder: made when needed.
        key: what the training depends on, as text; only checkpoints with the same key are gone on from.
        format: of their content.
        kind: what it is that is trained, in a word.
        begin_anew: the folder to remove for that.
    """

    folder: Path
    key: str
    format: int
    kind: str
    begin_anew: Path

    def save(self, epoch: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Write the state after `epoch` epochs, and drop all checkpoints but the last two."""
        said = {"format": self.format, "epoch": epoch, "key": self.key, **metadata}
        path = self.folder / f"checkpoint_{epoch:06d}.safetensors"
        save_tensors(tensors, path, metadata={"nasengine": json.dumps(said, allow_nan=False)})
        for old in self._paths()[:-KEPT]:
            old.unlink()

    def latest(self) -> tuple[Metadata, dict[str, Tensor]] | None:
        """The last one; None without one. A damaged file is passed over for the one before it.

        Raises:
            RunError: it is of another training, or of a newer nasengine.
        """
        for path in reversed(self._paths()):
            try:
                with safe_open(path, framework="pt") as file:
                    metadata = json.loads(file.metadata()["nasengine"])
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            except DAMAGED:
                continue
            if metadata["format"] != self.format:
                raise RunError(f"{path}: checkpoint format {metadata['format']}; this nasengine reads {self.format}")
            if metadata["key"] != self.key:
                found = f"{path} is of a {self.kind} with other settings"
                raise RunError(f"{found}; remove {self.begin_anew} to begin anew")
            return metadata, tensors
        return None

    def fits(self) -> bool:
        """Whether there is a checkpoint of this very training that can be read."""
        for path in reversed(self._paths()):
            try:
                with safe_open(path, framework="pt") as file:
                    metadata = json.loads(file.metadata()["nasengine"])
            except DAMAGED:
                continue
            return bool(metadata["format"] == self.format and metadata["key"] == self.key)
        return False

    def clear(self) -> None:
        """Remove all checkpoints: the training is done and its weights are saved elsewhere."""
        for path in (*self._paths(), *self.folder.glob(".checkpoint_*.tmp")):  # the latter after a kill while writing
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("checkpoint_*.safetensors"))


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
