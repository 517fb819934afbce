"""The search loop: ask, price, submit, journal, tell. The only place where the order of a search is decided.

The lag rule. Before trial k is asked the algorithm has been told exactly the trials 0 … k - lag, in that order;
what is left is told at the end. So what it sees, and with it every trial, depends on the seed and the lag
alone, not on which of two workers was faster, on the executor or on how often the process was killed. A scheduler that
has nothing to propose on that knowledge is told of one more trial after the other, until it has or all are told.

What is measured once, under which budget and with which seed is the affair of `proposals`. A trial that was measured
under a part of a longer budget ends as "stopped".

Resume. The journal is replayed: the algorithm is asked again and must answer as it did, and is told what it
was told. Outcomes in the journal are used; a trial that was still running is submitted again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.schedulers import Scheduler
from nasengine.errors import RunError
from nasengine.execution.executor import Executor, failure
from nasengine.objectives import Constraint, Objective
from nasengine.records import Architecture, Result, Trial, is_partial, part_of
from nasengine.runs.entries import Asked
from nasengine.runs.journal import Journal
from nasengine.search.interrupts import first_interrupt
from nasengine.search.proposals import Proposals

EventKind = Literal["resumed", "asked", "ended", "told", "interrupted", "done"]
StoppedBy = Literal["trials", "exhausted", "time"]
Price = Callable[[Architecture], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class SearchEvent:
    """Something happened; for progress displays.

    Args:
        kind: resumed (once, first, if the journal held anything), asked, ended (an outcome is known), told,
            interrupted (Ctrl-C: what runs is waited for), done.
        asked, ended, told, running: how many trials so far, and now.
        elapsed_s: wall time of this phase, all resumptions together.
        trials: how many there will be at most; None if that is not known.
        trial: the trial of ended and told events.
        same_as: the earlier trial whose outcome it took, if any.
        seconds: what measuring it took.
        details: of ended events, what the evaluator tells people: a learning curve, a traceback.
    """

    kind: EventKind
    asked: int
    ended: int
    told: int
    running: int
    elapsed_s: float
    trials: int | None = None
    trial: Trial | None = None
    same_as: int | None = None
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchOutcome:
    """All trials of a search in their order, what ended it, and the wall time of all its parts."""

    trials: tuple[Trial, ...]
    stopped_by: StoppedBy
    elapsed_s: float


def run_search(
    algorithm: Algorithm,
    executor: Executor,
    journal: Journal,
    *,
    trials: int | None,
    lag: int,
    seed: int,
    budget: Mapping[str, float],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    price: Price | None = None,
    seconds: float | None = None,
    on_event: Callable[[SearchEvent], None] | None = None,
    phase: str = "search",
    reuse: bool = True,
    identity: Callable[[Architecture], Hashable] | None = None,
) -> SearchOutcome:
    """Search, or go on with a search that the journal holds part of.

    Args:
        algorithm: freshly constructed; asked and told here only.
        executor: places the jobs; not closed here.
        journal: open for writing.
        trials: ask at most that many; None: until the algorithm has nothing left or time is up.
        lag: at least 1; also the most trials that can be in flight, so fewer than the workers wastes some.
        seed: each job gets `proposals.job_seed(seed, trial)`; one that resumes another, that of the first of its chain.
        budget: of each trial whose candidate names none, unit -> amount.
        objectives: a completed trial must have measured each of them, or it counts as failed.
        constraints: on prices (a breach means the trial is not run) or on measurements (known after it ran, and
            judged under the whole budget only).
        price: costs of an architecture, known without running it; they join the measurements.
        seconds: ask nothing more after that much wall time, all resumptions together; what runs is finished.
        on_event: called in this thread (for `interrupted` in another one).
        phase: name under which the journal keeps this search; each phase of a run has its own.
        reuse: equal architectures are measured once under a budget; the later trial takes the outcome of the earlier.
        identity: what makes architectures equal in this (each still has its own prices); None: they themselves.

    Raises:
        RunError: the journal holds trials that this algorithm does not ask for, or the executor cannot start.
        KeyboardInterrupt: after Ctrl-C; what was running has been waited for and is in the journal. A second
            Ctrl-C does not wait; what was running then will run again. Either way the run can be resumed.
    """
    if lag < 1:
        raise ValueError(f"the lag must be at least 1, got {lag}")
    search = _Search(
        algorithm, executor, journal, trials, lag, seed, budget, tuple(objectives), tuple(constraints), price,
        seconds, on_event, phase, reuse, identity,
    )  # fmt: skip
    return search.run()


@dataclass
class _Search:
    """The state of one call of `run_search`."""

    algorithm: Algorithm
    executor: Executor
    journal: Journal
    limit: int | None
    lag: int
    seed: int
    budget: Mapping[str, float]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    price: Price | None
    seconds: float | None
    on_event: Callable[[SearchEvent], None] | None
    phase: str
    reuse: bool
    identity: Callable[[Architecture], Hashable] | None
    outcomes: dict[int, Trial] = field(default_factory=dict)
    told: int = 0
    exhausted: bool = False
    stuck_at: int | None = None  # the scheduler has nothing to propose until this trial is told
    interrupted: bool = False
    copies: dict[int, list[int]] = field(default_factory=dict)  # trial running -> trials that wait for its outcome
    unfinished: deque[int] = field(default_factory=deque)  # asked before the run was resumed, to be begun again
    prices: dict[int, Mapping[str, float]] = field(default_factory=dict)  # of trials running
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        named = [item.name for item in self.objectives] + [item.name for item in self.constraints]
        self.needed = tuple(dict.fromkeys(named))
        ends = [end for end in (self.limit, self.algorithm.ends_after) if end is not None]
        self.most = min(ends, default=None)
        self.asked = Proposals(self.seed, self.budget, self.reuse, self.identity, self.rules_out)

    def run(self) -> SearchOutcome:
        with first_interrupt(self.interrupt):
            self.replay()
            self.work()
            if self.interrupted:
                raise KeyboardInterrupt
            while self.told < len(self.asked):
                self.tell_next()
        self.report("done")
        stopped: StoppedBy = "exhausted" if self.exhausted else "trials" if self.all_asked else "time"
        return SearchOutcome(tuple(self.outcomes[k] for k in range(self.told)), stopped, self.elapsed_s)

    def work(self) -> None:
        """Ask while there is room, take results as they come, until nothing is left to ask and nothing runs."""
        results: Iterator[Result] | None = None
        while True:
            while self.has_room():
                if self.unfinished:
                    self.begin(self.unfinished.popleft())
                elif self.may_ask():
                    self.ask_next()
                else:
                    break
            if not self.executor.outstanding:
                return
            if results is None:
                results = self.executor.results()
            result = next(results, None)
            if result is None:
                results = None
            else:
                self.measured(result)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def all_asked(self) -> bool:
        return self.limit is not None and len(self.asked) >= self.limit

    def has_room(self) -> bool:
        return not self.interrupted and self.executor.outstanding < self.executor.capacity

    def may_ask(self) -> bool:
        if self.exhausted or self.all_asked:
            return False
        due = len(self.asked) - self.lag  # the last trial to be told before the next is asked
        if due >= self.told and due not in self.outcomes:
            return False
        if self.stuck_at is not None and self.stuck_at not in self.outcomes:
            return False
        return self.seconds is None or self.elapsed_s < self.seconds

    def ask_next(self) -> None:
        number = len(self.asked)
        while self.told <= number - self.lag:
            self.tell_next()
        candidate = self.algorithm.ask(number)
        while candidate is None and self.told < number and isinstance(self.algorithm, Scheduler):
            if self.told not in self.outcomes:
                self.stuck_at = self.told
                return
            self.tell_next()
            candidate = self.algorithm.ask(number)
        if candidate is None:
            self.exhausted = True
            return
        same_as = self.asked.add(candidate)
        self.journal.asked(self.phase, number, candidate, self.asked.budget_of(candidate), same_as)
        self.report("asked")
        self.begin(number)

    def rules_out(self, architecture: Architecture) -> bool:
        """Whether its price breaks a constraint, or cannot be told: its trial fails and says why."""
        if self.price is None or not self.constraints:
            return False
        try:
            return bool(self.breach(self.price(architecture)))
        except Exception:
            return True

    def begin(self, number: int) -> None:
        """Make the trial's outcome known, now or by a job."""
        earlier = self.asked.same_as.get(number)
        if earlier is not None:
            if earlier in self.outcomes:
                self.copy(earlier, number)
            else:
                self.copies.setdefault(earlier, []).append(number)
            return
        architecture = self.asked[number].architecture
        prices: Mapping[str, float] = {}
        if self.price is not None:
            try:
                prices = self.price(architecture)
            except Exception as error:
                self.ended(failure(number, error))
                return
        breach = self.breach(prices)
        if breach:
            self.ended(Result(number, "infeasible", prices, breach))
            return
        self.prices[number] = prices
        self.executor.submit(self.asked.job(number))

    def breach(self, measurements: Mapping[str, float]) -> str:
        return "; ".join(filter(None, (constraint.breach(measurements) for constraint in self.constraints)))

    def measured(self, result: Result) -> None:
        """Join a result with the trial's prices and judge it by budget, constraints and objectives."""
        prices = self.prices.pop(result.trial)
        if prices:
            result = replace(result, measurements={**result.measurements, **prices})
        self.ended(self.judged(result) if result.status in ("completed", "stopped") else result)

    def judged(self, result: Result) -> Result:
        """What a result that measured something counts as."""
        missing = [name for name in self.needed if name not in result.measurements]
        if missing:
            found = f"did not measure {', '.join(missing)}, only {', '.join(result.measurements) or 'nothing'}"
            return replace(result, status="failed", reason="; ".join(filter(None, (result.reason, found))))
        if result.status == "stopped":  # its evaluator says why
            return result
        budget = self.asked[result.trial].budget
        if budget is not None and is_partial(budget):
            return replace(result, status="stopped", reason=part_of(budget))
        breach = self.breach(result.measurements)
        return replace(result, status="infeasible", reason=breach) if breach else result

    def ended(self, result: Result) -> None:
        """An outcome is known: into the journal at once, then to the trials that take it over."""
        self.journal.finished(self.phase, result, self.elapsed_s)
        self.note_outcome(result)
        number = result.trial
        self.report("ended", self.outcomes[number], result)
        for copy in self.copies.pop(number, ()):
            self.copy(number, copy)

    def note_outcome(self, result: Result) -> None:
        candidate = self.asked[result.trial]
        self.outcomes[result.trial] = Trial(
            result.trial, candidate, result.status, dict(result.measurements), result.reason
        )

    def copy(self, earlier: int, number: int) -> None:
        known, architecture = self.outcomes[earlier], self.asked[number].architecture
        measurements = known.measurements
        if self.price is not None and architecture != known.architecture:  # equals need not cost the same
            try:
                measurements = {**measurements, **self.price(architecture)}
            except Exception as error:
                self.ended(failure(number, error))
                return
        self.ended(Result(number, known.status, measurements, known.reason))

    def tell_next(self) -> None:
        trial = self.outcomes[self.told]
        self.journal.told(self.phase, trial, self.asked.same_as.get(trial.number))
        self.algorithm.tell(trial)
        self.told += 1
        self.report("told", trial)

    def replay(self) -> None:
        """Bring the algorithm to where the journal ends, and take up what was running."""
        history = self.journal.history(self.phase)
        self.began -= history.elapsed_s
        for record in history.canonical:
            if isinstance(record, Asked):
                self.replay_asked(record)
            else:
                if record.trial.number != self.told:
                    raise RunError(f"{self.journal.path} is damaged: trial {record.trial.number} is told out of order")
                trial = replace(record.trial, candidate=self.asked[self.told])
                self.outcomes[self.told] = trial
                self.algorithm.tell(trial)
                self.told += 1
        for number in range(self.told, len(self.asked)):
            if number in history.finished:
                self.note_outcome(history.finished[number])
        self.unfinished.extend(k for k in range(self.told, len(self.asked)) if k not in self.outcomes)
        if self.asked:
            self.report("resumed")

    def replay_asked(self, record: Asked) -> None:
        number = len(self.asked)
        candidate = self.algorithm.ask(number)
        found: object = None
        if candidate is not None:
            same_as = self.asked.add(candidate)
            budget = self.asked.budget_of(candidate)
            found = (number, candidate.architecture, candidate.parents, candidate.resumes, budget, same_as)
        known = record.candidate
        if found != (record.trial, known.architecture, known.parents, known.resumes, record.budget, record.same_as):
            raise RunError(
                f"{self.journal.path} cannot be resumed: trial {record.trial} of phase {self.phase!r} is asked "
                "differently now than when the run began, so the code, the settings or the seed changed since. "
                "Begin a new run, or resume with what it was begun with"
            )

    def interrupt(self) -> None:
        self.interrupted = True
        threading.Thread(target=self.report, args=("interrupted",)).start()  # a handler must not print itself

    def report(self, kind: EventKind, trial: Trial | None = None, result: Result | None = None) -> None:
        if self.on_event is not None:
            same_as = None if trial is None else self.asked.same_as.get(trial.number)
            asked, ended = len(self.asked), len(self.outcomes)
            running = self.executor.outstanding
            seconds, details = (result.seconds, result.details) if result else (0.0, {})
            self.on_event(
                SearchEvent(
                    kind, asked, ended, self.told, running, self.elapsed_s, self.most, trial, same_as, seconds, details
                )
            )
