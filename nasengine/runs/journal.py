"""The journal of a run: append-only, one JSON record a line, read back to resume.

A record is flushed as soon as it is written, so a killed process loses none; the disk is waited for at most
once a second, so a power cut loses at most the last second. A line that was cut off in the middle, the last
one, is what a kill leaves: it is dropped on opening. Anything wrong further up is damage, and refused.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from nasengine.errors import RunError
from nasengine.records import Candidate, Result, Trial, canonical_json
from nasengine.runs.entries import FORMAT, Asked, Entry, Finished, Header, Told
from nasengine.runs.files import sync_folder
from nasengine.runs.folder import JOURNAL_NAME, RunLock, not_a_run

SYNC_EVERY_S = 1.0


@dataclass(frozen=True)
class History:
    """What a journal holds of one phase.

    Args:
        canonical: asked and told records in their order.
        finished: trial number -> its outcome, also of trials not told yet.
        elapsed_s: wall time that the phase had taken when its last outcome arrived.
        ended_s: trial number -> that wall time when its own outcome arrived.
    """

    canonical: tuple[Asked | Told, ...] = ()
    finished: Mapping[int, Result] = field(default_factory=dict)
    elapsed_s: float = 0.0
    ended_s: Mapping[int, float] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[Asked, ...]:
        return tuple(record for record in self.canonical if isinstance(record, Asked))

    @property
    def told(self) -> tuple[Told, ...]:
        return tuple(record for record in self.canonical if isinstance(record, Told))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial whose outcome is known, told or not, by number."""
        return tuple(
            Trial(
                record.trial,
                record.candidate,
                self.finished[record.trial].status,
                self.finished[record.trial].measurements,
                self.finished[record.trial].reason,
            )
            for record in self.asked
            if record.trial in self.finished
        )


@dataclass(frozen=True)
class Contents:
    """A whole journal as read: `phases` in the order in which they began."""

    header: Header
    phases: Mapping[str, History]

    def history(self, phase: str) -> History:
        return self.phases.get(phase, History())


class Journal:
    """The writing end; holds the run's lock while it is open. Use it in a `with` statement.

    Args:
        folder: the run's folder, which must exist.
        header: of the run. A journal that is there already must have an equal one.

    Raises:
        RunError: the run is locked, its journal is damaged or of another format, or begins with another header.
    """

    def __init__(self, folder: Path | str, header: Header) -> None:
        self.folder = Path(folder)
        self.header = header
        if not self.folder.is_dir():
            raise not_a_run(self.folder, "does not exist")
        self._lock = RunLock(self.folder)
        try:
            self.path = self.folder / JOURNAL_NAME
            self._histories = self._recover()
            self._stale = False
            self._file = open(self.path, "ab")  # noqa: SIM115 (closed by close)
            self._synced = time.monotonic()
            if self._file.tell() == 0:
                self._write(header.line())
                self._sync()
                sync_folder(self.folder)
        except BaseException:
            self._lock.release()
            raise

    def _recover(self) -> dict[str, History]:
        """Read what is there, cut a torn last line off the file, and compare the headers."""
        if not self.path.exists():
            return {}
        contents, whole = _read(self.path)
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        if contents is None:
            return {}
        if contents.header.line() != self.header.line():
            raise RunError(f"{self.path} was begun with other settings: {_difference(contents.header, self.header)}")
        return dict(contents.phases)

    def history(self, phase: str) -> History:
        """What the journal holds of this phase now."""
        if self._stale:
            self._histories, self._stale = dict(read_journal(self.path).phases), False
        return self._histories.get(phase, History())

    def asked(
        self, phase: str, trial: int, candidate: Candidate, budget: Mapping[str, float], same_as: int | None = None
    ) -> None:
        self._write(Asked(phase, trial, candidate, budget, same_as).line())

    def told(self, phase: str, trial: Trial, same_as: int | None = None) -> None:
        self._write(Told(phase, trial, same_as).line())

    def finished(self, phase: str, result: Result, elapsed_s: float) -> None:
        self._write(Finished(phase, result, elapsed_s).line())

    def _write(self, line: str) -> None:
        self._stale = True
        try:
            self._file.write(line.encode(errors="backslashreplace"))  # of half a character: JSON reads it back
            self._file.flush()
            if time.monotonic() - self._synced >= SYNC_EVERY_S:
                self._sync()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(f"{self.path} cannot be written: {error.strerror}")

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Force everything to the disk and let go of the run; harmless when repeated.

        Raises:
            RunError: the last records cannot be written; they are lost, and the run is let go of all the same.
        """
        if self._file.closed:
            return
        try:
            with self._file:  # closed whatever happens
                self._file.flush()
                self._sync()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path | str) -> Contents:
    """Read a journal without touching it; it may be in the middle of being written.

    Args:
        path: the run's folder, or the file itself.

    Raises:
        RunError: there is none, it is damaged, or of another format.
    """
    path = _journal_of(path)
    contents, _ = _read(path)
    if contents is None:
        raise RunError(f"{path} is empty: the run was stopped before it began")
    return contents


def canonical_records(path: Path | str) -> list[dict[str, Any]]:
    """The asked and told records in their order: what "identical runs" compares.

    Raises:
        RunError: as `read_journal`.
    """
    path = _journal_of(path)
    return [record for record, _, _ in _lines(path) if record.get("record") in ("asked", "told")]


def _journal_of(path: Path | str) -> Path:
    path = Path(path)
    if not path.exists():
        raise not_a_run(path, "does not exist")
    if not path.is_dir():
        return path
    if not (path / JOURNAL_NAME).is_file():
        raise not_a_run(path, f"has no {JOURNAL_NAME}")
    return path / JOURNAL_NAME


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Each whole record with its line number and where it ends; stops before a torn last line."""
    end, last = 0, path.stat().st_size
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            end += len(line)
            record = _parsed(line)
            if record is None:
                if end >= last or not line.endswith(b"\n"):
                    return
                raise RunError(
                    f"{path}, line {number}: damaged, not a record; the journal cannot be trusted from there on"
                )
            if number == 1:
                _check_format(path, record)
            yield record, number, end


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _check_format(path: Path, record: Mapping[str, Any]) -> None:
    if record.get("record") != "header":
        raise RunError(f"{path}, line 1: not the header of a journal")
    if record.get("format") != FORMAT:
        found = record.get("format")
        raise RunError(f"{path}, line 1: journal format {found!r}, but this version of nasengine reads format {FORMAT}")


