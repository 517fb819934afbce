"""What batch norms know of their inputs while shared weights are measured: the batch at hand, or averages made afresh.

The running averages that a supernet keeps while it is trained mix the activations of every architecture that was
drawn, and fit none of them. Here the norms of one network work on buffers of their own for as long as it is measured,
so that the weights' buffers stay as they are:

    with batch_statistics(network): ...                    those of each batch, as the norms that keep none always use
    with recalibrated(network, batches): ...               averages over these batches, then fixed

Shapes:  B images of a batch   C channels   G batches at once
Sources: Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, arXiv:1903.05134,
         section 3.3 (averages made after the training, cumulative instead of exponential)
         Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020,
         arXiv:1904.00420, section 3.4 (recalculated for every architecture from a part of the training images)
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics: TypeAlias = Literal["batch", "recalibrate", "running"]
STATISTICS: tuple[Statistics, ...] = get_args(Statistics)
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def norms_of(network: nn.Module) -> list[_BatchNorm]:
    """Its batch norms, each once."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def keeps_averages(network: nn.Module) -> bool:
    """Whether any of its batch norms has running averages, without which it uses those of the batch at all times."""
    return any(norm.running_mean is not None for norm in norms_of(network))


def depends_on_batch(network: nn.Module) -> bool:
    """Whether the score of an image depends on the others in its batch, in evaluation mode and as the norms are now."""
    return any(norm.running_mean is None for norm in norms_of(network))


@contextlib.contextmanager
def batch_statistics(network: nn.Module, groups: int = 1) -> Iterator[None]:
    """In here every batch norm uses the statistics of the batch at hand, in evaluation mode too, and keeps none.

    Args:
        network: as it is to be measured.
        groups: so many batches of one size come at once, one behind the other, and each has its own statistics. The
            scores are those of one batch after another but for rounding, and a GPU is told of all with one word.
    """
    norms = norms_of(network)
    with _buffers_replaced(norms, lambda norm: (None, None, None)):
        try:
            if groups > 1:
                for norm in norms:
                    vars(norm)["forward"] = functools.partial(_norm_groups, norm, groups)
            yield
        finally:
            for norm in norms:
                vars(norm).pop("forward", None)


def _norm_groups(norm: _BatchNorm, groups: int, x: Tensor) -> Tensor:
    """(G * B, C, …) normalised over each B, to the same shape; statistics in float32 at least."""
    exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    exact = exact.reshape(groups, -1, *exact.shape[1:])  # (G, B, C, …)
    inner = range(3, exact.dim())
    channels = (1, 1, -1, *(1 for _ in inner))
    variance, mean = torch.var_mean(exact, (1, *inner), correction=0, keepdim=True)  # (G, 1, C, 1…)
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.reshape(channels)
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.reshape(channels)
    return torch.addcmul(shift, exact, scale).flatten(0, 1).to(x.dtype)


@contextlib.contextmanager
def recalibrated(network: nn.Module, batches: Iterable[Tensor]) -> Iterator[None]:
    """In here every batch norm that keeps averages has those over `batches`, whatever it had before.

    The mean over the batches of their means and of their (unbiased) variances, each batch counting alike, as layers
    see them when those before use the statistics of the same batch. Everything else of the network is in evaluation
    mode while they are made, and all of it afterwards. Nothing waits for the device.

    Args:
        network: as it is to be measured, on the device of the batches.
        batches: (B, C, H, W) each, at least one, as the network takes them. Of one size, since each counts alike.

    Raises:
        ValueError: no batch.
    """
    norms = [norm for norm in norms_of(network) if norm.running_mean is not None]
    with _buffers_replaced(norms, _fresh):
        if norms:
            _gather(network, norms, batches)
        yield


@torch.no_grad()
def _gather(network: nn.Module, norms: list[_BatchNorm], batches: Iterable[Tensor]) -> None:
    momenta = [norm.momentum for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.train()
            norm.momentum = None  # torch's word for the cumulative average
        count = 0
        for images in batches:
            network(images)
            count += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    if not count:
        raise ValueError("there is no batch to make averages of")


def _fresh(norm: _BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Averages of nothing yet. The count lies on the processor: torch reads it at every batch, and would wait."""
    assert norm.running_mean is not None, "asked for norms that keep averages"
    assert norm.running_var is not None, "a norm keeps both or neither"
    return torch.zeros_like(norm.running_mean), torch.ones_like(norm.running_var), torch.zeros((), dtype=torch.long)


@contextlib.contextmanager
def _buffers_replaced(
    norms: list[_BatchNorm], make: Callable[[_BatchNorm], tuple[Tensor | None, Tensor | None, Tensor | None]]
) -> Iterator[None]:
    """Other buffers for a while; what stood there is put back and was not written to."""
    before = [{name: norm._buffers[name] for name in _BUFFERS} for norm in norms]
    try:
        for norm in norms:
            norm._buffers.update(zip(_BUFFERS, make(norm), strict=True))
        yield
    finally:
        for norm, buffers in zip(norms, before, strict=True):
            norm._buffers.update(buffers)
