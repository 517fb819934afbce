"""Shared weights of which the norms are not shared: every architecture has a scale, a shift and averages of its own.

Norms are where shared weights hurt most: how large the values of a channel are depends on what stands before it. They
are a small part of the weights, so that each architecture of a small space can have its own.

Sources: Yu et al., "Slimmable Neural Networks", ICLR 2019, arXiv:1812.08928 (switchable batch normalisation)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.arguments import check_images, check_model, check_several, check_type
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.keys import Held, layers, tensors
from nasengine.supernet.supernet import Supernet

MOST_ARCHITECTURES = 1000
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
OWN = "@"  # between the key of a tensor and the architecture that it belongs to


class SupernetWithOwnNorms(Supernet):
    """A supernet in which the tensors of norms belong to one architecture each.

    Args:
        space, models, network, seed, device, dtype: see `Supernet`; at most 1,000 architectures, and norms of which
            none depends on a searched width.

    Raises:
        InputError: see `Supernet`; or too many architectures.
        SupernetError: see `Supernet`; or a norm that is as wide as a searched width.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        models: int = 1,
        network: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(space, models=models, network=network, seed=seed, device=device, dtype=dtype)
        self._shared_norms: set[str] = set()
        self._own: list[dict[Architecture, dict[str, Tensor]]] = [{} for _ in range(models)]
        check_own_norms(space)
        for architecture in space.enumerate():
            for held in norm_tensors(self.builder.network(architecture).network):
                self._shared_norms.add(held.key)
                for model in range(models):
                    whole = self._store(model)[held.key]
                    if held.tensor.shape != whole.shape:
                        found = f"{held.layer} is as wide as is searched, so it cannot be of one architecture alone"
                        raise SupernetError(Problem(found, expected="expected shared norms: norms: shared"))
                    value = whole.detach().clone()
                    own = nn.Parameter(value) if isinstance(whole, nn.Parameter) else value
                    self._own[model].setdefault(architecture, {})[held.key] = own

    def view(self, architecture: Architecture, *, model: int = 0) -> nn.Module:
        """See `Supernet.view`; the norms are those of the architecture."""
        check_type(self.space.name, architecture)
        check_model(model, self.models)
        is_new = (architecture, model) not in self._views
        network = super().view(architecture, model=model)
        if is_new:
            own = self._own[model].get(architecture, {})
            for held in list(norm_tensors(network)):
                held.slots[held.name] = own[held.key]
        return network

    def subnet(self, architecture: Architecture, *, model: int = 0) -> nn.Module:
        """See `Supernet.subnet`."""
        network = super().subnet(architecture, model=model)
        own = self._own[model].get(architecture, {})
        with torch.no_grad():
            for held in norm_tensors(network):
                held.tensor.copy_(own[held.key])
        return network

    def batch(self, images: Tensor, architectures: Sequence[Architecture], *, model: int = 0) -> Tensor:
        """See `Supernet.batch`; always one view after another."""
        check_images(self.space, images)
        check_several(self.space, images, architectures)
        count = len(architectures)
        parts = [self(images[first::count], one, model=model) for first, one in enumerate(architectures)]
        return torch.stack(parts, dim=1).flatten(0, 1)

    def named_parameters(self, model: int = 0) -> Iterator[tuple[str, nn.Parameter]]:
        """See `Supernet.named_parameters`; those of norms are called KEY@ARCHITECTURE."""
        for key, parameter in super().named_parameters(model):
            if key not in self._shared_norms:
                yield key, parameter
        for key, tensor in self._own_tensors(model):
            if isinstance(tensor, nn.Parameter):
                yield key, tensor

    def state(self, model: int | None = None) -> dict[str, Tensor]:
        """See `Supernet.state`."""
        chosen = range(self.models) if model is None else [model]
        own = {f"{m}/{key}": tensor.detach() for m in chosen for key, tensor in self._own_tensors(m)}
        return {**super().state(model), **own}

    def _own_tensors(self, model: int) -> Iterator[tuple[str, Tensor]]:
        for architecture, own in self._own[model].items():
            for key, tensor in own.items():
                yield f"{key}{OWN}{architecture.key}", tensor


def norm_tensors(network: nn.Module) -> Iterator[Held]:
    """The tensors of a network's norms."""
    norms = {layer.key for layer in layers(network) if isinstance(layer.module, NORMS)}
    return (held for held in tensors(network) if held.layer in norms)


def check_own_norms(space: SearchSpace) -> None:
    """See that a space is small enough for each architecture to have norms of its own.

    Raises:
        InputError: it is not.
    """
    if space.size(architecture_part=True) > MOST_ARCHITECTURES:
        found = f"{space.name} has more than {MOST_ARCHITECTURES:,} architectures, too many for norms of their own"
        raise InputError(Problem(found, expected="expected shared norms: norms: shared"))
