"""What a call of `mixture.py` leaves behind: records of searches, and the checkpoints of those that are not done."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine

from nasengine.runs.files import write_atomically

PIECE = 15 * 2**20  # bytes of state in a file: what travels may be no larger than 16 MiB
PIECES = 7  # and there may be no more than eight files, mixture.json among them


@dataclass(frozen=True)
class Job:
    """One search, and where its record and its checkpoints lie in the folder of the work."""

    models: int
    seed: int

    @property
    def name(self) -> str:
        return f"m{self.models}-seed{self.seed}"

    def record(self, work: Path) -> dict[str, Any] | None:
        """What is known of it so far; None until it is trained."""
        path = work / f"{self.name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def write(self, record: dict[str, Any], work: Path) -> None:
        write_atomically(work / f"{self.name}.json", json.dumps(record) + "\n")

    def is_done(self, work: Path) -> bool:
        """Whether it is trained, scored, and tuned as often as it should; without its weights it cannot be."""
        record = self.record(work)
        return record is not None and (not record["to_do"] or not self.checkpoints(work))

    def checkpoints(self, work: Path) -> list[Path]:
        """Its checkpoints, the latest last."""
        return sorted((work / self.name / "checkpoints").glob("*.safetensors"))


def write_records(jobs: Sequence[Job], data: str, work: Path, out: Path) -> list[dict[str, Any]]:
    """Write mixture.json anew, with every record that there is."""
    records = [record for job in jobs if (record := job.record(work)) is not None]
    report = {"machine": describe_machine(), "data": data, "records": records}
    write_atomically(out / "mixture.json", json.dumps(report) + "\n")
    return records


def pack(jobs: Sequence[Job], work: Path, out: Path) -> None:
    """Leave the latest checkpoints of what is not done, in pieces that travel; those furthest on first."""
    for old in out.glob("state.tar.*"):
        old.unlink()
    packed, begun = io.BytesIO(), list[tuple[float, Job, list[Path]]]()
    for job in jobs:
        latest = job.checkpoints(work)[-1:]
        history = work / job.name / "history.jsonl"
        if latest and history.is_file() and not job.is_done(work):
            begun.append((len(history.read_text().splitlines()) / job.models, job, [*latest, history]))
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for _, job, paths in sorted(begun, key=lambda each: -each[0]):
            size = sum(path.stat().st_size + 2**11 for path in paths)
            if packed.tell() + size + 2**14 > PIECES * PIECE:
                print(f"{job.name}: its {size / 2**20:.0f} MiB of checkpoint are too much to leave", flush=True)
                continue
            for path in paths:
                archive.add(path, arcname=str(path.relative_to(work)))
    data = packed.getvalue() if begun else b""
    for number, begin in enumerate(range(0, len(data), PIECE)):
        (out / f"state.tar.{number:02d}").write_bytes(data[begin : begin + PIECE])


def unpack(folder: Path, work: Path) -> None:
    """Put what an earlier call left where this one goes on."""
    finished = folder / "mixture.json"
    for record in json.loads(finished.read_text())["records"] if finished.is_file() else ():
        Job(record["models"], record["seed"]).write(record, work)
    pieces = sorted(folder.glob("state.tar.*"))
    if pieces:
        with tarfile.open(fileobj=io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))) as archive:
            archive.extractall(work, filter="data")
