"""One step of training: forward, backward, clip, update. Eagerly, or with the passes replayed as a CUDA graph.

Small networks on a GPU are bound by the launching of their kernels, not by the kernels. A CUDA graph launches the
forward and the backward pass at once. The update stays outside of the graph: it is one fused kernel, and its rate
changes every step.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from nasengine.tasks import Task
from nasengine.training.at_once import layers_at_once
from nasengine.training.batches import Normalize
from nasengine.training.device import autocast, autocast_dtype, stream_of
from nasengine.training.settings import TrainingSettings
from nasengine.training.weight_average import WeightAverage

WARM_UP_STEPS = 4  # eager steps before a graph is captured: libraries choose their kernels and make their workspaces


class TrainingStep:
    """Trains on one batch a call; the sum of the losses stays on the device.

    Args:
        network: in training mode, on the device.
        task: gives the loss.
        optimizer: of the network's parameters.
        settings: precision and clipping.
        normalize: uint8 images to floats.
        average: updated after each step, if there is one.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        *,
        optimizer: torch.optim.Optimizer,
        settings: TrainingSettings,
        normalize: Normalize,
        average: WeightAverage | None,
    ) -> None:
        self.network, self.task, self.optimizer, self.average = network, task, optimizer, average
        self.settings, self.normalize = settings, normalize
        self.device = normalize.scale.device
        self.dtype = autocast_dtype(settings.precision, self.device)
        self.loss_sum = torch.zeros((), device=self.device)
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on (B, C, H, W) uint8 images and (B,) labels."""
        self.optimizer.zero_grad(set_to_none=True)
        self.passes(images, labels)
        self.update()

    def passes(self, images: Tensor, labels: Tensor, *, cache: bool = True) -> None:
        """Forward and backward; leaves gradients, adds to `loss_sum`."""
        self.learn(self.normalize(images), labels, cache=cache)

    def learn(self, pixels: Tensor, labels: Tensor, *, cache: bool = True) -> None:
        """The same on images that are normalised."""
        with autocast(self.dtype, self.device, cache=cache):
            loss = self.task.loss(self.network(pixels), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.loss_sum += loss.detach()

    def update(self) -> None:
        """Clip the gradients, change the weights, follow them with the average."""
        self.change_weights()
        if self.average is not None:
            self.average.follow()

    def change_weights(self) -> None:
        """Clip the gradients and go a step along them."""
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimizer.step()

    def waits_for_device(self, images: Tensor) -> bool:
        """Whether a forward pass makes the processor wait for the GPU. Changes neither weights nor statistics."""
        mode = torch.cuda.get_sync_debug_mode()
        copy = {name: value.clone() for name, value in self.network.state_dict().items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this mode is a prototype: what it misses, the capture reports
            torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.no_grad(), autocast(self.dtype, self.device):
                self.network(self.normalize(images))
            return False
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            return True
        finally:
            torch.cuda.set_sync_debug_mode(mode)
            self.network.load_state_dict(copy)


class GraphedStep(TrainingStep):
    """The same on a GPU, replaying the passes as one CUDA graph after a few eager steps.

    All batches must have one shape, and the network must do the same work in every step. A network that waits for
    the device in its passes (a decision that depends on a tensor's values) cannot be captured; the last eager step
    finds that out, and such a network goes on eagerly.
    """

    graph: torch.cuda.CUDAGraph | None = None
    eager_steps = 0
    capturable = True

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on (B, C, H, W) uint8 images and (B,) labels."""
        if self.eager_steps < WARM_UP_STEPS or not self.capturable:
            self._step_eagerly(images, labels)
            return
        if self.graph is None:
            self._capture(images, labels)
        assert self.graph is not None, "captured just now"
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        self.update()

    def _step_eagerly(self, images: Tensor, labels: Tensor) -> None:
        """An ordinary step; on a side stream while there may be a capture after it, as capture asks for."""
        self.eager_steps += 1
        if not self.capturable:
            super().__call__(images, labels)
            return
        if self.eager_steps == WARM_UP_STEPS:
            self.capturable = not self.waits_for_device(images)
        stream = stream_of(self.device, 0)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            super().__call__(images, labels)
        torch.cuda.current_stream(self.device).wait_stream(stream)

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Record the passes; nothing is computed yet. Gradients made in here belong to the graph and are kept."""
        self.images, self.labels = images.clone(), labels.clone()
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
            layers_at_once(self.network, self.dtype),
        ):
            self.passes(self.images, self.labels, cache=False)
        self.graph = graph
