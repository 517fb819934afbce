"""The supernet: one set of weights for all architectures of a space, and every network a view of them."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build import build, check_overrides, refuse_what_has_no_network
from nasengine.errors import InputError
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet import arguments
from nasengine.supernet.comparison import unlike
from nasengine.supernet.cuts import Cut, Shelf
from nasengine.supernet.extent import survey
from nasengine.supernet.keys import Held, tensors
from nasengine.supernet.parts import Parts
from nasengine.supernet.plans import Plan
from nasengine.supernet.private import Builder
from nasengine.supernet.probe import Active, probe_of
from nasengine.supernet.several import Several
from nasengine.supernet.standing import StandingPass
from nasengine.supernet.views import View, copy_out
from nasengine.supernet.weights import load_weights, make_weights

FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, IndexError)  # of a network that runs
MOST_VIEWS = 1024  # networks that are kept, of some hundred kilobytes each


class Supernet:
    """Weights that all architectures of a space share; a network is the plain one, run on its part of them.

        supernet = Supernet(space)
        scores = supernet(images, architecture)

    Args:
        space: must describe a network.
        models: number of sets of weights, each drawn on its own.
        network: arguments of the root network that replace those of the space; none that is searched.
        seed: of the initial weights.
        device, dtype: of the weights.
        compiled: have masked passes compiled: one graph for each plan and number of architectures.
        on_note: told in a line what a person should know, such as `print`; None: nobody listens.

    Raises:
        InputError: a space that has no plain network, fewer than one model, or a value of a wrong type.
        SupernetError: a layer whose weights cannot be shared.
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
        compiled: bool = False,
        on_note: Callable[[str], None] | None = None,
    ) -> None:
        arguments.check_space(space)
        arguments.check_settings(models, network, seed, dtype, compiled, on_note)
        refuse_what_has_no_network(space)
        check_overrides(space, network)
        self.space = space
        self.network = dict(network or {})
        self.models = models
        self.device = arguments.checked_device(device)
        self.dtype = dtype
        self.training = True
        self.compiled = compiled
        self.on_note = on_note
        self.builder = Builder(space, self.network, self.device, dtype)
        self.extent = survey(space, self.network, builder=self.builder)
        self.largest = self.extent.largest
        self.smallest = self.extent.smallest
        self.parts = Parts(self.extent)
        self.probe = probe_of(space, self.extent, self.network)
        self._stores = [
            make_weights(space, self.extent, self.network, seed=seed, model=m, device=self.device, dtype=dtype)
            for m in range(models)
        ]
        self._shelves = [Shelf() for _ in range(models)]
        self._views: OrderedDict[tuple[Architecture, int], nn.Module] = OrderedDict()
        self.builder.meet(lambda architecture: self._made(architecture, 0))

    def __call__(self, images: Tensor, architecture: Architecture, *, model: int = 0) -> Tensor:
        """What the network of an architecture gives for a batch of images.

        Args:
            images: (N, C, H, W)
            model: which set of weights.

        Raises:
            InputError: no architecture of the space, or images that its network cannot take.
        """
        arguments.check_images(self.space, images)
        network = self.view(architecture, model=model)
        try:
            output: Tensor = network(images)
        except FAILURES as error:
            self._explain(images, architecture, error)
            raise
        return output

    def view(self, architecture: Architecture, *, model: int = 0) -> nn.Module:
        """The network of an architecture on the shared weights, in the supernet's mode (training or evaluation).

        It is kept: asked for again, it is the same module. Its gradients flow to the shared parameters.
        """
        arguments.check_type(self.space.name, architecture)
        arguments.check_model(model, self.models)
        found = self._views.get((architecture, model))
        if found is None:
            made = self._made(architecture, model)
            found = made if self.training else made.eval()
            if len(self._views) >= MOST_VIEWS:
                self._views.popitem(last=False)
            self._views[architecture, model] = found
        else:
            self._views.move_to_end((architecture, model))
            if found.training != self.training:
                found.train(self.training)
        return found

    def subnet(self, architecture: Architecture, *, model: int = 0) -> nn.Module:
        """A network of its own with the values that its view has now, as `build` makes it."""
        arguments.check_architecture(self.space, architecture)
        network = build(self.space, architecture, network=self.network, seed=0).to(self.device, self.dtype)
        held = list(tensors(network))
        copy_out(held, self._store(model), self.parts.cuts(held, self._inputs(architecture, held)))
        return network.train(self.training)

    def batch(self, images: Tensor, architectures: Sequence[Architecture], *, model: int = 0) -> Tensor:
        """What the networks of several architectures give; image i belongs to architecture i mod K.

        Architectures of one plan run in one masked pass, once that is proved equal to views; others as views.
        In training, masked batch norms take the statistics of each architecture's images and write none down.

        Args:
            images: (N, C, H, W), N a multiple of K.
            architectures: K of them.
            model: which set of weights.

        Raises:
            InputError: architectures of another space, or as many as do not divide the images; images that their
                networks cannot take.
        """
        arguments.check_images(self.space, images)
        arguments.check_several(self.space, images, architectures)
        arguments.check_model(model, self.models)
        try:
            return self._several.batch(images, architectures, model=model)
        except InputError:
            self._refuse_others(architectures)
            raise
        except FAILURES as error:
            self._explain(images, architectures[0], error)
            raise

    def plans(self, architectures: Sequence[Architecture]) -> list[Plan]:
        """Which of some architectures can share a masked pass.

        Raises:
            InputError: one is of another space.
        """
        arguments.check_list(self.space, architectures)
        try:
            return self._several.plans(architectures)
        except InputError:
            self._refuse_others(architectures)
            raise

    def standing(self, plan: Plan) -> StandingPass:
        """The pass of a masked plan, into which other architectures of it may be put: for graphs that are captured."""
        return self._several.standing(plan)

    def compile(self) -> Supernet:
        """The same as `compiled=True`, for the passes to come."""
        self.compiled = True
        return self

    def named_parameters(self, model: int = 0) -> Iterator[tuple[str, nn.Parameter]]:
        """(key, parameter) of everything that is trained, in a fixed order."""
        for key, tensor in self._store(model).items():
            if isinstance(tensor, nn.Parameter):
                yield key, tensor

    def parameters(self, model: int = 0) -> list[nn.Parameter]:
        """Everything of one model that is trained."""
        return [parameter for _, parameter in self.named_parameters(model)]

    def state(self, model: int | None = None) -> dict[str, Tensor]:
        """Every tensor as "MODEL/KEY", sharing its memory: of one model, or of all."""
        chosen = range(self.models) if model is None else [model]
        return {f"{m}/{key}": tensor.detach() for m in chosen for key, tensor in self._store(m).items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy in what `state()` of all models gave.

        Raises:
            InputError: a tensor is missing, unknown, of another shape, or of another type of number.
        """
        load_weights(self.state(), state)

    def train(self, mode: bool = True) -> Supernet:
        """Training or evaluation, for every view that is asked for from now on.

        Raises:
            InputError: `mode` is neither True nor False.
        """
        arguments.check_mode(mode)
        self.training = mode
        return self

    def eval(self) -> Supernet:
        """The same as `train(False)`."""
        return self.train(False)

    @property
    def whole(self) -> Architecture:
        """The architecture with the most parameters, relations left aside."""
        return self.extent.whole

    def store(self, model: int = 0) -> Mapping[str, Tensor]:
        """Key -> shared tensor of one model, for what runs on it in other ways than views."""
        return self._store(model)

    def private(self, architecture: Architecture) -> tuple[nn.Module, list[tuple[Held, Cut]]]:
        """A network without memory for weights, and for each tensor where it hangs and which part it is."""
        private = self.builder.network(architecture)
        cuts = self.parts.cuts(private.held, self._inputs(architecture, private.held))
        return private.network, list(zip(private.held, cuts, strict=True))

    def active(self, architecture: Architecture) -> dict[str, Active]:
        """Layer -> which channels of the shared layer an architecture uses, for every layer of its network."""
        arguments.check_architecture(self.space, architecture)
        return self.probe.active(architecture)

    @functools.cached_property
    def _several(self) -> Several:
        return Several(self, self.network, self._in_double)

    def _in_double(self) -> Supernet:
        """One model of the same shapes in double precision, with other values."""
        twin = copy.copy(self)
        vars(twin).pop("_several", None)
        twin.models, twin.dtype, twin.training, twin.compiled = 1, torch.float64, True, False
        twin.builder = Builder(self.space, self.network, self.device, torch.float64)
        twin._stores = [unlike(self._stores[0])]
        twin._views, twin._shelves = OrderedDict(), [Shelf()]
        return twin

    def _refuse_others(self, architectures: Sequence[Architecture]) -> None:
        """Say what is wrong with architectures that are not of this space."""
        for architecture in architectures:
            arguments.check_architecture(self.space, architecture)

    def _explain(self, images: Tensor, architecture: Architecture, error: Exception) -> None:
        """Raise what is wrong with images that a network could not take, if that is it."""
        problems = arguments.explain_images(self.space, images, architecture, self.device, self.dtype)
        if problems:
            raise InputError(problems) from error

    def _made(self, architecture: Architecture, model: int) -> nn.Module:
        """A new view."""
        arguments.check_architecture(self.space, architecture)
        store = self._store(model)
        private = self.builder.network(architecture)
        cuts = self.parts.cuts(private.held, self._inputs(architecture, private.held))
        View(private, store, cuts, self._shelves[model])
        return private.network

    def _store(self, model: int) -> dict[str, Tensor]:
        arguments.check_model(model, self.models)
        return self._stores[model]

    def _inputs(self, architecture: Architecture, held: Sequence[Held]) -> Mapping[str, tuple[int, ...]]:
        """Layer -> its input channels, for layers where these are not the first ones."""
        if not self.probe.unlike:
            return {}
        return self.probe.inputs(architecture, {each.layer: each.leaf for each in held if each.leaf is not None})
