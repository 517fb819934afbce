"""What was learned and proved about the masks of a space, kept on disk so that it is found out once.

One JSON file for each space, overrides of its network and version of all code concerned, in the user's cache folder or
where NASENGINE_CACHE says. A file that is missing, damaged or cannot be written only costs the time to find it all out
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nasengine
from nasengine.records import canonical_json

FORMAT = 2


@dataclass
class Proved:
    """What is known of the masks of one space.

    Args:
        learned: what its facts depend on (`Lookup.to_json`).
        structural: columns of structural choices.
        notes: plan -> "" where masks are proved, or why it runs as views.
        unreached: plan -> tensors of which nothing is proved, as no way leads from them to an output.
        path: of its file.
    """

    learned: Mapping[str, Any] | None = None
    structural: list[int] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    unreached: dict[str, list[str]] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def read(cls, space_hash: str, overrides: Mapping[str, Any], versions: Sequence[str]) -> Proved:
        """What is on disk, or nothing.

        Args:
            versions: of all code that a proof is about, so that other code proves anew.
        """
        text = canonical_json([FORMAT, nasengine.__version__, space_hash, dict(overrides), list(versions)])
        path = cache_folder() / "masks" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        try:
            found = json.loads(path.read_text())
            return cls(found["learned"], found["structural"], found["notes"], found["unreached"], path)
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path=path)

    def write(self) -> None:
        """Put it on disk, at once or not at all."""
        if self.path is None:
            return
        content = {
            "learned": self.learned,
            "structural": self.structural,
            "notes": self.notes,
            "unreached": self.unreached,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as file:
                json.dump(content, file, separators=(",", ":"))
            os.replace(file.name, self.path)
        except OSError:
            return  # a cache that cannot be written is only slower


def cache_folder() -> Path:
    """Where nasengine may keep what it can find out again."""
    named = os.environ.get("NASENGINE_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "nasengine"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nasengine"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nasengine"
