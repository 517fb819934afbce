"""What a strategy says, once read: a tree of frozen dataclasses that knows no file and starts nothing.

    Strategy ── DataSettings, Objective, Constraint
        └─ phases: PreparePhase | SearchPhase | RetrainPhase, in order, each with a Budget and Components

`plain()` of any of them gives the same as YAML values, defaults written out; that is what run.yaml keeps, and
`strategy.strategy_from_mapping` reads it back to an equal object. A Component is a `type:` with its arguments:
an algorithm, an evaluator, an optimizer. Its arguments were checked against the constructor's signature when the
strategy was read; they stay plain values here, since a worker process rebuilds the object itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from nasengine.errors import Mark, Problem
from nasengine.objectives import Constraint, Objective

Plain: TypeAlias = Any  # a YAML value: scalar, list, or mapping with words as keys

DEFAULT_LAG = 16
OVERRIDE = "--set "  # the file name in the mark of what an override brought in begins so


@dataclass(frozen=True, slots=True)
class Component:
    """A registered type and the arguments it is to be made with."""

    type: str
    settings: Mapping[str, Plain] = field(default_factory=dict)

    def plain(self) -> dict[str, Plain]:
        return {"type": self.type, **self.settings}


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent, unit -> amount, every unit in its basic form (hours have become seconds).

    Args:
        amounts: for example {"epochs": 20, "steps_per_epoch": 250}, {"trials": 30}, {"seconds": 7200}.
        per_model: the amounts are for each model of a mixture, not for all of them together.
    """

    amounts: Mapping[str, float]
    per_model: bool = False

    def plain(self) -> dict[str, Plain]:
        return {unit: {"per_model": amount} if self.per_model else amount for unit, amount in self.amounts.items()}


