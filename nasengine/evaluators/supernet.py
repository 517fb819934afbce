"""The supernet evaluator: architectures are scored with weights that they inherit; nothing is trained.

Every architecture is run as a view of the shared weights, one after another, on validation images that stay on the
device; only its scores come back. The weights are read once by each worker, or once by each machine of a cluster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.data import Part
from nasengine.errors import InputError, Problem, one_of
from nasengine.evaluators.evaluator import EvaluatorInputs, EvaluatorSettings
from nasengine.evaluators.guarding import each_alone
from nasengine.evaluators.standalone import check_finite, import_late_parts, resolution
from nasengine.objectives import Direction
from nasengine.records import Architecture, Job, Result
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.supernet.calibration import (
    STATISTICS,
    Statistics,
    batch_statistics,
    depends_on_batch,
    keeps_averages,
    recalibrated,
)
from nasengine.training import evaluate
from nasengine.training.batches import Normalize
from nasengine.training.device import autocast, autocast_dtype
from nasengine.training.settings import Precision

LARGE_BATCH = 1024  # images at once on a GPU: enough to keep it busy with the smallest networks
LARGE_PIXELS = 2**23  # of a channel at once, where images are larger than 90x90: bounds the memory that they take
RESOLUTIONS = 4  # at which the images are kept


@dataclass(frozen=True, slots=True)
class InheritedWeights(EvaluatorSettings):
    """How architectures are scored with inherited weights, as a strategy writes it.

    Args:
        statistics: what batch norms go by. `batch`: the batch at hand, of the data's size, a last smaller one left
            out; `recalibrate`: averages made anew for every architecture; `running`: those kept while the weights were
            trained, which mix all architectures. Norms that keep no averages always go by the batch.
        images: so many training images, in whole batches, are averaged over to recalibrate.
        precision: auto, float32 or bfloat16.

    Raises:
        InputError: every wrong value.
    """

    needs_budget: ClassVar[bool] = False
    needs_supernet: ClassVar[bool] = True
    merges_isomorphic: ClassVar[bool] = False  # two ways to write one network inherit different weights

    statistics: Statistics = "recalibrate"
    images: int = 2048
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        problems = []
        if self.statistics not in STATISTICS:
            problems.append(Problem(f"statistics is {self.statistics!r}", expected=f"expected {one_of(STATISTICS)}"))
        if self.images < 1:
            problems.append(Problem(f"images is {self.images!r}", expected="expected at least 1"))
        if self.precision not in ("auto", "float32", "bfloat16"):
            found = f"precision is {self.precision!r}"
            problems.append(Problem(found, expected="expected auto, float32 or bfloat16"))
        if problems:
            raise InputError(problems)

    def evaluator(self, inputs: EvaluatorInputs) -> SupernetEvaluator:
        """See `EvaluatorSettings.evaluator`; the weights are read."""
        if not inputs.validation:
            found = "no images are held out to compare architectures on"
            raise InputError(Problem(found, expected="expected data.validation above 0"))
        if inputs.artifact is None:
            found = "there are no shared weights to score architectures with"
            expected = "expected a prepare phase before the search, or `from:` another run"
            raise InputError(Problem(found, expected=expected))
        return SupernetEvaluator(inputs, self, inputs.artifact)


class SupernetEvaluator:
    """Scores one view of the shared weights after another.

    Views rather than masks: a masked pass runs the largest network on every image of every architecture. It pays while
    training, where one batch is for several architectures; here each sees all images in batches large enough that the
    number of passes costs nothing, and a view does the work of its own architecture only. On a CPU a masked pass of 2
    to 8 architectures of `mobile_cnn_cifar` took 2.3 to 5.2 times as long as views (`benchmarks/supernet_scores.py`).

    Args:
        inputs: space, images, device.
        settings: how to score.
        artifact: the shared weights, of the inputs' space.
    """

    def __init__(self, inputs: EvaluatorInputs, settings: InheritedWeights, artifact: SupernetArtifact) -> None:
        assert inputs.task, "an evaluator that needs data has a task"
        assert inputs.training, "an evaluator that needs data has images"
        assert inputs.validation, "asked for in InheritedWeights.evaluator"
        self.inputs, self.settings, self.task, self.artifact = inputs, settings, inputs.task, artifact
        self.large_batch = LARGE_BATCH if inputs.device.type == "cuda" else inputs.batch
        self.supernet = artifact.supernet(inputs.space, inputs.device)
        self.supernet.eval()
        self.validation, self.calibration = inputs.validation, self._chosen(inputs.training)
        self._resized: dict[tuple[int, int], tuple[Part, Part]] = {}
        self._normalize = Normalize(inputs.training.mean, inputs.training.std).to(inputs.device)
        self._dtype = autocast_dtype(settings.precision, inputs.device)
        import_late_parts(inputs.space)

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """Those of the task, measured on the validation images."""
        return self.task.metrics

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Score each architecture; budget and seed of its job change nothing."""
        return each_alone(jobs, self._measure, self.inputs.device)

    def _measure(self, job: Job) -> Result:
        validation, calibration = self._parts(job.architecture)
        model = self.artifact.model_of(job.architecture)
        network = self.supernet.view(job.architecture, model=model)
        # One autocast around all: what it makes of the weights is kept from batch to batch.
        with autocast(self._dtype, self.inputs.device):
            if self.settings.statistics == "batch" or depends_on_batch(network):
                measured = self._by_batch(network, validation)
            else:
                with self._averages(network, calibration):
                    measured = self._scores(network, validation, self._at_once(validation))
        check_finite(measured, "validation")
        return Result(job.trial, "completed", measured, details={"model": model})

    def _by_batch(self, network: nn.Module, part: Part) -> dict[str, float]:
        """The metrics over whole batches, each normed by its own statistics; on a GPU several batches at once."""
        batch = min(self.inputs.batch, len(part))
        groups = max(1, self._at_once(part) // batch)
        sums = dict.fromkeys(self.metrics, 0.0)
        begin, end = 0, len(part) // batch * batch
        for together in (groups, 1):  # then those that are left over
            many = (end - begin) // (together * batch) * together * batch
            if many:
                some = replace(part, images=part.images[begin : begin + many], labels=part.labels[begin : begin + many])
                with batch_statistics(network, together):
                    means = self._scores(network, some, together * batch)
                sums = {name: total + means[name] * many for name, total in sums.items()}
                begin += many
        return {name: total / end for name, total in sums.items()}

    def _at_once(self, part: Part) -> int:
        """How many images go through a network together."""
        height, width = part.images.shape[-2:]
        return max(self.inputs.batch, min(self.large_batch, LARGE_PIXELS // (height * width)))

    def _scores(self, network: nn.Module, part: Part, batch: int) -> dict[str, float]:
        return evaluate(network, part, self.task, batch=batch, precision=self.settings.precision)

    def _averages(self, network: nn.Module, calibration: Part) -> contextlib.AbstractContextManager[None]:
        """In the context returned, the network's batch norms have the averages that the settings ask for."""
        if self.settings.statistics == "recalibrate" and keeps_averages(network):
            return recalibrated(network, self._calibration_batches(calibration))
        return contextlib.nullcontext()

    def _calibration_batches(self, part: Part) -> Iterator[Tensor]:
        batch = min(self.inputs.batch, len(part))
        for images in torch.split(part.images[: len(part) // batch * batch], batch):
            yield self._normalize(images)

    def _chosen(self, training: Part) -> Part:
        """Training images to recalibrate on: the same in every process, and of all classes."""
        if self.settings.statistics != "recalibrate":
            return training.select(np.arange(0))
        order = np.random.default_rng(0).permutation(len(training))
        return training.select(order[: self.settings.images])

    def _parts(self, architecture: Architecture) -> tuple[Part, Part]:
        """Images to score and to recalibrate on at the architecture's resolution; a few resolutions are kept."""
        size = resolution(self.inputs.space, architecture)
        if size not in self._resized:
            if len(self._resized) == RESOLUTIONS:
                del self._resized[next(iter(self._resized))]
            self._resized[size] = self.validation.resized(*size), self.calibration.resized(*size)
        return self._resized[size]
