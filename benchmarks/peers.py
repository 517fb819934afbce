"""pymoo's and Optuna's NSGA-II on rows of option indices: the named peers of our algorithms, set up alike.

Both minimize two losses over D choices of a few options each. Options have no order, so crossover is uniform and a
mutation takes any other option with the chance 1 / D, as ours does; duplicates are dropped where the peer can.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Evaluate = Callable[[NDArray[Any]], NDArray[np.float64]]  # (n, D) rows -> (n, d) losses


def pymoo_nsga2(
    sizes: NDArray[Any],
    evaluate: Evaluate,
    evaluations: int,
    *,
    seed: int,
    population: int,
    offspring: int | None = None,
    marks: list[tuple[int, float]] | None = None,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Every row that it evaluated, in order, and the losses of each.

    Args:
        sizes: (D,) options of each choice.
        evaluate: a whole generation at once.
        evaluations: the budget; what the last generation has beyond it is cut off.
        offspring: of a generation; None: as many as the population, which is what pymoo does unless told otherwise.
        marks: takes (evaluations so far, processor time) after each generation.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UX
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    rows: list[NDArray[Any]] = []
    points: list[NDArray[np.float64]] = []

    class Choices(Problem):
        def __init__(self) -> None:
            super().__init__(n_var=len(sizes), n_obj=2, xl=0, xu=np.asarray(sizes) - 1, vtype=int)

        def _evaluate(self, x: NDArray[Any], out: dict[str, Any], *args: object, **kwargs: object) -> None:
            found = np.asarray(x).astype(int)
            out["F"] = evaluate(found)
            rows.append(found)
            points.append(out["F"])
            if marks is not None:
                marks.append((sum(map(len, rows)), time.process_time()))

    class AnyOther(Mutation):
        def _do(self, problem: Problem, x: NDArray[Any], *args: object, random_state: Any, **kwargs: object) -> Any:
            chosen = random_state.random(x.shape) < self.get_prob_var(problem, size=len(x))[:, None]  # 1 / D
            count = problem.xu - problem.xl + 1
            step = 1 + (random_state.random(x.shape) * (count - 1)).astype(int)
            return np.where(chosen, (x + step) % count, x)

    algorithm = NSGA2(
        pop_size=population, n_offsprings=offspring, sampling=IntegerRandomSampling(), crossover=UX(),
        mutation=AnyOther(), eliminate_duplicates=True,
    )  # fmt: skip
    minimize(Choices(), algorithm, ("n_evals", evaluations), seed=seed, verbose=False)
    return np.concatenate(rows)[:evaluations], np.concatenate(points)[:evaluations]


def optuna_nsga2(
    sizes: NDArray[Any],
    evaluate: Evaluate,
    evaluations: int,
    *,
    seed: int,
    population: int,
    marks: list[tuple[int, float]] | None = None,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The same through `NSGAIISampler` and ask and tell, in memory; with one column of losses it has one objective.

    Args:
        marks: takes (evaluations so far, processor time) after each trial.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental arguments
        sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
    spread = {f"c{i}": optuna.distributions.CategoricalDistribution(tuple(range(n))) for i, n in enumerate(sizes)}
    names = list(spread)
    objectives = evaluate(np.zeros((1, len(sizes)), dtype=int)).shape[1]
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    rows, points = [], []
    for _ in range(evaluations):
        trial = study.ask(spread)
        row = np.array([trial.params[name] for name in names])
        point = evaluate(row[None])[0]
        study.tell(trial, point.tolist())
        rows.append(row)
        points.append(point)
        if marks is not None:
            marks.append((len(rows), time.process_time()))
    return np.array(rows), np.array(points)
