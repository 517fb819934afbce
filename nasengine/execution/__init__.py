"""Placing jobs: in this process, in a pool of local ones, on a cluster. Knows no algorithm and no kind of evaluator."""

from nasengine.execution.executor import EvaluatesJobs, Executor, ExecutorType, MakeEvaluator, Share, on_cluster
from nasengine.execution.in_process import InProcess
from nasengine.execution.local_pool import LocalPool, leave_if_importing_main
from nasengine.execution.ray_cluster import RayCluster

EXECUTORS: dict[str, ExecutorType] = {
    "in_process": InProcess,
    "local": LocalPool,
    "ray": RayCluster,
}

__all__ = [
    "EXECUTORS",
    "EvaluatesJobs",
    "Executor",
    "ExecutorType",
    "InProcess",
    "LocalPool",
    "MakeEvaluator",
    "RayCluster",
    "Share",
    "leave_if_importing_main",
    "on_cluster",
]
