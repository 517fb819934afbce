"""Balanced mixture of supernets: configurations are drawn as ever, the model that trains each is learned.

Filters that serve one configuration can harm another that shares them. So there are M whole sets of weights, and a
matrix of scores says how well each does with each configuration on held-out images. A sharpening softmax of a
configuration's scores draws its model; without more, one model would do a little better, train more and in the end
own everything, so the assignment is scaled until all models have the same share.

Shapes:  C configurations   M models
Source: [BMS] Javan Roshtkhari, Toews, Pedersoli, "Balanced Mixture of SuperNets for Learning the CNN Pooling
              Architecture", AutoML 2023, arXiv:2306.11982
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from nasengine.algorithms.supernet_samplers.balancing import MOST_ITERATIONS, Balanced, Matrix, balance
from nasengine.algorithms.supernet_samplers.likeness import changes_apart
from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler
from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.domain import Domain
from nasengine.wording import plural

Assignment = Literal["balanced", "unbalanced", "fixed", "in_order"]

MOST_CONFIGURATIONS = 10_000
MOST_GONE_THROUGH = 1_000_000  # architectures, to find those that keep the constraints
MOST_SMOOTHED = 2_048
MOST_RECORDED = 2_048  # configurations, of which the history keeps two numbers each epoch
OPTIMISTIC = 1.0  # the score of what was never tried: no accuracy is above it


class BalancedMixture(SupernetSampler):
    """M sets of weights, each trained on a family of configurations that it finds for itself [BMS].

    A step draws a configuration from the domain, its model by P(model | configuration), trains that pair alone and
    then moves the pair's score towards the accuracy that it has on held-out images. P is the softmax of the scores
    times an inverse temperature that rises linearly from epoch to epoch, balanced so that each model has the same
    share of all configurations. As in the authors' program, the marginals by which it is balanced are found at the
    beginning of an epoch and applied to the scores of the moment all through it.

    With one model it draws exactly what `single_path` draws. The task's first metric must be a share of images, at
    best 1, as accuracy is. Each model sees its M-th part of the steps, so M models need M times the epochs:
    `budget: {epochs: {per_model: 100}}`.

    With `together` the models begin as one: it alone is trained for a part of the epochs, as `single_path` does, then
    all others begin as copies of it. Models that begin from different weights are of different worth, so that the
    score of an architecture says as much about its model as about itself; copies are alike until they specialise.

    Differs from the paper: balanced on logarithms in double precision. Shares count every configuration alike also
    where the space's sampling weights do not.

    Args:
        models: how many sets of weights.
        temperature: factor of the scores in the first epoch and in the last; the larger, the harder the assignment.
            Further values in between are reached at equal distances: `[1, 80, 80, 200]` rests in the middle third.
            With `together` the first epoch is that of the parting: before it there is nothing to assign.
        momentum: of the scores; the part that an observation leaves as it was.
        tolerance: the divergence of the models' shares from equal ones (in nats) at which balancing ends.
        assignment: `balanced`, as published. To see what balance and learning are good for: `unbalanced`, the softmax
            alone; `fixed`, configurations dealt to the models by lot, once, in equal numbers; `in_order`, neighbours
            in the order of the space to one model.
        smoothing: how many small changes (`likeness.py`) away a configuration's scores still count for its neighbours:
            the assignment goes by means of scores, weighted by exp(-changes / smoothing). Less noise, so that a
            sharper temperature pays. Not in the paper; null: each configuration for itself.
        together: share of the epochs in the beginning, to whole epochs, in which there is one model only; it counts
            in the budget. What is observed then is the score of a configuration on every model. Not in the paper,
            whose models, with 0, begin from different random weights.
    """

    observes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        domain: Domain,
        models: int = 4,
        temperature: Sequence[float] = (1.0, 100.0),
        momentum: float = 0.9,
        tolerance: float = 1e-4,
        assignment: Assignment = "balanced",
        smoothing: float | None = None,
        together: float = 0.0,
    ) -> None:
        _check(models, temperature, momentum, tolerance, smoothing, together)
        self.domain = domain
        self.models = models
        self.temperature = tuple(map(float, temperature))
        self.momentum = momentum
        self.tolerance = tolerance
        self.assignment = assignment
        self.together = together
        self.configurations = _listed(domain)
        unused = models - len(self.configurations)
        if unused > 0:
            many = f"balanced_mixture trains {models} models for {plural(len(self.configurations), 'architecture')}"
            self.note = f"{many}, each scored by one: at least {plural(unused, 'model')} will score none"
        self._index = {architecture: index for index, architecture in enumerate(self.configurations)}
        size = (len(self.configurations), models)
        self._scores: Matrix = np.full(size, OPTIMISTIC)
        self._visits = np.zeros(size, dtype=np.int64)
        self._weights: Matrix | None = None  # (C, C) of the scores of others, where they are smoothed
        if smoothing is not None:
            self._weights = _weights(domain, self.configurations, smoothing)
        self._inverse_temperature = self.temperature[0]
        self._columns = [0.0] * models
        self._parted = together == 0  # until then all belongs to model 0
        self._dealt: list[int] | None = None  # the model of each configuration, where it is not learned
        if assignment == "in_order":
            self._dealt = [place * models // len(self.configurations) for place in range(len(self.configurations))]

    def begin_epoch(self, moment: Moment) -> None:
        parting = self._parting(moment)
        self._parted = moment.epoch >= parting
        # At the parting the scores of a configuration are the same on all models. A schedule that had begun before
        # would be sharp by then, and would assign by the noise of the first few observations.
        since, epochs = max(0, moment.epoch - parting), moment.epochs - parting
        way = (len(self.temperature) - 1) * since / max(1, epochs - 1)  # in steps between two values
        at = min(int(way), len(self.temperature) - 2)
        before, after = self.temperature[at : at + 2]
        self._inverse_temperature = before + (after - before) * (way - at)
        self._columns = self._balanced().columns.tolist()

    def begins_as(self, moment: Moment) -> Mapping[int, int]:
        parts = self.together > 0 and moment.epoch == self._parting(moment)
        return dict.fromkeys(range(1, self.models), 0) if parts else {}

    def _parting(self, moment: Moment) -> int:
        """The epoch from which there are all models; there is one at least."""
        return min(round(self.together * moment.epochs), moment.epochs - 1)

    def draw(self, moment: Moment, rng: np.random.Generator) -> tuple[Pass, ...]:
        index = self._index[self.domain.sample(rng)]
        if not self._parted:
            return (Pass((self.configurations[index],), 0),)
        if self.assignment == "fixed" and self._dealt is None:
            dealt = rng.permutation(len(self.configurations)) % self.models
            self._dealt = dealt.tolist()
        model = self._model(index, rng) if self._dealt is None else self._dealt[index]
        return (Pass((self.configurations[index],), model),)

    def _model(self, index: int, rng: np.random.Generator) -> int:
        """Drawn by P(model | configuration), in plain numbers: faster than arrays for so few."""
        own = self._scores[index] if self._weights is None else self._weights[index] @ self._scores
        scores = own.tolist()
        logits = [self._inverse_temperature * s - column for s, column in zip(scores, self._columns, strict=True)]
        largest = max(logits)
        reached = list(itertools.accumulate(math.exp(logit - largest) for logit in logits))
        point = rng.random() * reached[-1]
        return next(model for model, share in enumerate(reached) if point < share)

    def observe(self, moment: Moment, passes: Sequence[Pass], measured: Sequence[Sequence[float]]) -> None:
        for drawn, values in zip(passes, measured, strict=True):
            for architecture, value in zip(drawn.architectures, values, strict=True):
                if not 0 <= value <= 1:
                    found = f"balanced_mixture was told the measurement {value:g}"
                    expected = "expected a task whose first metric is a share from 0 to 1, as accuracy is"
                    raise InputError(Problem(found, expected=expected))
                pair = self._index[architecture], drawn.model
                learns = pair if self._parted else pair[0]  # before the parting, the scores on all models to come
                self._scores[learns] = self.momentum * self._scores[learns] + (1 - self.momentum) * value
                self._visits[pair] += 1

    def probabilities(self) -> Matrix:
        """(C, M) P(model | configuration) by the scores and the temperature of the moment, balanced anew."""
        if self._dealt is not None or not self._parted:
            owners = self._dealt if self._parted else [0] * len(self.configurations)
            made: Matrix = np.eye(self.models)[owners]
            return made
        return self._balanced().probabilities

    def _balanced(self) -> Balanced:
        most = MOST_ITERATIONS if self.assignment == "balanced" else 0
        scores = self._scores if self._weights is None else self._weights @ self._scores
        return balance(self._inverse_temperature * scores, self.tolerance, most)

    def state(self) -> dict[str, Any]:
        return {
            "scores": self._scores.tolist(),
            "visits": self._visits.tolist(),
            "inverse_temperature": self._inverse_temperature,
            "columns": list(self._columns),
            "parted": self._parted,
            "dealt": None if self._dealt is None else list(self._dealt),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        scores = np.array(state["scores"], dtype=np.float64)
        if scores.shape != self._scores.shape:
            found = "{} configurations and {} models".format(*scores.shape)
            expected = "expected {} and {}: those of this space and sampler".format(*self._scores.shape)
            raise InputError(Problem(f"the state of a balanced mixture is of {found}", expected=expected))
        self._scores = scores
        self._visits = np.array(state["visits"], dtype=np.int64)
        self._inverse_temperature = float(state["inverse_temperature"])
        self._columns = [float(column) for column in state["columns"]]
        self._parted = bool(state.get("parted", True))  # checkpoints without it are of models that never were one
        self._dealt = None if state["dealt"] is None else [int(model) for model in state["dealt"]]

    def record(self) -> dict[str, Any]:
        """Temperature, how balanced it is and, of up to 2,048 configurations, each one's model and its score there."""
        made: dict[str, Any] = {"inverse_temperature": self._inverse_temperature}
        if self.assignment == "balanced" and self._parted:
            balanced = self._balanced()
            made |= {
                "iterations": balanced.iterations,
                "unbalanced_divergence": balanced.unbalanced,
                "divergence": balanced.divergence,
            }
        probabilities = self.probabilities()
        made["shares"] = probabilities.mean(axis=0).round(6).tolist()
        made["certainty"] = round(float(probabilities.max(axis=1).mean()), 6)
        if len(self.configurations) <= MOST_RECORDED:
            owners = probabilities.argmax(axis=1)
            made["owners"] = owners.tolist()
            made["scores"] = self._scores[np.arange(len(owners)), owners].round(5).tolist()
        return made

    def table(self) -> dict[str, Any]:
        return {
            "configurations": [architecture.to_json() for architecture in self.configurations],
            "probabilities": self.probabilities().tolist(),
            "scores": self._scores.tolist(),
            "visits": self._visits.tolist(),
        }


