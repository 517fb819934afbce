"""Schedulers: how much of its budget a candidate may spend, and which go on. Free of torch, like the algorithms.

Adding one: its file, one line in the table, and the contract tests try it with every algorithm.
"""

from nasengine.algorithms.schedulers.scheduler import Scheduler
from nasengine.algorithms.schedulers.successive_halving import SuccessiveHalving

SCHEDULERS: dict[str, type[Scheduler]] = {
    "successive_halving": SuccessiveHalving,
}

__all__ = ["SCHEDULERS", "Scheduler", "SuccessiveHalving"]
