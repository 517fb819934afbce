"""Probabilities of the options of every choice, as something trained them: RUN/<phase>/probabilities.json.

{"format": 1, "space": NAME, "space_hash": …, "choices": {PATH: {"options": […], "probabilities": […]}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nasengine.errors import InputError, Problem, RunError
from nasengine.records import Architecture
from nasengine.space import SearchSpace

PROBABILITIES = "probabilities.json"
FORMAT = 1


@dataclass(frozen=True)
class Probabilities:
    """What is known of every choice of a space.

    Args:
        space: that they are of.
        of: path of a choice -> the probability of each of its options, in their order.

    Raises:
        InputError: not one probability for each option of each choice.
    """

    space: SearchSpace
    of: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        decisions = {decision.path: len(decision.options) for decision in self.space.decisions}
        if decisions != {path: len(row) for path, row in self.of.items()}:
            raise InputError(f"these are no probabilities of the choices of {self.space.name}")

    @classmethod
    def read(cls, folder: Path, space: SearchSpace) -> Probabilities:
        """Those that a phase has left in its folder.

        Raises:
            RunError: there are none, or they are damaged.
            InputError: they are of another space.
        """
        path = folder / PROBABILITIES
        try:
            content = json.loads(path.read_text("utf-8"))
            found, hashed = content["format"], content["space_hash"]
            of = {name: [float(p) for p in entry["probabilities"]] for name, entry in content["choices"].items()}
        except FileNotFoundError as error:
            raise RunError(f"{folder} holds no probabilities: there is no {PROBABILITIES} in it") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if found != FORMAT:
            raise RunError(f"{path} has the format {found!r}; this nasengine reads {FORMAT}")
        if hashed != space.hash:
            message = f"the probabilities in {folder} are of the space {content.get('space')}, not of {space.name}"
            raise InputError(Problem(message, expected=f"expected those of the space with the hash {space.hash[:12]}"))
        return cls(space, of)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        choices = {
            decision.path: {"options": list(decision.options), "probabilities": list(self.of[decision.path])}
            for decision in self.space.decisions
        }
        return {"format": FORMAT, "space": self.space.name, "space_hash": self.space.hash, "choices": choices}

    def architecture(self) -> Architecture:
        """The most probable option of every choice; of equals the first."""
        wishes = [int(np.argmax(self.of[decision.path])) for decision in self.space.decisions]
        return self.space.decode(np.array(wishes, dtype=np.int16))

    def below(self, least: float) -> dict[str, float]:
        """The choices of that architecture whose option is less probable than this, and how probable it is."""
        taken = {path: max(self.of[path]) for path in self.architecture()}
        return {path: probability for path, probability in taken.items() if probability < least}