def _check(
    models: int,
    temperature: Sequence[float],
    momentum: float,
    tolerance: float,
    smoothing: float | None,
    together: float,
) -> None:
    problems = []
    if models < 1:
        problems.append(Problem(f"balanced_mixture with {models} models", expected="expected at least 1"))
    if len(temperature) < 2 or not all(math.isfinite(value) and value > 0 for value in temperature):
        expected = "expected two positive numbers or more: of the first epoch and of the last, and in between"
        problems.append(Problem(f"balanced_mixture with the temperature {list(temperature)}", expected=expected))
    if not 0 <= momentum < 1:
        problems.append(Problem(f"balanced_mixture with the momentum {momentum}", expected="expected 0 <= … < 1"))
    if not 0 < tolerance < 1:
        problems.append(Problem(f"balanced_mixture with the tolerance {tolerance}", expected="expected 0 < … < 1"))
    if smoothing is not None and not (math.isfinite(smoothing) and smoothing > 0):
        expected = "expected a positive number of changes, or null"
        problems.append(Problem(f"balanced_mixture with the smoothing {smoothing}", expected=expected))
    if not 0 <= together < 1:
        problems.append(Problem(f"balanced_mixture with together: {together}", expected="expected 0 <= … < 1"))
    if problems:
        raise InputError(problems)


