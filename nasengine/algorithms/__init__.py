"""Algorithms: objects that are asked for candidates and told of trials. Free of torch; they see no network.

Adding one: its file, one line in the table, and the contract tests take it up.
"""

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.derived import Derived
from nasengine.algorithms.exhaustive import Exhaustive
from nasengine.algorithms.local_search import LocalSearch
from nasengine.algorithms.nsga2 import NSGA2
from nasengine.algorithms.optuna_samplers import NSGA3, TPE, CmaEs, GaussianProcess
from nasengine.algorithms.random_search import RandomSearch
from nasengine.algorithms.regularized_evolution import RegularizedEvolution

ALGORITHMS: dict[str, type[Algorithm]] = {
    "random_search": RandomSearch,
    "exhaustive": Exhaustive,
    "regularized_evolution": RegularizedEvolution,
    "tpe": TPE,
    "nsga3": NSGA3,
    "cma_es": CmaEs,
    "gp": GaussianProcess,
    "nsga2": NSGA2,
    "local_search": LocalSearch,
    "derived": Derived,
}

__all__ = [
    "ALGORITHMS",
    "NSGA2",
    "Algorithm",
    "Derived",
    "Exhaustive",
    "LocalSearch",
    "RandomSearch",
    "RegularizedEvolution",
]
