"""Optimizers: settings that, given a network, build the torch optimizer.

Sources: [SGD]   Sutskever et al., "On the importance of initialization and momentum", ICML 2013 (Nesterov's form)
         [Adam]  Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980
         [AdamW] Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import nn

from nasengine.errors import InputError, Problem

DecayOn = Literal["all", "weights"]


class OptimizerSettings(Protocol):
    """What an entry of `OPTIMIZERS` makes; `rate` is the learning rate that a schedule starts from."""

    @property
    def rate(self) -> float:
        """The rate before any schedule."""

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of all parameters that want gradients."""


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent with momentum.

    Args:
        rate: learning rate.
        momentum: 0 … below 1.
        weight_decay: added to the gradient (an L2 penalty of half of it).
        nesterov: Nesterov's momentum [SGD].
        decay_on: all parameters, or weights only: no norm, no bias (no parameter of a single axis).
    """

    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    decay_on: DecayOn = "all"

    def __post_init__(self) -> None:
        _check("sgd", {"rate": self.rate, "weight_decay": self.weight_decay}, {"momentum": self.momentum})
        if self.nesterov and self.momentum == 0:
            raise InputError(Problem("optimizer 'sgd' has nesterov without momentum", expected="expected momentum > 0"))

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of all parameters that want gradients."""
        groups = parameter_groups(network, self.weight_decay, self.decay_on)
        return torch.optim.SGD(
            groups, lr=self.rate, momentum=self.momentum, nesterov=self.nesterov, fused=_fused(network)
        )


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay [AdamW].

    Args:
        rate: learning rate.
        betas: decay of the first and of the second moment.
        epsilon: added to the root of the second moment.
        weight_decay: share of a parameter taken away, times the rate, each step.
        decay_on: all parameters, or weights only: no norm, no bias (no parameter of a single axis).
    """

    rate: float = 0.001
    betas: tuple[float, ...] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    decay_on: DecayOn = "weights"

    def __post_init__(self) -> None:
        _check_adam("adamw", self.rate, self.betas, self.epsilon, self.weight_decay)

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of all parameters that want gradients."""
        groups = parameter_groups(network, self.weight_decay, self.decay_on)
        first, second = self.betas
        return torch.optim.AdamW(groups, lr=self.rate, betas=(first, second), eps=self.epsilon, fused=_fused(network))


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam [Adam]: steps of even size in every direction; decay is added to the gradient.

    Args:
        rate: learning rate.
        betas: decay of the first and of the second moment.
        epsilon: added to the root of the second moment.
        weight_decay: added to the gradient (an L2 penalty of half of it).
        decay_on: all parameters, or weights only: no norm, no bias (no parameter of a single axis).
    """

    rate: float = 0.001
    betas: tuple[float, ...] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay_on: DecayOn = "all"

    def __post_init__(self) -> None:
        _check_adam("adam", self.rate, self.betas, self.epsilon, self.weight_decay)

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of all parameters that want gradients."""
        groups = parameter_groups(network, self.weight_decay, self.decay_on)
        first, second = self.betas
        return torch.optim.Adam(groups, lr=self.rate, betas=(first, second), eps=self.epsilon, fused=_fused(network))


OPTIMIZERS: dict[str, Callable[..., OptimizerSettings]] = {"sgd": SGD, "adamw": AdamW, "adam": Adam}


def with_all_state(optimizer: torch.optim.Optimizer) -> bool:
    """Make the state of every parameter now, as the first step would make it; False: of this optimiser nobody can say.

    What shares weights needs it: a fused optimiser cannot step parameters of which some have state and others, not
    used so far, have none; and state made while a CUDA graph is captured would be made anew at every replay.
    """
    adam = isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW))
    if not adam and not isinstance(optimizer, torch.optim.SGD):
        return False
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if adam:
                step = torch.zeros((), device=parameter.device)
                first, second = torch.zeros_like(parameter), torch.zeros_like(parameter)
                optimizer.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
            elif group["momentum"] != 0:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        if "capturable" in group and group["params"][0].is_cuda:
            group["capturable"] = True
    return True


def parameter_groups(network: nn.Module, weight_decay: float, decay_on: DecayOn) -> list[dict[str, Any]]:
    """The parameters that want gradients, in the order of the network, grouped by whether they decay."""
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if decay_on == "all":
        return [{"params": wanted, "weight_decay": weight_decay}]
    groups = [
        {"params": [p for p in wanted if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in wanted if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _fused(network: nn.Module) -> bool | None:
    """One kernel for all parameters where torch has one; None lets it choose."""
    return True if all(parameter.device.type in ("cpu", "cuda") for parameter in network.parameters()) else None


def _check_adam(name: str, rate: float, betas: tuple[float, ...], epsilon: float, weight_decay: float) -> None:
    if len(betas) != 2:
        raise InputError(Problem(f"betas of optimizer {name!r} is {betas!r}", expected="expected two shares"))
    _check(
        name,
        {"rate": rate, "weight_decay": weight_decay, "epsilon": epsilon},
        {"betas.0": betas[0], "betas.1": betas[1]},
    )


def _check(name: str, not_negative: dict[str, float], below_one: dict[str, float]) -> None:
    problems = [
        Problem(f"{key} of optimizer {name!r} is {value!r}", expected="expected a number, 0 or above")
        for key, value in not_negative.items()
        if not 0 <= value < float("inf")
    ] + [
        Problem(f"{key} of optimizer {name!r} is {value!r}", expected="expected a number from 0 to below 1")
        for key, value in below_one.items()
        if not 0 <= value < 1
    ]
    if problems:
        raise InputError(problems)