@dataclass(frozen=True, slots=True)
class DataSettings:
    """How the training part of the data set is split and shown.

    Args:
        name: of a data set; None leaves it to the run (`--data`).
        validation: share of the training images that is held out and scores a candidate.
        held_out_per_class: so many images of each class are held out instead of a share.
        limit: so many training images are used at all, of all classes alike; None: all.
        batch: images in a batch.
        augmentation: a component, or a list of components to be applied in turn, as plain values; None for none.
        seed: of the split; the same for every trial and every run of the strategy.
    """

    name: str | None = None
    validation: float = 0.2
    held_out_per_class: int | None = None
    limit: int | None = None
    batch: int = 128
    augmentation: Plain = None
    seed: int = 0

    def plain(self) -> dict[str, Plain]:
        """Every setting that has a value."""
        held_out = "validation" if self.held_out_per_class is None else "held_out_per_class"
        return {
            **_given(name=self.name),
            held_out: getattr(self, held_out),
            "batch": self.batch,
            **_given(limit=self.limit, augmentation=self.augmentation),
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class EvaluatorSettings:
    """How candidates are measured.

    Args:
        component: the evaluator's type and constructor arguments.
        budget: of one trial; None for an evaluator that trains nothing.
        start: an earlier phase whose weights every trial starts from.
    """

    component: Component
    budget: Budget | None = None
    start: str | None = None

    def plain(self) -> dict[str, Plain]:
        return {**self.component.plain(), **_given(budget=_plain(self.budget), start=self.start)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What the three kinds of phases share.

    Args:
        name: unique in the strategy; also the folder RUN/<name>/ of what the phase leaves.
        budget: of the whole phase.
        origins: names of the earlier phases whose artifacts it uses, or paths RUN/<phase> in another run.
        data: the strategy's data settings with this phase's changes.
        network: arguments of the space's network that no choice decides, changed for this phase only.
    """

    kind: ClassVar[str]

    name: str
    budget: Budget | None = None
    origins: tuple[str, ...] = ()
    data: DataSettings = DataSettings()
    network: Mapping[str, Plain] = field(default_factory=dict)

    def _common(self) -> dict[str, Plain]:
        origins: Plain = list(self.origins) if len(self.origins) > 1 else next(iter(self.origins), None)
        return {
            "name": self.name,
            "data": {key: value for key, value in self.data.plain().items() if key != "name"},
            **_given(**{"from": origins}, network=dict(self.network) or None, budget=_plain(self.budget)),
        }

    def plain(self) -> dict[str, Plain]:
        raise TypeError(f"{type(self).__name__} is no phase of its own")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePhase(Phase):
    """Something trained or measured before the search: shared weights, sensitivities.

    Args:
        trainer: what does it, with its own settings (sampler, optimizer, schedule, loss and more).
    """

    kind: ClassVar[str] = "prepare"

    trainer: Component

    def plain(self) -> dict[str, Plain]:
        return {**self._common(), "trainer": self.trainer.type, **self.trainer.settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPhase(Phase):
    """Candidates asked for, measured, told.

    Args:
        algorithm: what proposes candidates.
        scheduler: decides how much of its budget each candidate gets; None: every one all of it.
        evaluator: what measures them; None for an algorithm that reads its answer off an artifact.
        require: conditions on the artifacts of `origins`.
    """

    kind: ClassVar[str] = "search"

    algorithm: Component
    scheduler: Component | None = None
    evaluator: EvaluatorSettings | None = None
    require: Mapping[str, Plain] = field(default_factory=dict)

    def plain(self) -> dict[str, Plain]:
        return {
            **self._common(),
            "algorithm": self.algorithm.plain(),
            **_given(scheduler=_plain(self.scheduler), evaluator=_plain(self.evaluator)),
            **_given(require=dict(self.require) or None),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainPhase(Phase):
    """What was found, trained properly, and the test part read once.

    Args:
        best: so many of the architectures of the search phase before it (or of `origins`).
        seeds: so many trainings of each, with independent seeds.
        architecture: this one instead of the best: "known.NAME", "trial.NUMBER", or choice -> option.
        start: an earlier phase whose weights the training starts from.
        when: always, or only if a prepare phase did not converge.
        quantization: none trains in floating point whatever the space says; fake as the space says.
        trainer: what trains; the plain training loop unless something else is named.
    """

    kind: ClassVar[str] = "retrain"

    best: int = 1
    seeds: int = 1
    architecture: str | Mapping[str, Plain] | None = None
    start: str | None = None
    when: Literal["always", "not_converged"] = "always"
    quantization: str | None = None
    trainer: Component

    def plain(self) -> dict[str, Plain]:
        architecture = dict(self.architecture) if isinstance(self.architecture, Mapping) else self.architecture
        return {
            **self._common(),
            "seeds": self.seeds,
            "when": self.when,
            "trainer": self.trainer.type,
            **self.trainer.settings,
            **({"best": self.best} if architecture is None else {"architecture": architecture}),
            **_given(start=self.start, quantization=self.quantization),
        }


@dataclass(frozen=True, slots=True)
class Strategy:
    """How to search: a strategy file, read and checked.

    Args:
        name, about, source: for people.
        data: what every phase uses unless it says otherwise.
        objectives: at least one, in the order of the file; the first ranks where one ranking is needed.
        constraints: bounds on costs that the strategy adds to the space's own.
        phases: in the order in which they run.
        lag: trial k of a search is asked once the trials up to k - lag are told, and sees exactly those.
        file: where it was read from; `marks` (dotted path -> place) and `lines` serve messages only.
    """

    name: str
    data: DataSettings
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    phases: tuple[Phase, ...]
    lag: int = DEFAULT_LAG
    about: str = ""
    source: str = ""
    file: str = field(default="", compare=False)
    marks: Mapping[str, Mark] = field(default_factory=dict, compare=False, repr=False)
    lines: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def phase(self, name: str) -> Phase:
        """The phase called `name` (KeyError if there is none)."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    def plain(self) -> dict[str, Plain]:
        """The whole strategy as YAML values, every default written out."""
        bounds = {bound.name: _given(min=bound.low, max=bound.high) for bound in self.constraints}
        objectives: dict[str, Plain] = {
            objective.name: {"direction": objective.direction, **bounds.pop(objective.name)}
            if objective.name in bounds
            else objective.direction
            for objective in self.objectives
        }
        return {
            "name": self.name,
            **({"about": self.about} if self.about else {}),
            **({"source": self.source} if self.source else {}),
            "data": self.data.plain(),
            "objectives": {**objectives, **bounds},
            "lag": self.lag,
            "phases": [{phase.kind: phase.plain()} for phase in self.phases],
        }

    def problem(self, path: str, message: str, expected: str = "") -> Problem:
        """A problem with what stands at `path` ("phases.0.budget"), or at the nearest place above it."""
        while path and path not in self.marks:
            path = path.rpartition(".")[0]
        mark = self.marks.get(path)
        if mark is not None and mark.file.startswith(OVERRIDE):
            return Problem(f"{mark.file}: {message}", None, expected)
        line = self.lines[mark.line - 1] if mark and 0 < mark.line <= len(self.lines) else ""
        return Problem(message, mark, expected, line)


def _plain(value: Budget | Component | EvaluatorSettings | None) -> dict[str, Plain] | None:
    return None if value is None else value.plain()


def _given(**values: Plain) -> dict[str, Plain]:
    """Only the values that are there."""
    return {key: value for key, value in values.items() if value is not None}
