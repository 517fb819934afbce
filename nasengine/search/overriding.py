"""The arguments of a network that a phase changes: those that go with the space, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nasengine.build import build, check_overrides
from nasengine.build.module_call import NodeError
from nasengine.errors import InputError, Problem
from nasengine.search.language.settings import Phase, Strategy
from nasengine.space import SearchSpace


def check_network(space: SearchSpace, strategy: Strategy, phase: Phase) -> Iterator[Problem]:
    """What is wrong with a phase's `network:`, each at its place in the strategy."""
    path = f"phases.{phase.name}.network"
    for name, value in phase.network.items():
        for problem in _wrong(space, name, value):
            yield strategy.problem(f"{path}.{name}", problem.message, problem.expected)
    known = _known(space, phase)
    refused = _refused(space, known)
    if refused is not None:
        place = f"{path}.{next(iter(known))}" if len(known) == 1 else path
        yield strategy.problem(place, refused.message, refused.expected)


def sound_overrides(space: SearchSpace, phase: Phase) -> dict[str, Any]:
    """What of a phase's `network:` is right, for checks that go on."""
    known = _known(space, phase)
    return known if _refused(space, known) is None else {}


def _known(space: SearchSpace, phase: Phase) -> dict[str, Any]:
    return {name: value for name, value in phase.network.items() if not _wrong(space, name, value)}


def _wrong(space: SearchSpace, name: str, value: Any) -> tuple[Problem, ...]:
    """Why an argument cannot be replaced: the network has none of this name or kind, or it is searched."""
    try:
        check_overrides(space, {name: value})
    except InputError as error:
        return error.problems
    return ()


def _refused(space: SearchSpace, network: dict[str, Any]) -> Problem | None:
    """Why a constructor refuses arguments that the network has; they are tried together, as some need others."""
    if not network:
        return None
    try:
        build(space, space.sample(np.random.default_rng(0)), network=network, seed=0)
    except InputError as error:
        return error.problems[0]
    except NodeError as error:
        return error.problem
    return None
