"""Training shared weights: one loop for every sampler, a step at a time, so that several can take turns on one GPU.

A step: the sampler draws passes, their gradients accumulate, each set of weights concerned takes one optimiser step;
if the sampler observes, each pass is then measured on a batch of held-out images. On a GPU a step that comes again is
one launch of a CUDA graph (`graphs.py`), update and measurement included, and the processor waits for the device only
to learn what was observed, at the beginning of the next step: until then other trainings may have launched theirs, and
all that the next step needs whatever was observed is there (`staging.py`).

Deterministic: all draws are keyed by seed, epoch and step; on a CPU a training that was interrupted and resumed
agrees bit for bit with one that was not.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.algorithms.supernet_samplers import Moment, Pass, SupernetSampler
from nasengine.build.devices import new_stream
from nasengine.data import Part
from nasengine.errors import TrialError
from nasengine.preparation.checkpoints import PreparationCheckpoints
from nasengine.preparation.copying import begin_as
from nasengine.preparation.graphs import StepGraphs
from nasengine.preparation.passes import Passes
from nasengine.preparation.preparation import PreparationEpoch
from nasengine.preparation.staging import Staging, no_images
from nasengine.records import Architecture
from nasengine.supernet.standing import StandingPass
from nasengine.supernet.supernet import Supernet
from nasengine.tasks import Task
from nasengine.training.batches import epoch_batches, keyed_seed
from nasengine.training.device import autocast_dtype, own_random_state
from nasengine.training.optimizers import with_all_state
from nasengine.training.own_draws import OwnDraws
from nasengine.training.settings import Length, TrainingSettings
from nasengine.training.weight_average import TensorAverage

DRAWS, LAYERS = 4, 5  # in the keys of generators, beside those of the order (0) and the augmentation (1)
MOST_OBSERVED = 4096  # values that a step may observe


class _Staged(NamedTuple):
    """What is made for a step before the last one is known to be done.

    Args:
        moment: of the step.
        learnt, shown: pixels and labels of the batch that it learns from, and of that on which it is then measured.
        draws: what the sampler draws from.
        layers: seed of what layers draw from.
    """

    moment: Moment
    learnt: tuple[Tensor, Tensor]
    shown: tuple[Tensor, Tensor] | None
    draws: np.random.Generator
    layers: int


class SharedWeightsTraining:
    """Trains the weights of a supernet in place.

    Args:
        supernet: on the device.
        sampler: which architectures each step trains.
        task: loss and metrics.
        training, validation: parts on the device; the second may be empty unless the sampler observes.
        settings: optimiser, schedule, augmentation, batch and so on.
        length: of the whole training.
        seed: of the order of images, the augmentation, the sampler's draws and of layers that draw.
        masked: train the architectures of a pass together, by masks; on a GPU, compiled.
        checkpoints: where to go on from and to save to after epochs; None: neither.
        on_epoch: called after every epoch.

    Raises:
        InputError: too few images.
        RunError: checkpoints of another training.
    """

    def __init__(
        self,
        supernet: Supernet,
        sampler: SupernetSampler,
        task: Task,
        *,
        training: Part,
        validation: Part,
        settings: TrainingSettings,
        length: Length,
        seed: int,
        masked: bool = False,
        checkpoints: PreparationCheckpoints | None = None,
        on_epoch: Callable[[PreparationEpoch], None] | None = None,
    ) -> None:
        self.supernet, self.sampler, self.task = supernet, sampler, task
        self.training, self.validation, self.settings, self.length = training, validation, settings, length
        self.seed, self.checkpoints, self.on_epoch = seed, checkpoints, on_epoch
        self.batch = min(settings.batch, len(training))
        self.validation_batch = min(settings.batch, len(validation))
        if not self.batch or (sampler.observes and not self.validation_batch):
            raise no_images("validation" if self.batch else "training")
        self.device = training.images.device
        dtype = autocast_dtype(settings.precision, self.device)
        self.passes = Passes(supernet, task, dtype=dtype, masked=masked)
        self.graphs: StepGraphs | None = None
        self.rate: float | Tensor = 0.0
        if self.device.type == "cuda":
            self.graphs = StepGraphs(new_stream(self.device), enabled=settings.cuda_graph)
            self.rate = torch.zeros((), device=self.device)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._draws = OwnDraws(self.device)
        self.staging = Staging(
            training,
            validation,
            batch=self.batch,
            validation_batch=self.validation_batch,
            in_place=self.graphs is not None,
        )
        self._observed = torch.zeros(MOST_OBSERVED, dtype=torch.float64, device=self.device)
        if self.graphs is not None:
            self._on_host = torch.zeros(MOST_OBSERVED, dtype=torch.float64, pin_memory=True)
        self.optimizers = [self._optimizer(model) for model in range(supernet.models)]
        self.averages: list[TensorAverage] = []
        if settings.ema is not None:
            self.averages = [TensorAverage(supernet.state(model), settings.ema) for model in range(supernet.models)]

        self.done, self.history = 0, list[dict[str, Any]]()
        self._pending: tuple[Moment, tuple[Pass, ...]] | None = None
        self._batches: Iterator[tuple[Tensor, Tensor]] | None = None
        self._staged: _Staged | None = None
        self._finished = False
        if checkpoints is not None:
            epoch, self.history = checkpoints.load(
                supernet=supernet, optimizers=self.optimizers, averages=self.averages, sampler=sampler
            )
            self.done = min(epoch * length.steps_per_epoch, length.steps)
        self._hand_over_rate()
        if self.graphs is not None:  # everything made above was made on another stream
            self.graphs.stream.wait_stream(torch.cuda.current_stream(self.device))

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return len(self.history)

    def step(self) -> bool:
        """Learn what the last step came to, and launch the next one; False: there is none, the training is done."""
        if self._finished:
            return False
        with self._on_stream():
            ends = self.done in ((self.epoch + 1) * self.length.steps_per_epoch, self.length.steps)
            if self._batches is not None and not ends:
                self._stage()
            self._collect()
            if self._batches is not None and ends:
                self._end_epoch()
            if self.done == self.length.steps:
                self._finish()
                return False
            if self._batches is None:
                self._begin_epoch()
                self._stage()
            with self._draws:
                self._launch()
        return True

    def measure(self, architecture: Architecture, model: int = 0) -> float:
        """The task's first metric on the held-out images, in whole batches of the training's size; between epochs.

        Raises:
            InputError: there are no such images.
        """
        if not self.validation_batch:
            raise no_images("validation")
        assert self._pending is None, "what the last step came to lies where this would be written"
        key = architecture, model
        with self._on_stream():
            total = torch.zeros((), dtype=torch.float64, device=self.device)
            for index in range(self.staging.batches):
                shown = self.staging.show(index)

                def work(cache: bool, shown: tuple[Tensor, Tensor] = shown) -> list[nn.Module]:
                    return self._measure([Pass((architecture,), model)], shown, cache=cache)

                if self.graphs is None:
                    work(True)
                else:
                    self.graphs.run(key, work, lambda: work(True))
                total += self._observed[0]
            return float(total) / (self.staging.batches * self.validation_batch)

    def save(self) -> None:
        """Leave a checkpoint, if there is a place for it; right after an epoch only, as from `on_epoch`."""
        if self.checkpoints is not None:
            assert self._batches is None, "an epoch goes on"
            self.checkpoints.save(
                supernet=self.supernet,
                optimizers=self.optimizers,
                averages=self.averages,
                sampler=self.sampler,
                history=self.history,
            )

    def _stage(self) -> None:
        """Send what the next step needs whatever was observed: on a GPU, while the last step is still at work."""
        assert self._batches is not None, "an epoch was begun"
        self._set_rate()
        learnt = self.staging.learn(*next(self._batches))
        shown = self.staging.show(self.done % self.staging.batches) if self.sampler.observes else None
        draws = np.random.default_rng([self.seed, self.done, DRAWS])
        self._staged = _Staged(self._moment(), learnt, shown, draws, keyed_seed(self.seed, self.done, LAYERS))

    def _launch(self) -> None:
        assert self._staged is not None, "staged before"
        staged = self._staged
        pixels, labels = staged.learnt
        passes = self.sampler.draw(staged.moment, staged.draws)
        self._seed_layers(staged.layers)
        models = sorted({each.model for each in passes})
        standing = self.passes.standing(passes, len(pixels))

        def work(cache: bool) -> list[nn.Module]:
            networks = self._train(passes, models, pixels, labels, standing=standing, cache=cache)
            if staged.shown is not None:
                self._measure(passes, staged.shown, cache=cache)
            return networks

        def forward() -> None:
            shown = pixels.clone(), labels  # a clone, as a network may write to it
            self._measure([each for each, by in zip(passes, standing, strict=True) if by is None], shown, cache=True)
            self.passes.look(passes, standing, shown[0])

        key = self._key(passes, standing, len(pixels))
        if self.graphs is not None and self.staging.stays(pixels) and key is not None:
            self.graphs.run(key, work, forward)
        else:
            work(True)
        if self.sampler.observes:
            self._pending = (staged.moment, passes)
            if self.graphs is not None:
                count = sum(len(each.architectures) for each in passes)
                self._on_host[:count].copy_(self._observed[:count], non_blocking=True)
                self._event.record()
        for model in models if self.averages else ():
            self.averages[model].follow()
        self.done += 1
        self._images_of_epoch += len(labels)

    def _key(self, passes: tuple[Pass, ...], standing: Sequence[StandingPass | None], images: int) -> Hashable | None:
        """What a step does beside the contents of tensors that stay in place; None where it makes others each time."""
        if self.sampler.observes and any(standing):  # views measure, of other architectures each time
            return None
        parts: list[Hashable] = []
        for each, stands in zip(passes, standing, strict=True):
            if stands is None and self.passes.masks(each, images):  # by more than one pass
                return None
            parts.append(each if stands is None else (stands, each.model, each.target))
        return tuple(parts)

    def _train(
        self,
        passes: tuple[Pass, ...],
        models: Sequence[int],
        pixels: Tensor,
        labels: Tensor,
        *,
        cache: bool,
        standing: Sequence[StandingPass | None] = (),
    ) -> list[nn.Module]:
        """Forward, backward and update; returns the networks that a graph of it needs."""
        for model in models:
            self.optimizers[model].zero_grad(set_to_none=True)
        self.passes.gradients(passes, pixels, labels, standing=standing, cache=cache)
        for model in models:
            if self.settings.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.supernet.parameters(model), self.settings.clip_norm)
            self.optimizers[model].step()
            self.optimizers[model].zero_grad(set_to_none=True)  # gradients of a graph must not outlive it
        alone = [each for each in passes if not self.passes.masks(each, len(pixels))]
        return [*self._networks(alone), *(stands.network for stands in standing if stands is not None)]

    def _measure(self, passes: Sequence[Pass], shown: tuple[Tensor, Tensor], *, cache: bool) -> list[nn.Module]:
        """Write down what passes come to on a batch, one value for each architecture, and return its networks."""
        offset = 0
        for each in passes:
            sums = self._observed[offset : offset + len(each.architectures)]
            self.passes.measure(each.architectures, each.model, *shown, sums=sums, cache=cache)
            offset += len(each.architectures)
        return self._networks(passes)

    def _networks(self, passes: Sequence[Pass]) -> list[nn.Module]:
        return [self.supernet.view(one, model=each.model) for each in passes for one in each.architectures]

    def _collect(self) -> None:
        """Tell the sampler what the last step came to; the one place where the device is waited for in an epoch."""
        if self._pending is None:
            return
        moment, passes = self._pending
        self._pending = None
        values = self._observed
        if self.graphs is not None:
            self._event.synchronize()
            values = self._on_host
        sums = iter(values[: sum(len(each.architectures) for each in passes)].tolist())
        measured = [
            [next(sums) / len(range(first, self.validation_batch, count)) for first in range(count)]
            for count in (len(each.architectures) for each in passes)
        ]
        self.sampler.observe(moment, passes, measured)

    def _begin_epoch(self) -> None:
        self._epoch_began = time.perf_counter()
        moment = self._moment()
        self.sampler.begin_epoch(moment)
        origins = self.sampler.begins_as(moment)
        begin_as(origins, supernet=self.supernet, optimizers=self.optimizers, averages=self.averages)
        steps = min(self.length.steps_per_epoch, self.length.steps - self.done)
        wanted = steps * self.batch
        if not self.settings.drop_last and self.length.steps_per_epoch == -(-len(self.training) // self.batch):
            wanted = min(wanted, len(self.training))
        self._batches = epoch_batches(
            self.training,
            self.settings.augmentation,
            batch=self.batch,
            images=wanted,
            seed=self.seed,
            epoch=self.epoch,
        )
        self._steps_of_epoch, self._images_of_epoch = steps, 0
        self.passes.loss_sum.zero_()

    def _end_epoch(self) -> None:
        loss = float(self.passes.loss_sum) / self._steps_of_epoch
        epoch = self.epoch + 1
        if not math.isfinite(loss):
            raise TrialError(f"the training loss became {loss} in epoch {epoch} of {self.length.epochs}")
        seconds, rate = time.perf_counter() - self._epoch_began, float(self.rate)
        line = {
            "epoch": epoch,
            "loss": loss,
            "rate": rate,
            "images": self._images_of_epoch,
            "seconds": round(seconds, 3),
        }
        self.history.append({**line, **self.sampler.record()})
        self._batches = None
        if self.checkpoints is not None:
            self.checkpoints.write_line(self.history[-1])
            if self.checkpoints.due:
                self.save()
        if self.on_epoch is not None:
            self.on_epoch(PreparationEpoch(epoch, self.length.epochs, {"loss": loss, "rate": rate}, seconds))

    def _finish(self) -> None:
        """Put the averages in place of the weights, if there are averages."""
        if self.averages:
            self.supernet.load_state({key: value for average in self.averages for key, value in average.values.items()})
        self._finished = True

    def _moment(self) -> Moment:
        per_epoch = self.length.steps_per_epoch
        return Moment(self.done, self.length.steps, self.done // per_epoch, self.length.epochs, per_epoch)

    def _set_rate(self) -> None:
        per_epoch, settings = self.length.steps_per_epoch, self.settings
        rate = settings.schedule.rate(settings.optimizer.rate, self.done / per_epoch, self.length.steps / per_epoch)
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)
            return
        self.rate = rate
        self._hand_over_rate()

    def _hand_over_rate(self) -> None:
        """Let every optimiser use the rate: on a GPU a tensor, which a graph reads anew at every replay."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate

    def _optimizer(self, model: int) -> torch.optim.Optimizer:
        parameters = nn.ParameterList(self.supernet.parameters(model))
        optimizer = self.settings.optimizer.build(parameters)
        if not with_all_state(optimizer) and self.graphs is not None:
            self.graphs.enabled = False  # state made inside of a graph would be made anew at every replay
        return optimizer

    def _seed_layers(self, seed: int) -> None:
        """Key the generators that dropout draws from by the step: trainings that take turns draw as if alone."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[None]:
        if self.graphs is None:
            yield
            return
        with torch.cuda.stream(self.graphs.stream):
            yield


def train_shared_weights(trainings: Sequence[SharedWeightsTraining]) -> None:
    """Run trainings to their end, one step each in turn; the global generators are left as they were found.

    On a GPU the steps of several trainings overlap: each has a stream of its own, and draws of its own.

    Raises:
        TrialError: a loss that is no finite number.
    """
    if not trainings:
        return
    with own_random_state(trainings[0].device):
        left = list(trainings)
        while left:
            left = [training for training in left if training.step()]
    for training in trainings:
        if training.graphs is not None:
            training.graphs.stream.synchronize()
