"""Placing jobs: in this process or in a pool of local ones. Knows no algorithm and no kind of evaluator."""

from nasengine.execution.executor import EvaluatesJobs, Executor, ExecutorType, MakeEvaluator, Share, on_cluster
from nasengine.execution.in_process import InProcess
from nasengine.execution.local_pool import LocalPool, leave_if_importing_main

EXECUTORS: dict[str, ExecutorType] = {
    "in_process": InProcess,
    "local": LocalPool,
}

__all__ = [
    "EXECUTORS",
    "EvaluatesJobs",
    "Executor",
    "ExecutorType",
    "InProcess",
    "LocalPool",
    "MakeEvaluator",
    "Share",
    "leave_if_importing_main",
    "on_cluster",
]