def _weights(domain: Domain, configurations: Sequence[Architecture], smoothing: float) -> Matrix:
    """(C, C) how much the score of another configuration counts; rows sum to one."""
    if len(configurations) > MOST_SMOOTHED:
        found = f"smoothing among the {len(configurations):,} architectures of {domain.space.name}"
        raise InputError(Problem(found, expected=f"expected at most {MOST_SMOOTHED:,}, or smoothing: null"))
    weights = np.exp(-changes_apart(domain.space, configurations) / smoothing)
    made: Matrix = weights / weights.sum(axis=1, keepdims=True)
    return made


def _listed(domain: Domain) -> list[Architecture]:
    """Every configuration of the domain.

    Raises:
        InputError: there are too many to keep a score of each.
    """
    listed = []
    if domain.space.size(architecture_part=True) <= MOST_GONE_THROUGH:
        listed = list(itertools.islice(domain.enumerate(), MOST_CONFIGURATIONS + 1))
    if not 1 <= len(listed) <= MOST_CONFIGURATIONS:
        many = f"more than {MOST_CONFIGURATIONS:,} architectures" if listed else "too many architectures to list"
        found = f"balanced_mixture on {domain.space.name}, which has {many}"
        expected = "expected a space of which each can be scored; single_path and multi_architecture take any"
        raise InputError(Problem(found, expected=expected))
    return listed
