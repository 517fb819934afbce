"""A search loop around something small: an algorithm, an evaluator and an executor that do as they are told."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nasengine.execution import InProcess
from nasengine.objectives import parse_objectives
from nasengine.records import Architecture, Candidate, Job, Result, Trial
from nasengine.runs import Header, Journal, canonical_records
from nasengine.search.loop import SearchOutcome, run_search

OBJECTIVES = parse_objectives({"accuracy": "maximize"})


class Listed:
    """Proposes `x` = the numbers of a list, and keeps what it was told before each ask."""

    ends_after: int | None = None

    def __init__(self, values: Sequence[int]) -> None:
        self.values = list(values)
        self.told: list[Trial] = []
        self.told_before: list[list[int]] = []

    def ask(self, trial_number: int) -> Candidate | None:
        assert trial_number == len(self.told_before)
        self.told_before.append([trial.number for trial in self.told])
        if trial_number >= len(self.values):
            return None
        return Candidate(Architecture({"x": self.values[trial_number]}), tuple(self.told_before[-1][-1:]))

    def tell(self, trial: Trial) -> None:
        assert trial.number == len(self.told)
        self.told.append(trial)


class Evaluator:
    """Measures x / 100; `actions` maps a value of x to a function called before, which may raise or answer."""

    def __init__(self, actions: dict[int, Callable[[Job], Result | None]] | None = None) -> None:
        self.actions = actions or {}
        self.jobs: list[Job] = []

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            self.jobs.append(job)
            x = job.architecture["x"]
            answer = self.actions[x](job) if x in self.actions else None
            yield answer or Result(job.trial, "completed", {"accuracy": x / 100})


class Shuffling:
    """An executor of some capacity that ends its jobs in an order of its own: always the youngest, say."""

    def __init__(self, evaluator: Evaluator, capacity: int, pick: Callable[[int], int]) -> None:
        self.evaluator, self.capacity, self.pick = evaluator, capacity, pick
        self.waiting: list[Job] = []
        self.most = 0

    @property
    def outstanding(self) -> int:
        return len(self.waiting)

    def submit(self, job: Job) -> None:
        self.waiting.append(job)
        self.most = max(self.most, len(self.waiting))

    def results(self) -> Iterator[Result]:
        while self.waiting:
            job = self.waiting.pop(self.pick(len(self.waiting)))
            yield from self.evaluator.evaluate([job])

    def close(self) -> None:
        self.waiting.clear()

    def __enter__(self) -> "Shuffling":
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def search(
    folder: Path,
    algorithm: Listed,
    evaluator: Evaluator | Shuffling,
    *,
    trials: int | None = 12,
    lag: int = 3,
    **others: object,
) -> SearchOutcome:
    folder.mkdir(exist_ok=True)
    executor = evaluator if isinstance(evaluator, Shuffling) else InProcess(lambda: evaluator)
    header = Header("toy", "abc", {"x": []}, {"accuracy": "maximize"}, seed=1, lag=lag)
    with Journal(folder, header) as journal, executor:
        arguments: dict[str, object] = {"seed": 1, "budget": {"epochs": 2}, "objectives": OBJECTIVES, **others}
        return run_search(algorithm, executor, journal, trials=trials, lag=lag, **arguments)


def kinds(folder: Path) -> list[str]:
    return [f"{record['record']} {record['trial']}" for record in canonical_records(folder)]
