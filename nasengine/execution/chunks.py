"""How many jobs travel in one call to a worker, and as which text.

A call costs about a millisecond whatever is in it, so jobs that take microseconds go by the hundred and jobs that
take minutes one by one. The size is learnt from the calls so far, upwards by doubling only.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Iterable, Sequence

from nasengine.execution.executor import EvaluatesJobs, measure
from nasengine.records import Job, Result

CALL_S = 0.1  # of work that a call should hold
HOLD_S = 0.5  # a call that has taken this long begins no further job and gives back the rest
LONG_S = 0.25  # a worker whose jobs take longer is given one call at a time
MOST = 1000  # jobs in a call


class ChunkSize:
    """How many jobs are worth a call, and how many calls a worker should have before it.

    Args:
        group: so many at least: an evaluator measures them together faster than one by one.
    """

    def __init__(self, group: int = 1) -> None:
        self.group = self.jobs = group
        self._job_s: float | None = None

    @property
    def calls(self) -> int:
        """One, or two where waiting for the next would take longer than the work; a second would split a group."""
        return 2 if self.group == 1 and self._job_s is not None and self._job_s < LONG_S else 1

    def learn(self, jobs: int, seconds: float) -> None:
        """A call of so many jobs took so long on the worker. Jobs that take longer than before are believed at once."""
        job_s = seconds / jobs
        known = self._job_s
        self._job_s = job_s if known is None or job_s > known else 0.7 * known + 0.3 * job_s
        wanted = MOST if self._job_s * MOST <= CALL_S else math.floor(CALL_S / self._job_s)
        self.jobs = max(self.group, min(wanted, 2 * self.jobs))

    def share(self, waiting: int, calls: int) -> int:
        """How many of the waiting jobs go in the next call, if so many calls can be made now."""
        return min(self.jobs, math.ceil(waiting / max(1, calls)))


def encode(jobs: Iterable[Job]) -> str:
    """Jobs as JSON text."""
    return json.dumps([job.to_json() for job in jobs])


def decode(answer: str) -> tuple[list[Result], float]:
    """The results in an answer, and how long the worker took."""
    record = json.loads(answer)
    return [Result.from_json(result) for result in record["results"]], float(record["seconds"])


def answer(evaluator: EvaluatesJobs, chunk: str, group: int = 1) -> str:
    """What a worker does with a chunk: measure its jobs in their order for HOLD_S at most, but at least one of them.

    Where groups are measured together, each that was begun is finished.

    Jobs without a result in the answer were not begun.
    """
    began = time.perf_counter()
    jobs: Sequence[Job] = [Job.from_json(record) for record in json.loads(chunk)]
    results = []
    together = [jobs] if group == 1 else [jobs[first : first + group] for first in range(0, len(jobs), group)]
    for result in itertools.chain.from_iterable(measure(evaluator, some) for some in together):
        results.append(result.to_json())
        if len(results) % group == 0 and time.perf_counter() - began > HOLD_S:
            break
    return json.dumps({"results": results, "seconds": time.perf_counter() - began}, default=str)
