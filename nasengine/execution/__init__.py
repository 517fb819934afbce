"""Placing jobs: in this process or in a pool of local ones. Knows no algorithm and no kind of evaluator."""

from nasengine.execution.executor import EvaluatesJobs, Executor, MakeEvaluator
from nasengine.execution.in_process import InProcess
from nasengine.execution.local_pool import LocalPool

EXECUTORS: dict[str, type[InProcess] | type[LocalPool]] = {
    "in_process": InProcess,
    "local": LocalPool,
}

__all__ = ["EXECUTORS", "EvaluatesJobs", "Executor", "InProcess", "LocalPool", "MakeEvaluator"]
