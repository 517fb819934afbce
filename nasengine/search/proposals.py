"""What a search has asked for: its candidates in order, which of them are measured once, and the jobs they become.

Budgets. A candidate may name its own budget. A trial that resumes an earlier one has the seed of the first trial of its
chain, and so repeats, from scratch, what that one did.

Equals. What is equal to an earlier trial under the same budget takes over its outcome. Equal is what has one identity,
with two exceptions: what its own price rules out does not stand for those that may be cheaper, and a training is never
gone on with by an architecture that is written otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nasengine.records import Architecture, Candidate, Job, canonical_json


def job_seed(seed: int, trial: int) -> int:
    """The seed of everything the measurement of one trial draws; apart from the algorithm's own draws."""
    return int(np.random.SeedSequence([seed, trial], spawn_key=(1,)).generate_state(1)[0])


@dataclass
class Proposals:
    """The candidates of a search.

    Args:
        seed: of the search.
        budget: of each trial whose candidate names none.
        reuse: whether equals are measured once.
        identity: what makes architectures equal; None: they themselves.
        ruled_out: whether an architecture will not be measured, for what is known of it beforehand.
        candidates: in the order in which they were asked for; the number of a trial is its place.
        same_as: trial -> the earlier one that is measured in its place.
    """

    seed: int
    budget: Mapping[str, float]
    reuse: bool
    identity: Callable[[Architecture], Hashable] | None
    ruled_out: Callable[[Architecture], bool]
    candidates: list[Candidate] = field(default_factory=list)
    same_as: dict[int, int] = field(default_factory=dict)
    _first: dict[Hashable, int] = field(default_factory=dict)  # what is measured, under which budget -> first trial

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, trial: int) -> Candidate:
        return self.candidates[trial]

    def add(self, candidate: Candidate) -> int | None:
        """Note the next candidate; returns the earlier trial that is measured in its place, if there is one."""
        number = len(self.candidates)
        if candidate.resumes is not None and not 0 <= candidate.resumes < number:
            raise ValueError(f"trial {number} cannot resume trial {candidate.resumes}")
        self.candidates.append(candidate)
        if not self.reuse:
            return None
        key = self._key(candidate.architecture)
        if candidate.budget is not None and candidate.budget != self.budget:
            key = (key, canonical_json(dict(candidate.budget)))
        earlier = self._first.setdefault(key, number)
        if earlier == number:
            return None
        self.same_as[number] = earlier
        return earlier

    def _key(self, architecture: Architecture) -> Hashable:
        if self.identity is None or self.ruled_out(architecture):
            return architecture
        return self.identity(architecture)

    def budget_of(self, candidate: Candidate) -> Mapping[str, float]:
        """What measuring a candidate may spend."""
        return self.budget if candidate.budget is None else candidate.budget

    def job(self, number: int) -> Job:
        """The job of a trial; where it resumes a trial that was never measured itself, it resumes the one that was."""
        candidate = self.candidates[number]
        resumes, first = self._resumed(candidate), number
        earlier = resumes
        while earlier is not None:
            first, earlier = earlier, self._resumed(self.candidates[earlier])
        return Job(number, candidate.architecture, self.budget_of(candidate), job_seed(self.seed, first), resumes)

    def _resumed(self, candidate: Candidate) -> int | None:
        """The measured trial whose training a candidate goes on with; None: it begins from scratch.

        The outcome of an equal architecture may have been taken over from one that is written otherwise (isomorphic
        cells): its training is no beginning of this one.
        """
        if candidate.resumes is None:
            return None
        measured = self.same_as.get(candidate.resumes, candidate.resumes)
        return measured if self.candidates[measured].architecture == candidate.architecture else None
