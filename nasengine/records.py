"""What crosses between layers and processes: frozen records that round-trip through JSON.

`Architecture` is the answer to every choice of a space, `Candidate` what an algorithm proposes, `Job`
what an evaluator is asked to measure, `Result` what it answers, `Trial` the two joined in the order in
which the algorithm is told. None of them holds a tensor, a module or a file handle.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["completed", "infeasible", "stopped", "failed"]
STATUSES: tuple[Status, ...] = ("completed", "infeasible", "stopped", "failed")
WHOLE = "of_"  # before a unit: how long the training is of which a budget is a part


# Made once: `json.dumps` makes an encoder at every call, which is a fifth of its time for an architecture.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, NaN refused."""
    return _CANONICAL.encode(value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, (list, tuple)) else value


class Architecture(Mapping[str, Any]):
    """A complete assignment of an option to every active choice of a space: immutable, hashable, plain JSON.

    Keys are choice paths ("network.layers.1.kernel"); values are options: numbers, words, booleans, None,
    or tuples of these (a subset). Equality and hash are those of the canonical JSON text, so True and 1 differ.
    Only the space can say whether an assignment is complete: make one by `space.architecture(...)`.
    """

    __slots__ = ("__dict__", "_options")

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {path: _frozen(option) for path, option in options.items()}

    @classmethod
    def from_trusted(cls, options: dict[str, Any]) -> Architecture:
        """Wrap a fresh dictionary whose lists are already tuples, without copying it (sampling is a hot path)."""
        made = cls.__new__(cls)
        made._options = options
        return made

    @functools.cached_property
    def key(self) -> str:
        """The canonical JSON text."""
        return canonical_json(self._options)

    def __getitem__(self, path: str) -> Any:
        return self._options[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Architecture) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Architecture({self.key})"

    def __reduce__(self) -> tuple[type[Architecture], tuple[dict[str, Any]]]:
        return Architecture, (self._options,)

    def to_json(self) -> dict[str, Any]:
        """{path: option} with lists for tuples, in canonical order."""
        return dict(json.loads(self.key))


def is_partial(budget: Mapping[str, float] | None) -> bool:
    """Whether a budget is a part of a longer one: `{"epochs": 3, "of_epochs": 27}`; None, the phase's, is whole."""
    return budget is not None and any(
        unit.startswith(WHOLE) and budget.get(unit.removeprefix(WHOLE), amount) < amount
        for unit, amount in budget.items()
    )


def share_of(budget: Mapping[str, float] | None) -> float:
    """How large a part a budget is of the whole: 1 for one that is no part."""
    if budget is None:
        return 1.0
    return min(
        (
            budget[unit.removeprefix(WHOLE)] / amount
            for unit, amount in budget.items()
            if unit.startswith(WHOLE) and unit.removeprefix(WHOLE) in budget
        ),
        default=1.0,
    )


def part_of(budget: Mapping[str, float]) -> str:
    """A partial budget in words: "3 of 27 epochs"."""
    return ", ".join(
        f"{budget[unit.removeprefix(WHOLE)]:g} of {amount:g} {unit.removeprefix(WHOLE)}"
        for unit, amount in budget.items()
        if unit.startswith(WHOLE) and unit.removeprefix(WHOLE) in budget
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that an algorithm proposes.

    Args:
        architecture: what is to be measured.
        parents: numbers of the trials it descends from.
        budget: what measuring it may spend; None: what the search phase gives every trial. A part of a longer
            training names its horizon too: `{"epochs": 3, "of_epochs": 27}`.
        resumes: an earlier trial of the same architecture whose training this one goes on with.
    """

    architecture: Architecture
    parents: tuple[int, ...] = ()
    budget: Mapping[str, float] | None = None
    resumes: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement to make.

    Args:
        trial: the trial's number in its search phase, from 0.
        architecture: what to measure.
        budget: what it may spend, unit -> amount: {"epochs": 5}; the first 3 epochs of a training of 27 are
            {"epochs": 3, "of_epochs": 27}.
        seed: of every draw the measurement makes (initial weights, batch order, augmentation).
        resumes: an earlier trial with the same architecture and seed and a smaller budget, whose training may be
            gone on with. Training from scratch gives the same: what that trial left can be gone.
    """

    trial: int
    architecture: Architecture
    budget: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    resumes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "trial": self.trial,
            "architecture": self.architecture.to_json(),
            "budget": dict(self.budget),
            "seed": self.seed,
            "resumes": self.resumes,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Job:
        return cls(
            record["trial"],
            Architecture(record["architecture"]),
            dict(record["budget"]),
            record["seed"],
            record["resumes"],
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job.

    Args:
        trial: the job's trial number.
        status: completed, infeasible, stopped or failed.
        measurements: name -> value, all finite; the same on every run of the same job (no times in here).
        reason: why it did not complete: one line; empty when it did.
        seconds: wall time, never part of the canonical record.
        details: JSON values for people (a traceback, a learning curve); not part of the canonical record.
    """

    trial: int
    status: Status
    measurements: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "trial": self.trial,
            "status": self.status,
            "measurements": dict(self.measurements),
            "reason": self.reason,
            "seconds": self.seconds,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Result:
        return cls(
            record["trial"],
            record["status"],
            dict(record["measurements"]),
            record["reason"],
            record["seconds"],
            dict(record["details"]),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and what was measured of it, as an algorithm is told it (in the order of `number`).

    What was measured under a part of the whole budget is "stopped": measured all right, but comparable only with
    what had the same part.
    """

    number: int
    candidate: Candidate
    status: Status
    measurements: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def architecture(self) -> Architecture:
        return self.candidate.architecture

    @property
    def completed(self) -> bool:
        return self.status == "completed"
