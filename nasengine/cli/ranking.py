"""A ranking of trials as a table, each architecture in one short line. Free of torch, as `status` needs it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nasengine.cli.console import option
from nasengine.objectives import Objective
from nasengine.records import Architecture, Trial

PRICED = ("params", "macs")
LAST_NAME = re.compile(r"[^.]*(?:\.\d+)*$")


def ranking(trials: Sequence[Trial], objectives: Sequence[Objective]) -> tuple[list[str], list[list[object]]]:
    """Head and rows of a table of trials, best first; where some were stopped, with how far each was measured."""
    names = [objective.name for objective in objectives]
    names += [name for name in PRICED if name not in names and all(name in trial.measurements for trial in trials)]
    parts = any(not trial.completed for trial in trials)
    rows = [
        [
            rank,
            trial.number,
            *(trial.measurements[name] for name in names),
            *([trial.reason or "whole"] if parts else []),
            in_short(trial.architecture),
        ]
        for rank, trial in enumerate(trials, start=1)
    ]
    return ["rank", "trial", *names, *(["budget"] if parts else []), "architecture"], rows


def in_short(architecture: Architecture) -> str:
    """The options taken, under the last name of each path where that says enough; a number keeps the name before it."""
    paths = list(architecture)
    last = [LAST_NAME.findall(path)[0] for path in paths]
    names = last if len(set(last)) == len(last) else paths
    return " ".join(
        f"{name}={option(value).replace(' ', '')}" for name, value in zip(names, architecture.values(), strict=True)
    )
