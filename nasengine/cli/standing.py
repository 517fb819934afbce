"""What of a run is left to do, and where a failed trial failed: read from its folder. Free of torch, for `status`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasengine.errors import InputError, RunError
from nasengine.search.prepared import is_prepared
from nasengine.search.retrained import RESULTS, read_results
from nasengine.space.language.yaml import parse_document, plain, read_text

RUN_FILE, RANKING = "run.yaml", "architectures.jsonl"
FRAME = re.compile(r'^ +File "([^"]+)", line (\d+), in ', re.MULTILINE)


def unfinished(run: Path) -> list[str] | None:
    """The phases of a run that are not done, in their order; None where run.yaml does not say."""
    try:
        content = plain(parse_document(read_text(run / RUN_FILE), RUN_FILE).documents[0])
        phases = [next(iter(phase.items())) for phase in content["strategy"]["phases"]]
        names = [settings["name"] for _, settings in phases]
        done = [_is_done(run, kind, settings, phases) for kind, settings in phases]
    except (InputError, RunError, OSError, LookupError, TypeError, AttributeError, StopIteration):
        return None
    return [name for name, is_done in zip(names, done, strict=True) if not is_done]


def _is_done(run: Path, kind: str, settings: Mapping[str, Any], phases: list[tuple[str, Mapping[str, Any]]]) -> bool:
    folder = run / settings["name"]
    if kind == "prepare":
        return is_prepared(folder)
    return (folder / RANKING).is_file() if kind == "search" else _is_retrained(run, settings, phases)


def _is_retrained(run: Path, settings: Mapping[str, Any], phases: list[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether every training that a retrain phase asks for has completed."""
    completed = [record for record in read_results(run, settings["name"]) if record.completed]
    if settings.get("architecture") is not None:
        return len(completed) >= int(settings["seeds"])
    origin = settings.get("from")
    if isinstance(origin, list):
        origin = origin[0]
    if not origin:
        before = [name for kind, other in phases if kind == "search" for name in [other["name"]]]
        origin = before[-1]
    folder = Path(origin) if "/" in origin else run / origin
    if (folder / RESULTS).is_file():
        found = len({record.architecture for record in read_results(folder.parent, folder.name) if record.completed})
    elif (folder / RANKING).is_file():
        found = len((folder / RANKING).read_text(encoding="utf-8").splitlines())
    else:
        return False
    return 0 < len(completed) >= int(settings["seeds"]) * min(int(settings["best"]), found)


def place_of(traceback: str) -> str:
    """FILE:LINE of the last frame of a traceback; empty where it names none."""
    frames = FRAME.findall(traceback)
    return ":".join(frames[-1]) if frames else ""


def last_line(traceback: str) -> str:
    """The last line of a traceback: the error's type and text."""
    return (traceback.strip().splitlines() or [""])[-1].strip()
