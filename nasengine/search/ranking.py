"""`rank`: how far the rankings of runs agree with what their architectures are truly worth: a table, or another run."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasengine.agreement import LEVEL, MOST_SAMPLES, SAMPLES
from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.evaluators.tabular import find_table
from nasengine.objectives import Objective
from nasengine.records import Architecture, Trial
from nasengine.search.agreeing import MACS, Ranking, Truth, agree, truth_of
from nasengine.search.language.settings import SearchPhase
from nasengine.search.language.sources import reads_weights
from nasengine.search.retrained import Spread, spread_of
from nasengine.search.run_file import NAME as RUN_FILE
from nasengine.search.run_view import Run
from nasengine.search.searching import RANKING, all_constraints
from nasengine.search.tabled import load_for
from nasengine.wording import in_words

MEAN = "mean of the runs' measurements"


@dataclass(frozen=True)
class RankAgreement:
    """What `rank` finds.

    Args:
        table: name of the table, `size` of how many architectures.
        space: that all is about.
        objective: what the runs ranked by.
        truth: the measurement of the table that it is held against.
        runs: each ranking, in the order given.
        together: the ranking by the mean over the runs of what they measured; None for one run, or where fewer than
            two architectures were measured by all.
        spreads: figure -> its mean and deviation over the runs; `winner` is the truth of the first of each.
        samples, seed: of the bootstrap that the intervals are from.
        caution: why the truth is none of networks trained alone, in a line; empty where nothing says so.
        unfinished: folders of runs, the one that is the truth too, whose search goes on or was broken off: they count
            with what they have measured so far.
    """

    table: str
    size: int
    space: str
    objective: str
    truth: str
    runs: tuple[Ranking, ...]
    together: Ranking | None
    spreads: Mapping[str, Spread]
    samples: int
    seed: int
    caution: str = ""
    unfinished: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, the same for the same runs."""
        return {
            "table": self.table,
            "size": self.size,
            "space": self.space,
            "objective": self.objective,
            "truth": self.truth,
            "caution": self.caution,
            "unfinished": list(self.unfinished),
            "interval": {"level": LEVEL, "over": "architectures", "samples": self.samples, "seed": self.seed},
            "runs": [ranking.to_json() for ranking in self.runs],
            "together": self.together and self.together.to_json(),
            "spreads": {
                name: {"n": spread.n, "mean": spread.mean, "deviation": spread.deviation}
                for name, spread in self.spreads.items()
            },
        }


@dataclass(frozen=True, eq=False)
class _Measured:
    """What a run has measured, and what it needs for being ranked."""

    run: Run
    phase: SearchPhase
    objective: Objective
    trials: Sequence[Trial] = field(repr=False)

    @property
    def values(self) -> dict[Architecture, float]:
        return {trial.architecture: trial.measurements[self.objective.name] for trial in self.trials}

    @property
    def macs(self) -> dict[Architecture, float] | None:
        """Those that the run has counted itself."""
        if not all(MACS in trial.measurements for trial in self.trials):
            return None
        return {trial.architecture: trial.measurements[MACS] for trial in self.trials}

    @property
    def finished(self) -> bool:
        """Whether the search has ended."""
        return (self.run.folder / self.phase.name / RANKING).is_file()


