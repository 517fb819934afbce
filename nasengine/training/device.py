"""Where tensors live and how exact the arithmetic on them is: device, autocast, the global random generators."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from nasengine.build.devices import existing_device, new_stream
from nasengine.errors import InputError, Problem
from nasengine.training.settings import Precision


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: cpu, cuda, cuda:1, or auto (a GPU if there is one).

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    expected = "expected cpu, cuda, cuda:N or auto"
    device = existing_device(name, expected)
    if device.type == "cuda":
        return torch.device("cuda", device.index or 0)
    if device.type != "cpu":
        raise InputError(Problem(f"device {name!r} is of a kind that is not supported", expected=expected))
    return device


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What matrix products and convolutions are computed in."""
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16":
        return torch.bfloat16
    return (
        torch.bfloat16
        if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        else torch.float32
    )


def autocast(dtype: torch.dtype, device: torch.device, *, cache: bool = True) -> torch.autocast:
    """The context in which forward passes run; `cache` must be off while a CUDA graph is captured."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=cache)


@functools.cache
def stream_of(device: torch.device, number: int) -> torch.cuda.Stream:
    """The stream with a number, 0 for warming up, those of lanes from 1; the same in all trainings of a process.

    Libraries keep a workspace for each stream that they see, and memory that was used on one is not used on another.
    """
    return new_stream(device)


@contextlib.contextmanager
def own_random_state(device: torch.device) -> Iterator[None]:
    """Let layers that draw (dropout) use the global generators, and leave these as they were found."""
    with torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []):
        yield


@contextlib.contextmanager
def deterministic_kernels(device: torch.device, wanted: bool) -> Iterator[None]:
    """On a GPU, only kernels whose results repeat bit for bit, if wanted; on a CPU they do anyway.

    cuBLAS reads its part from the environment when it is first used, so nothing may have used it before.
    """
    if device.type != "cuda" or not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    tries = torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = tries


@contextlib.contextmanager
def fastest_convolutions(networks: Iterable[nn.Module], device: torch.device, wanted: bool) -> Iterator[None]:
    """On a GPU, let cuDNN time its kernels for every convolution that is new in the process, and keep the fastest.

    Worth it where the same convolutions come thousands of times. Which kernel is the fastest may differ from run to
    run, and with it the last bits of what it computes. Not for networks with grouped convolutions, some of whose
    kernels are so slow that trying them takes longer than a short training: a first step of `mobile_cnn` took 50 s.
    """
    if device.type != "cuda" or not wanted or any(map(_is_grouped, chain.from_iterable(n.modules() for n in networks))):
        yield
        return
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _is_grouped(module: nn.Module) -> bool:
    return isinstance(module, _ConvNd) and module.groups > 1
