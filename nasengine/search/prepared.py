"""Whether a prepare phase is done: RUN/<phase>/prepared.json, written last. Free of torch, for `status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nasengine.runs import write_atomically

PREPARED, HISTORY, CHECKPOINTS = "prepared.json", "history.jsonl", "checkpoints"


def write_prepared(folder: Path, trainer: str, summary: str, seconds: float) -> None:
    """Say that everything the phase leaves is there."""
    content = {"trainer": trainer, "summary": summary, "seconds": round(seconds, 3)}
    write_atomically(folder / PREPARED, json.dumps(content, indent=2) + "\n")


def is_prepared(folder: Path) -> bool:
    """Whether the phase of this folder is done."""
    return (folder / PREPARED).is_file()


def last_checkpoint(folder: Path) -> int:
    """The epoch after which a phase that is not done goes on; 0: it begins anew."""
    names = [path.stem.rpartition("_")[2] for path in (folder / CHECKPOINTS).glob("checkpoint_*.safetensors")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of the phase so far, up to a line that is damaged or still being written."""
    path = folder / HISTORY
    lines = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            epoch = json.loads(line)
        except ValueError:
            break
        if not isinstance(epoch, dict):
            break
        lines.append(epoch)
    return lines