def rank(
    runs: Run | str | Path | Iterable[Run | str | Path],
    *,
    table: str | Path,
    phase: str | None = None,
    objective: str | None = None,
    truth: str | None = None,
    data_dir: str | Path | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> RankAgreement:
    """How far what runs measured agrees with a table of what their architectures are truly worth.

    Args:
        runs: one or several of one space, or their folders; done or not. Of each, the trials count that were measured
            whole, every architecture once.
        table: a CSV file, a description of one, or the name of a shipped table; or the folder of a run whose trials
            are the truth, such as one of `brute_force`.
        phase: which search phase; None: the last.
        objective: what the runs ranked by; None: the first objective of the first run.
        truth: which measurement of the table is true; None: the one called as the objective, or what that names.
        data_dir: where the table's files lie, if not beside its description.
        samples, seed: of the bootstrap over architectures that the intervals are from; at most 1,000,000 samples.

    Raises:
        InputError: a folder that is no run, runs of different spaces, a table that does not fit, a name that is not
            there, or fewer than two architectures that are in both.
    """
    given = list(runs) if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    opened = [one if isinstance(one, Run) else Run(one) for one in given]
    _check(opened, table, data_dir, samples, seed)
    measured = [_measured(run, phase, objective) for run in opened]
    first = measured[0]
    _check_same(measured)
    space = first.run.space
    looked_at = list(measured)
    if (Path(table) / RUN_FILE).is_file():
        theirs = _measured_truth(Run(table), first, truth)
        looked_at.append(theirs)
        known = _truth_of_run(theirs)
    else:
        find_table(str(table), or_else="the folder of a run")  # that there is one
        folder = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
        tabulated = load_for(str(table), space, folder or first.run.settings.data_folder)
        known = truth_of(space, tabulated, first.objective, truth)
    rankings = tuple(_ranking(one, known, samples, seed) for one in measured)
    return RankAgreement(
        table=known.table,
        size=len(known.values),
        space=space.name,
        objective=first.objective.name,
        truth=known.name,
        runs=rankings,
        together=_together(measured, known, samples, seed) if len(measured) > 1 else None,
        spreads=_spreads(rankings),
        samples=samples,
        seed=seed,
        caution=known.caution,
        unfinished=tuple(dict.fromkeys(str(one.run.folder) for one in looked_at if not one.finished)),
    )


def _measured_truth(run: Run, first: _Measured, name: str | None) -> _Measured:
    """The trials of a run that are to be the truth.

    Raises:
        InputError: it searches another space, has not measured this, or nothing yet.
    """
    if run.space != first.run.space:
        raise InputError(f"{run.folder} searches {run.space.name}, another space than {first.run.folder}")
    return _measured(run, None, first.objective.name if name is None else name)


def _truth_of_run(theirs: _Measured) -> Truth:
    """What the trials of a run have measured, as truth."""
    names = set.intersection(*(set(trial.measurements) for trial in theirs.trials))
    measured = {name: {t.architecture.key: t.measurements[name] for t in theirs.trials} for name in sorted(names)}
    run, objective = theirs.run, theirs.objective
    return Truth(
        run.space,
        str(run.folder),
        objective.name,
        objective.direction,
        measured[objective.name],
        measured,
        _caution(run, theirs.phase),
    )


def _caution(run: Run, phase: SearchPhase) -> str:
    """Why the measurements of a phase are not what its architectures reach alone."""
    if reads_weights(phase):
        return f"{run.folder} has scored with the weights of a supernet: no network in it was trained alone"
    if phase.evaluator is not None and phase.evaluator.start is not None:
        return f"{run.folder} has trained its networks from the weights of a supernet, not from weights of their own"
    return ""


def _check(runs: Sequence[Run], table: Any, data_dir: Any, samples: Any, seed: Any) -> None:
    if not runs:
        raise InputError("nothing to rank: expected at least one run")
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise InputError("a run is named twice: expected each once")
    problems = []
    if not isinstance(table, str | os.PathLike):
        expected = "expected a CSV file, a description of one, a shipped table's name (pooling36), or a run"
        problems.append(Problem(f"table is {in_words(table)}", expected=expected))
    if data_dir is not None and not isinstance(data_dir, str | os.PathLike):
        problems.append(Problem(f"data_dir is {in_words(data_dir)}", expected="expected a folder, or None"))
    for name, value, least, most in (("samples", samples, 1, MOST_SAMPLES), ("seed", seed, 0, math.inf)):
        if not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
            upward = f" to {most:,}" if most < math.inf else ""
            expected = f"expected a whole number from {least}{upward}"
            problems.append(Problem(f"{name} is {in_words(value)}", expected=expected))
    if problems:
        raise InputError(problems)


def _measured(run: Run, phase: str | None, objective: str | None) -> _Measured:
    """The trials of a run that can be ranked.

    Raises:
        InputError: no such phase or objective, or nothing measured yet.
    """
    phases = {one.name: one for one in run.strategy.phases if isinstance(one, SearchPhase)}
    if not phases:
        raise InputError(Problem(f"{run.folder} searches nothing", expected="expected a run with a search phase"))
    name = list(phases)[-1] if phase is None else phase
    if name not in phases:
        expected = f"expected {one_of(phases)}{nearest(name, phases)}"
        raise InputError(Problem(f"{run.folder} has no search phase {name!r}", expected=expected))
    objectives = {one.name: one for one in run.strategy.objectives}
    wanted = next(iter(objectives)) if objective is None else objective
    if wanted not in objectives:
        expected = f"expected {one_of(objectives)}{nearest(wanted, objectives)}"
        raise InputError(Problem(f"{run.folder} has no objective {wanted!r}", expected=expected))
    trials: dict[Architecture, Trial] = {}
    for trial in run.trials_of(name):
        if trial.completed and wanted in trial.measurements:
            trials.setdefault(trial.architecture, trial)
    if not trials:
        found = f"{run.folder} has no trial that was measured whole"
        raise InputError(Problem(found, expected=f"expected a run whose phase {name} has measured architectures"))
    return _Measured(run, phases[name], objectives[wanted], tuple(trials.values()))


def _check_same(measured: Sequence[_Measured]) -> None:
    first = measured[0]
    problems = [
        Problem(f"{one.run.folder} searches {one.run.space.name}, another space than {first.run.folder}")
        for one in measured
        if one.run.space != first.run.space
    ]
    problems += [
        Problem(
            f"{one.run.folder} ranks by {one.objective.name}, {first.run.folder} by {first.objective.name}",
            expected="expected the same in all: --objective NAME",
        )
        for one in measured
        if one.objective != first.objective
    ]
    if problems:
        raise InputError(problems)


def _ranking(measured: _Measured, truth: Truth, samples: int, seed: int) -> Ranking:
    return agree(
        measured.values,
        truth,
        name=str(measured.run.folder),
        direction=measured.objective.direction,
        seed=measured.run.settings.seed,
        bounds=all_constraints(measured.run.space, measured.run.strategy),
        macs=measured.macs,
        network=measured.phase.network or None,
        samples=samples,
        bootstrap_seed=seed,
    )


def _together(measured: Sequence[_Measured], truth: Truth, samples: int, seed: int) -> Ranking | None:
    """The ranking by the mean of what the runs measured, of the architectures that all of them did."""
    first, values = measured[0], [one.values for one in measured]
    common = [one for one in values[0] if all(one in other for other in values)]
    if sum(one.key in truth.values for one in common) < 2:
        return None
    return agree(
        {one: math.fsum(other[one] for other in values) / len(values) for one in common},
        truth,
        name=MEAN,
        direction=first.objective.direction,
        bounds=all_constraints(first.run.space, first.run.strategy),
        macs=first.macs,
        network=first.phase.network or None,
        samples=samples,
        bootstrap_seed=seed,
    )


def _spreads(rankings: Sequence[Ranking]) -> dict[str, Spread]:
    """Each figure over the runs that have it, and the truths of their winners."""
    values: dict[str, list[float]] = {"winner": [ranking.winner.truth for ranking in rankings]}
    for ranking in rankings:
        for name, figure in ranking.agreement.figures.items():
            if figure.value is not None:
                values.setdefault(name, []).append(figure.value)
    return {name: spread_of(found) for name, found in values.items()}
