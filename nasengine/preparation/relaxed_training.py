"""Training a relaxed supernet: its weights on the training images, its probabilities on those held out, in turn.

A step: the logits of the choices take an optimiser step by the loss on a batch of held-out images, with the weights as
they are (first order); then the weights take one on a batch of training images. On a GPU a step is one launch of a
CUDA graph. Deterministic: all draws are keyed by seed, epoch and step; on a CPU a training that was interrupted and
resumed agrees bit for bit with one that was not.

Source: Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv:1806.09055, algorithm 1
        with xi = 0
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build.devices import new_stream
from nasengine.data import Part
from nasengine.errors import InputError, Problem, TrialError
from nasengine.preparation.checkpoints import PreparationCheckpoints
from nasengine.preparation.graphs import StepGraphs
from nasengine.preparation.preparation import PreparationEpoch
from nasengine.supernet.relaxed import RelaxedSupernet
from nasengine.tasks import Task
from nasengine.training.augmentation import Augmentation
from nasengine.training.batches import Normalize, epoch_batches, keyed_seed
from nasengine.training.device import autocast, autocast_dtype, own_random_state
from nasengine.training.optimizers import OptimizerSettings, with_all_state
from nasengine.training.settings import Length, TrainingSettings

HELD_OUT, LAYERS = 6, 7  # in the keys of generators, beside those of the order (0) and the augmentation (1)
MOST_RECORDED = 2000  # probabilities in a line of the history


class RelaxedTraining:
    """Trains a relaxed supernet in place.

    Args:
        relaxed: on the device.
        task: its loss.
        training, validation: parts on the device; the second decides on the probabilities.
        settings: of the weights: optimiser, schedule, augmentation, batch and so on.
        choices: the optimiser of the logits; its rate stays.
        held_out_augmentation: of the held-out images.
        warm_up: epochs in the beginning that train the weights only.
        length: of the whole training.
        seed: of the order of images, the augmentation and of layers that draw.
        checkpoints: where to go on from and to save to after epochs; None: neither.
        on_epoch: called after every epoch.

    Raises:
        InputError: too few images.
        RunError: checkpoints of another training.
    """

    def __init__(
        self,
        relaxed: RelaxedSupernet,
        task: Task,
        *,
        training: Part,
        validation: Part,
        settings: TrainingSettings,
        choices: OptimizerSettings,
        held_out_augmentation: Augmentation,
        warm_up: int,
        length: Length,
        seed: int,
        checkpoints: PreparationCheckpoints | None = None,
        on_epoch: Callable[[PreparationEpoch], None] | None = None,
    ) -> None:
        for part, name in ((training, "training"), (validation, "validation")):
            if not len(part):
                expected = "expected data.validation such as 0.5"
                raise InputError(Problem(f"there are no {name} images", expected=expected))
        self.relaxed, self.task, self.training, self.validation = relaxed, task, training, validation
        self.settings, self.held_out_augmentation, self.warm_up = settings, held_out_augmentation, warm_up
        self.length, self.seed, self.checkpoints, self.on_epoch = length, seed, checkpoints, on_epoch
        self.batch = min(settings.batch, len(training))
        self.validation_batch = min(settings.batch, len(validation))
        self.device = training.images.device
        self.dtype = autocast_dtype(settings.precision, self.device)
        self.normalize = Normalize(training.mean, training.std).to(self.device)
        self.losses = torch.zeros(2, dtype=torch.float64, device=self.device)  # on held-out images, on training images
        self.graphs: StepGraphs | None = None
        self.rate: float | Tensor = 0.0
        if self.device.type == "cuda":
            self.graphs = StepGraphs(new_stream(self.device), enabled=settings.cuda_graph)
            self.rate = torch.zeros((), device=self.device)
            self._held_out_buffers = self._buffers(validation, self.validation_batch)
            self._training_buffers = self._buffers(training, self.batch)
        self.weights = relaxed.supernet.parameters(relaxed.model)
        self.logits = list(relaxed.logits.values())
        self.weights_optimizer = self._optimizer(settings.optimizer, self.weights)
        self.choices_optimizer = self._optimizer(choices, self.logits)
        self.history: list[dict[str, Any]] = []
        if checkpoints is not None:
            _, self.history = checkpoints.load(
                supernet=relaxed.supernet, optimizers=self._optimizers, averages=(), sampler=_Logits(relaxed)
            )
        for group in self.weights_optimizer.param_groups:
            group["lr"] = self.rate

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return len(self.history)

    def run(self) -> None:
        """Train to the end; the global generators are left as they were found.

        Raises:
            TrialError: a loss that is no finite number.
        """
        self.relaxed.train()
        with own_random_state(self.device), self._on_stream():
            while self.epoch < self.length.epochs:
                self._run_epoch()
        if self.graphs is not None:
            self.graphs.stream.synchronize()

    def step(self, held_out: Sequence[Tensor], training: Sequence[Tensor], *, choose: bool, cache: bool = True) -> None:
        """One step: images and labels of a held-out batch for the logits, then those of a training batch.

        Args:
            choose: whether the logits learn.
            cache: whether autocast may keep cast weights; off while a CUDA graph is captured.
        """
        if choose:
            self.choices_optimizer.zero_grad(set_to_none=True)
            loss = self._loss(*held_out, cache=cache)
            loss.backward(inputs=self.logits)  # type: ignore[no-untyped-call]
            self.losses[0] += loss.detach()
            self.choices_optimizer.step()
            self.choices_optimizer.zero_grad(set_to_none=True)
        self.weights_optimizer.zero_grad(set_to_none=True)
        loss = self._loss(*training, cache=cache)
        loss.backward(inputs=self.weights)  # type: ignore[no-untyped-call]
        self.losses[1] += loss.detach()
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.weights, self.settings.clip_norm)
        self.weights_optimizer.step()
        self.weights_optimizer.zero_grad(set_to_none=True)  # gradients of a graph must not outlive it

    def save(self) -> None:
        """Leave a checkpoint of the last epoch that ended."""
        if self.checkpoints is not None and self.history:
            self.checkpoints.save(
                supernet=self.relaxed.supernet,
                optimizers=self._optimizers,
                averages=(),
                sampler=_Logits(self.relaxed),
                history=self.history,
            )

    @property
    def _optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.weights_optimizer, self.choices_optimizer]

    def _loss(self, images: Tensor, labels: Tensor, *, cache: bool) -> Tensor:
        with autocast(self.dtype, self.device, cache=cache):
            scores = self.relaxed(self.normalize(images))
        return self.task.loss(scores.float(), labels)

    def _run_epoch(self) -> None:
        began, epoch = time.perf_counter(), self.epoch
        first = epoch * self.length.steps_per_epoch
        steps = min(self.length.steps_per_epoch, self.length.steps - first)
        choose = epoch >= self.warm_up
        self.losses.zero_()
        held_out = epoch_batches(
            self.validation,
            self.held_out_augmentation,
            batch=self.validation_batch,
            images=steps * self.validation_batch,
            seed=keyed_seed(self.seed, HELD_OUT),
            epoch=epoch,
        )
        training = epoch_batches(
            self.training,
            self.settings.augmentation,
            batch=self.batch,
            images=steps * self.batch,
            seed=self.seed,
            epoch=epoch,
        )
        for number, (theirs, ours) in enumerate(zip(held_out, training, strict=True)):
            self._seed_layers(first + number)
            self._set_rate(first + number)
            self._launch(theirs, ours, choose)
        self._end_epoch(steps, choose, began)

    def _launch(self, held_out: Sequence[Tensor], training: Sequence[Tensor], choose: bool) -> None:
        if self.graphs is None:
            self.step(held_out, training, choose=choose)
            return
        for buffers, batch in ((self._held_out_buffers, held_out), (self._training_buffers, training)):
            for buffer, values in zip(buffers, batch, strict=True):
                buffer.copy_(values)
        self.graphs.run(
            choose,
            lambda cache: self.step(self._held_out_buffers, self._training_buffers, choose=choose, cache=cache),
            self._forward,
        )

    @torch.no_grad()
    def _forward(self) -> None:
        """The network alone, without leaving a trace."""
        self.relaxed.train(False)
        self._loss(*self._training_buffers, cache=True)
        self.relaxed.train()

    def _end_epoch(self, steps: int, choose: bool, began: float) -> None:
        held_out, training = (self.losses / steps).tolist()
        epoch = self.epoch + 1
        for loss, name in ((training, "training"), (held_out, "held-out")):
            if not math.isfinite(loss):
                raise TrialError(f"the {name} loss became {loss} in epoch {epoch} of {self.length.epochs}")
        probabilities = self.relaxed.probabilities()
        certainty = sum(map(max, probabilities.values())) / len(probabilities)
        measured = {"loss": training, "rate": float(self.rate), "certainty": certainty}
        if choose:
            measured["held_out_loss"] = held_out
        seconds = time.perf_counter() - began
        line: dict[str, Any] = {"epoch": epoch, **measured, "images": steps * self.batch, "seconds": round(seconds, 3)}
        if sum(map(len, probabilities.values())) <= MOST_RECORDED:
            line["probabilities"] = {path: [round(p, 4) for p in row] for path, row in probabilities.items()}
        self.history.append(line)
        if self.checkpoints is not None:
            self.checkpoints.write_line(line)
            if self.checkpoints.due:
                self.save()
        if self.on_epoch is not None:
            self.on_epoch(PreparationEpoch(epoch, self.length.epochs, measured, seconds))

    def _set_rate(self, step: int) -> None:
        per_epoch, settings = self.length.steps_per_epoch, self.settings
        rate = settings.schedule.rate(settings.optimizer.rate, step / per_epoch, self.length.steps / per_epoch)
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)  # a graph reads it anew at every replay
            return
        self.rate = rate
        for group in self.weights_optimizer.param_groups:
            group["lr"] = rate

    def _seed_layers(self, step: int) -> None:
        """Key the generators that dropout draws from by the step."""
        seed = keyed_seed(self.seed, step, LAYERS)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)

    def _optimizer(self, settings: OptimizerSettings, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        optimizer = settings.build(nn.ParameterList(parameters))
        if not with_all_state(optimizer) and self.graphs is not None:
            self.graphs.enabled = False  # state made inside of a graph would be made anew at every replay
        return optimizer

    @staticmethod
    def _buffers(part: Part, batch: int) -> tuple[Tensor, Tensor]:
        """What graphs read images and labels from; it stays in place."""
        images = part.images[:batch].contiguous(memory_format=torch.channels_last)
        return images.clone(), part.labels[:batch].clone()

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[None]:
        if self.graphs is None:
            yield
            return
        self.graphs.stream.wait_stream(torch.cuda.current_stream(self.device))  # for what was made before
        with torch.cuda.stream(self.graphs.stream):
            yield


class _Logits:
    """The logits of a relaxed supernet as what checkpoints keep."""

    def __init__(self, relaxed: RelaxedSupernet) -> None:
        self.relaxed = relaxed

    def state(self) -> dict[str, Any]:
        return {path: logits.tolist() for path, logits in self.relaxed.logits.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for path, logits in self.relaxed.logits.items():
                logits.copy_(torch.tensor(state[path], dtype=logits.dtype))