def _read(path: Path) -> tuple[Contents | None, int]:
    """The contents (None: not even a header) and how many bytes of the file are whole records."""
    header: Header | None = None
    canonical: dict[str, list[Asked | Told]] = {}
    finished: dict[str, dict[int, Result]] = {}
    elapsed: dict[str, float] = {}
    ended: dict[str, dict[int, float]] = {}
    asked: dict[tuple[str, int], Candidate] = {}
    whole = 0
    for record, number, end in _lines(path):
        try:
            if header is None:
                header = Header.from_json(record)
            else:
                entry = _entry(record, asked)
                canonical.setdefault(entry.phase, [])
                if isinstance(entry, Finished):
                    finished.setdefault(entry.phase, {})[entry.result.trial] = entry.result
                    ended.setdefault(entry.phase, {})[entry.result.trial] = entry.elapsed_s
                    elapsed[entry.phase] = entry.elapsed_s
                else:
                    canonical[entry.phase].append(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{path}, line {number}: damaged, {type(error).__name__}: {error}") from error
        whole = end
    if header is None:
        return None, 0
    phases = {
        phase: History(tuple(records), finished.get(phase, {}), elapsed.get(phase, 0.0), ended.get(phase, {}))
        for phase, records in canonical.items()
    }
    return Contents(header, phases), whole


def _entry(record: Mapping[str, Any], asked: dict[tuple[str, int], Candidate]) -> Entry:
    """The entry of a record; `asked` are the candidates so far, by phase and trial."""
    kind = record["record"]
    if kind == "asked":
        entry = Asked.from_json(record)
        asked[entry.phase, entry.trial] = entry.candidate
        return entry
    if kind == "told":
        return Told.from_json(record, asked[record["phase"], record["trial"]])
    if kind == "finished":
        return Finished.from_json(record)
    raise ValueError(f"unknown record {kind!r}")


def _difference(old: Header, new: Header) -> str:
    """Which parts of two headers differ, each with both values where they are short."""
    parts = []
    for name in ("space", "space_hash", "objectives", "seed", "lag", "choices"):
        before, after = getattr(old, name), getattr(new, name)
        if canonical_json(before) != canonical_json(after) or (name == "objectives" and list(before) != list(after)):
            shown = "" if name == "choices" else f" was {before!r}, now {after!r}"
            parts.append(f"{name}{shown}")
    return "; ".join(parts)
