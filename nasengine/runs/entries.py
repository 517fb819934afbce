"""The lines of a journal: what each kind of record holds, and its one JSON text.

    header    format, space, choices, objectives, seed, lag                     once, first
    asked     phase, trial, architecture, parents, budget, same_as, (resumes)   canonical
    told      phase, trial, architecture, status, measurements, reason, same_as canonical
    finished  phase, trial, status, measurements, reason, seconds, elapsed_s, details   on arrival

Canonical records are the same, line for line, whatever the executor, the number of workers or the kills; they
hold no time and no process. `finished` is written the moment an outcome is known, so that none is ever lost.
`resumes` stands only where a trial goes on with the training of an earlier one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nasengine.objectives import Objective
from nasengine.records import STATUSES, Architecture, Candidate, Result, Trial, canonical_json, is_partial
from nasengine.space.space import SearchSpace

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a run is about; two journals with equal headers are runs of the same thing.

    Args:
        space: name of the search space.
        space_hash: `SearchSpace.hash`.
        choices: path -> options, so that a reader needs no space file.
        objectives: name -> maximize or minimize.
        seed: of the run.
        lag: trial k is asked once the trials up to k - lag are told.
    """

    space: str
    space_hash: str
    choices: Mapping[str, Any]
    objectives: Mapping[str, str]
    seed: int
    lag: int

    @classmethod
    def of(cls, space: SearchSpace, objectives: Sequence[Objective], *, seed: int, lag: int) -> Header:
        """The header of a run that searches `space`."""
        choices = {path: list(decision.options) for path, decision in space.choices.items()}
        directions = {objective.name: objective.direction for objective in objectives}
        return cls(space.name, space.hash, choices, directions, seed, lag)

    def line(self) -> str:
        return (
            canonical_json(
                {
                    "record": "header",
                    "format": FORMAT,
                    "space": {"name": self.space, "hash": self.space_hash},
                    "choices": dict(self.choices),
                    "objectives": dict(self.objectives),
                    "objective_order": list(self.objectives),
                    "seed": self.seed,
                    "lag": self.lag,
                }
            )
            + "\n"
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Header:
        directions = record["objectives"]
        return cls(
            record["space"]["name"],
            record["space"]["hash"],
            record["choices"],
            {name: directions[name] for name in record["objective_order"]},
            record["seed"],
            record["lag"],
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate that an algorithm proposed.

    Args:
        budget: of the trial, whether the candidate named it or the phase gave it.
        same_as: an earlier trial that is measured in its place.
        resumes: the candidate's.
    """

    phase: str
    trial: int
    candidate: Candidate
    budget: Mapping[str, float]
    same_as: int | None = None

    @property
    def resumes(self) -> int | None:
        return self.candidate.resumes

    def line(self) -> str:
        # The architecture's canonical text is spliced in, keys in sorted order: encoding it again would be
        # most of the cost of a record.
        parents = ",".join(map(str, self.candidate.parents))
        resumes = "" if self.resumes is None else f'"resumes":{self.resumes},'
        return (
            f'{{"architecture":{self.candidate.architecture.key},"budget":{canonical_json(dict(self.budget))},'
            f'"parents":[{parents}],"phase":{_quoted(self.phase)},"record":"asked",{resumes}'
            f'"same_as":{_optional(self.same_as)},"trial":{self.trial}}}\n'
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Asked:
        budget = record["budget"]
        candidate = Candidate(
            Architecture(record["architecture"]),
            tuple(record["parents"]),
            budget if is_partial(budget) else None,
            record.get("resumes"),
        )
        return cls(record["phase"], record["trial"], candidate, budget, record["same_as"])


@dataclass(frozen=True, slots=True)
class Told:
    """What an algorithm was told of a trial."""

    phase: str
    trial: Trial
    same_as: int | None = None

    def line(self) -> str:
        trial = self.trial
        return (
            f'{{"architecture":{trial.architecture.key},"measurements":{canonical_json(dict(trial.measurements))},'
            f'"phase":{_quoted(self.phase)},"reason":{_quoted(trial.reason)},"record":"told",'
            f'"same_as":{_optional(self.same_as)},"status":{_quoted(trial.status)},"trial":{trial.number}}}\n'
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any], candidate: Candidate) -> Told:
        """`candidate` is that of the trial's asked record, of which told ones repeat the architecture alone."""
        trial = Trial(
            record["trial"], candidate, _status(record["status"]), dict(record["measurements"]), record["reason"]
        )
        return cls(record["phase"], trial, record["same_as"])


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of a trial, as it arrived; `elapsed_s` is the wall time its phase had then taken in all."""

    phase: str
    result: Result
    elapsed_s: float

    def line(self) -> str:
        record = {"record": "finished", "phase": self.phase, "elapsed_s": round(self.elapsed_s, 6)}
        return canonical_json(record | self.result.to_json()) + "\n"

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Finished:
        _status(record["status"])
        return cls(record["phase"], Result.from_json(record), record["elapsed_s"])


Entry: TypeAlias = Asked | Told | Finished


def _status(word: Any) -> Any:
    if word not in STATUSES:
        raise ValueError(f"unknown status {word!r}")
    return word


# Phases, states and reasons are few, and written again and again.
@functools.lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return canonical_json(text)


def _optional(number: int | None) -> str:
    return "null" if number is None else str(number)
