"""What a report is made from: plain records of a run, taken from its folder by `search.reporting`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nasengine.objectives import Objective
from nasengine.records import Architecture, Trial
from nasengine.space import SearchSpace


@dataclass(frozen=True)
class Searched:
    """A search phase.

    Args:
        name: of the phase.
        about: how it searches: (what, words).
        ended: what ended it, or that it goes on, in words.
        trials: every one whose outcome is known, by number.
        ranked: the completed ones, best first, each architecture once; while there is none, the stopped ones.
        asked: how many were begun; `reused` of them took the outcome of an equal earlier one.
        seconds: trial -> how long measuring it took; `ended_s` trial -> wall time of the phase when it ended.
        details: trial -> what its evaluator tells people (traceback, curve).
        elapsed_s: wall time of the whole phase.
    """

    name: str
    about: Sequence[tuple[str, str]] = ()
    ended: str = ""
    trials: Sequence[Trial] = ()
    ranked: Sequence[Trial] = ()
    asked: int = 0
    reused: int = 0
    seconds: Mapping[int, float] = field(default_factory=dict)
    ended_s: Mapping[int, float] = field(default_factory=dict)
    details: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """A prepare phase.

    Args:
        name: of the phase.
        about: what it did: (what, words).
        epochs: a record `{epoch, loss, …}` for each; of a mixture also `owners` and `scores`, the model of each
            configuration and its score there, and `certainty`, the mean of the largest probability.
        configurations: what a mixture assigned to models; none in a training without.
        probabilities, visits: of each configuration and model: of the assignment in the end, and steps trained.
        truth: what configurations are worth, larger is better; `truth_is` says whence.
    """

    name: str
    about: Sequence[tuple[str, str]] = ()
    epochs: Sequence[Mapping[str, Any]] = ()
    configurations: Sequence[Architecture] = ()
    probabilities: Sequence[Sequence[float]] = ()
    visits: Sequence[Sequence[float]] = ()
    truth: Mapping[Architecture, float] = field(default_factory=dict)
    truth_is: str = ""


@dataclass(frozen=True)
class Trained:
    """An architecture that a retrain phase trained, all its seeds together.

    Args:
        phase, label: RUN/<phase>/<label>-seed-N are its folders.
        architecture: what was trained; `trial` its number in the search.
        budget: in words.
        figures: measurement -> mean ± deviation, in words.
        failed: (name, reason) of trainings that failed.
        curves: of each training that completed, one record `{epoch, loss, …}` per epoch.
    """

    phase: str
    label: str
    architecture: Architecture
    trial: int | None = None
    budget: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    failed: Sequence[tuple[str, str]] = ()
    curves: Sequence[Sequence[Mapping[str, Any]]] = ()


@dataclass(frozen=True)
class Winner:
    """The architecture that the run ends with, and the arguments of the network that its last training changed."""

    architecture: Architecture
    what: str
    network: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run.

    Args:
        title: of the page; `state` a line on where the run stands.
        folder: of the run, as the commands that follow name it.
        space, objectives: what was searched, and for what.
        summary: what, words: strategy, data, seed and so on.
        prepared: the prepare phases in order.
        searches: the search phases in order.
        trained: what retrain phases trained, in order.
        winner: None where nothing has completed.
        known: name -> measurements and costs that are known of the space's named architectures.
        repeat: what, words: command, versions, commit and so on.
        command: that began the run.
        again: commands that go on from here: (what for, command).
        files: (name, what it holds) of what lies in the run's folder.
        texts: title -> text of the resolved strategy and space.
    """

    title: str
    state: str
    folder: str
    space: SearchSpace
    objectives: Sequence[Objective]
    summary: Sequence[tuple[str, str]] = ()
    prepared: Sequence[Prepared] = ()
    searches: Sequence[Searched] = ()
    trained: Sequence[Trained] = ()
    winner: Winner | None = None
    known: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    repeat: Sequence[tuple[str, str]] = ()
    command: str = ""
    again: Sequence[tuple[str, str]] = ()
    files: Sequence[tuple[str, str]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
