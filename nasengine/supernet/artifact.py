"""The folder that a training of shared weights leaves, RUN/<phase>/, and what later phases read from it.

weights.safetensors    all models, tensors as "MODEL/KEY"
supernet.json          what it is of: space, overrides of its network, number of models, sampler; written last
table.json             what the sampler knows of every configuration, if it does: its model, its scores
history.jsonl          a line an epoch
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file

from nasengine.errors import InputError, Problem, RunError
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.arguments import MAKE_ONE, check_space, check_type, checked_device
from nasengine.supernet.own_norms import SupernetWithOwnNorms
from nasengine.supernet.supernet import Supernet
from nasengine.wording import in_words

WEIGHTS, ABOUT, TABLE, HISTORY = "weights.safetensors", "supernet.json", "table.json", "history.jsonl"
FORMAT = 1
SAYS = {"space": str, "space_hash": str, "network": dict, "models": int}  # what supernet.json cannot do without


@dataclass(frozen=True, slots=True)
class SupernetArtifact:
    """Shared weights on disk.

    Args:
        folder: where they lie.
        about: the content of supernet.json.
        table: the content of table.json; None where there is none.
        content: the bytes of weights.safetensors, where they were handed over and are not read from the folder.
    """

    folder: Path
    about: Mapping[str, Any]
    table: Mapping[str, Any] | None = None
    content: NDArray[np.uint8] | None = field(default=None, repr=False)
    _models: Mapping[Architecture, int] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: Path | str) -> SupernetArtifact:
        """What a folder holds; the weights are read when a supernet is asked for.

        Raises:
            InputError: what is given is no path.
            RunError: it holds no shared weights, damaged ones, or those of a newer nasengine.
        """
        folder = _path(folder)
        about = _read_json(folder / ABOUT)
        if about is None:
            raise RunError(f"{folder} holds no shared weights: there is no {ABOUT} in it")
        if about.get("format") != FORMAT:
            raise RunError(f"{folder / ABOUT} has the format {about.get('format')!r}; this nasengine reads {FORMAT}")
        for key, kind in SAYS.items():
            if not isinstance(about.get(key), kind):
                found = f"{key!r} is {about[key]!r}" if key in about else f"there is no {key!r} in it"
                raise RunError(f"{folder / ABOUT} is damaged: {found}")
        return cls._of(folder, about, _read_json(folder / TABLE))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> SupernetArtifact:
        """What `arrays` made, for a process that need not see the folder; the arrays may be read-only."""
        about, table = json.loads(str(arrays["about"])), json.loads(str(arrays["table"]))
        return cls._of(Path(str(arrays["folder"])), about, table, arrays["weights"])

    @classmethod
    def _of(
        cls,
        folder: Path,
        about: Mapping[str, Any],
        table: Mapping[str, Any] | None,
        content: NDArray[np.uint8] | None = None,
    ) -> SupernetArtifact:
        return cls(folder, about, table, content, {} if table is None else _models_of(table, folder / TABLE))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as plain arrays, which processes can share: one for all the weights, as they are in the file.

        Raises:
            RunError: the file is missing.
        """
        try:
            weights = np.fromfile(self.weights, dtype=np.uint8)
        except OSError as error:
            raise self._unreadable(error) from error
        return {
            "folder": np.array(str(self.folder)),
            "about": np.array(json.dumps(dict(self.about))),
            "table": np.array(json.dumps(self.table)),
            "weights": weights,
        }

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of the root network that were other than the space's."""
        return dict(self.about["network"])

    @property
    def models(self) -> int:
        """How many sets of weights."""
        return int(self.about["models"])

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.folder / WEIGHTS

    def check(self, space: SearchSpace) -> None:
        """See that the weights are those of a space.

        Raises:
            InputError: they are of another, or it is none.
        """
        check_space(space)
        if self.about["space_hash"] != space.hash:
            theirs = f"{self.about['space']} (hash {self.about['space_hash'][:12]})"
            found = f"the shared weights in {self.folder} are of the space {theirs}, not of {space.name}"
            raise InputError(Problem(found, expected=f"expected weights of the space with the hash {space.hash[:12]}"))

    def check_weights(self) -> None:
        """See that the file of the weights is whole and holds as many sets as it should, without reading the values.

        Raises:
            RunError: it is missing, damaged, or of another number of models.
        """
        try:
            with safe_open(self.weights, framework="pt") as file:
                sets = {key.partition("/")[0] for key in file.keys()}  # noqa: SIM118  # no mapping: has only keys()
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from error
        if sets != {str(number) for number in range(self.models)}:
            found = f"{self.weights} holds {len(sets)} sets of weights"
            raise RunError(f"{found}, and {self.folder / ABOUT} speaks of {self.models}")

    def _unreadable(self, error: Exception) -> RunError:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        return RunError(f"the shared weights cannot be read: {self.weights}: {reason}")

    def state(self) -> dict[str, torch.Tensor]:
        """The weights of all models, on the CPU, by "MODEL/KEY".

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            return load_file(self.weights) if self.content is None else load(self.content.tobytes())
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from error

    def supernet(self, space: SearchSpace, device: torch.device | str = "cpu") -> Supernet:
        """The supernet with these weights.

        Raises:
            InputError: the weights are of another space, or there is no such device.
            RunError: they cannot be read, or are not what supernet.json says.
        """
        self.check(space)
        device = checked_device(device)
        kind = SupernetWithOwnNorms if self.about.get("norms") == "own" else Supernet
        try:
            supernet = kind(space, models=self.models, network=self.network, device=device)
        except InputError as error:
            raise RunError(f"{self.folder / ABOUT} is damaged: {error}") from error
        state = self.state()
        try:
            supernet.load_state(state)
        except InputError as error:
            found = f"{self.weights} does not hold what {self.folder / ABOUT} says: {error.problems[0]}"
            raise RunError(f"{found}, and more" if len(error.problems) > 1 else found) from error
        return supernet

    def model_of(self, architecture: Architecture) -> int:
        """The set of weights an architecture belongs to: that of its largest probability.

        It is 0 without a table, and for an architecture that constraints left out of the preparation.

        Raises:
            InputError: it is none, or has choices that no architecture of the table has.
        """
        check_type(self.about["space"], architecture)
        found = self._models.get(architecture)
        if found is None and self._models and not set(architecture) <= set().union(*self._models):
            raise InputError(Problem(f"this is no architecture of {self.about['space']}", expected=MAKE_ONE))
        return found or 0


def _path(folder: Any) -> Path:
    if isinstance(folder, str | os.PathLike):
        return Path(folder)
    expected = "expected the folder of a prepare phase, RUN/PHASE"
    raise InputError(Problem(f"a folder of shared weights is wanted, got {in_words(folder)}", expected=expected))


def _models_of(table: Mapping[str, Any], path: Path) -> dict[Architecture, int]:
    try:
        rows = zip(table["configurations"], table["probabilities"], strict=True)
        return {Architecture(options): max(range(len(row)), key=row.__getitem__) for options, row in rows}
    except KeyError as error:
        raise RunError(f"{path} is damaged: there is no {error} in it") from error
    except (AttributeError, TypeError, ValueError) as error:  # a number where a mapping or a row should be
        raise RunError(f"{path} is damaged: {error}") from error


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: it holds no mapping")
    return content
