"""A relaxed supernet: in place of a choice stand all of its options at once, mixed by probabilities that are learned.

A choice is mixed at the smallest modules around what it changes that give the same shape for all of its options, found
by comparing plain networks that differ in this choice alone; one that is used in several places has one set of
probabilities for all. All options run on the shared weights. Choices within an option of another are mixed in there.

    relaxed = RelaxedSupernet(supernet)
    scores = relaxed(images)                # every option of every choice, weighted
    relaxed.architecture()                  # the most probable option of each

Source: Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv:1806.09055, eq. 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.build.network import example_input
from nasengine.errors import Problem
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.encoding import INACTIVE
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.keys import layers
from nasengine.supernet.private import Private
from nasengine.supernet.supernet import Supernet
from nasengine.supernet.views import View

MOST_NETWORKS = 400  # built while looking for the places; choices that hang together multiply
START = 1.0  # of every logit, as in the code released with arXiv:2306.11982
NOT_SETTINGS = ("node_path", "training")
Place: TypeAlias = tuple[str, ...]  # the names that lead to a module
PLAIN = (bool, int, float, str, type(None))


class Mixture(nn.Module):
    """The options of a choice side by side; gives the mean of what they give, weighted by softmax of the logits.

    Args:
        options: modules that take the same and give the same shape.
        logits: (options,) one for each.
    """

    def __init__(self, options: Sequence[nn.Module], logits: nn.Parameter) -> None:
        super().__init__()
        self.options = nn.ModuleList(options)
        self.logits = logits

    def forward(self, *inputs: Any) -> Tensor:
        """What any one option takes to what it gives."""
        mixed: Tensor | None = None
        for weight, option in zip(self.logits.softmax(0), self.options, strict=True):
            part: Tensor = weight * option(*inputs)  # a scalar keeps the type that autocast has chosen
            mixed = part if mixed is None else mixed + part
        assert mixed is not None, "a choice has options"
        return mixed


class RelaxedSupernet:
    """All architectures of a space at once, on one set of weights of a supernet.

    Args:
        supernet: its weights are used in place; gradients flow to them.
        model: which set of weights.

    Raises:
        SupernetError: a choice that cannot be mixed, with the reason.
    """

    def __init__(self, supernet: Supernet, *, model: int = 0) -> None:
        space = supernet.space
        refuse_relations(space)
        self.supernet, self.model = supernet, model
        self.logits = {
            decision.path: nn.Parameter(
                torch.full((len(decision.options),), START, device=supernet.device, dtype=supernet.dtype)
            )
            for decision in space.decisions
        }
        self.network = _Relaxing(supernet, model, self.logits).network()
        self.train(supernet.training)

    def __call__(self, images: Tensor) -> Tensor:
        """What the mixture of all networks gives for (N, C, H, W) images."""
        scores: Tensor = self.network(images)
        return scores

    def train(self, mode: bool = True) -> RelaxedSupernet:
        """Training or evaluation."""
        self.network.train(mode)
        return self

    def probabilities(self) -> dict[str, list[float]]:
        """Choice -> the probability of each of its options, in their order."""
        return {path: logits.detach().double().softmax(0).tolist() for path, logits in self.logits.items()}

    def architecture(self) -> Architecture:
        """The most probable option of every choice; of equals the first."""
        wishes = [max(range(len(row)), key=row.__getitem__) for row in self.probabilities().values()]
        return _decode(self.supernet, wishes)


@dataclass(frozen=True, slots=True)
class _Built:
    """A network on shared weights, and the shape that each of its modules gives for two images."""

    network: nn.Module
    shapes: Mapping[Place, tuple[int, ...]]


class _Relaxing:
    """Puts mixtures into a network, outer choices first."""

    def __init__(self, supernet: Supernet, model: int, logits: Mapping[str, nn.Parameter]) -> None:
        self.supernet, self.model, self.logits = supernet, model, logits
        self.decisions = supernet.space.decisions
        self.mixed: set[int] = set()
        self.built = 0

    def network(self) -> nn.Module:
        """The largest network with mixtures in place of every choice."""
        start = self.supernet.space.encode(self.supernet.largest).tolist()
        wishes = [0 if option == INACTIVE else option for option in start]
        network = self.relax(wishes, range(len(self.decisions)), self.build(wishes), ())
        for column, decision in enumerate(self.decisions):
            if column not in self.mixed:
                found = f"the choice {decision.path!r} changes no module, so there is nothing to mix"
                raise SupernetError(Problem(found, expected="expected choices of blocks and of their arguments"))
        return network

    def relax(self, wishes: list[int], columns: Sequence[int], built: _Built, within: Place) -> nn.Module:
        """The network of some wishes with mixtures in place of some choices.

        Args:
            wishes: the option of every decision, active or not.
            columns: decisions that are to be mixed; those that are not active wait for an option that has them.
            built: the network of the wishes.
            within: nothing outside of this module is touched.
        """
        here = _decode(self.supernet, wishes)
        active = [column for column in columns if self.decisions[column].path in here]
        waiting = [column for column in columns if column not in active]
        options = {column: self.variants(wishes, column) for column in active}
        places = [(place, column) for column in active for place in self.places(built, column, options[column], within)]
        network, done = built.network, list[Place]()
        for place, column in sorted(places, key=lambda entry: (len(entry[0]), entry[1])):
            if any(place[: len(outer)] == outer for outer in done):  # taken along by a choice around it
                continue
            done.append(place)
            inner = {other for theirs, other in places if other != column and theirs[: len(place)] == place}
            parts = []
            for option, variant in enumerate(options[column]):
                wish = [*wishes[:column], option, *wishes[column + 1 :]]
                left = [*sorted(inner), *waiting]
                whole = self.relax(wish, left, variant, place) if left else variant.network
                parts.append(whole.get_submodule(".".join(place)))
            network = _replaced(network, place, Mixture(parts, self.logits[self.decisions[column].path]))
            self.mixed.add(column)
        return network

    def variants(self, wishes: list[int], column: int) -> list[_Built]:
        """The network with each option of one decision."""
        count = len(self.decisions[column].options)
        return [self.build([*wishes[:column], option, *wishes[column + 1 :]]) for option in range(count)]

    def places(self, built: _Built, column: int, options: Sequence[_Built], within: Place) -> list[Place]:
        """The smallest modules around what a choice changes that give the same shape whatever it takes.

        Raises:
            SupernetError: they reach beyond `within`, or the shape of the scores depends on the choice.
        """
        name = ".".join(within)
        part = built.network.get_submodule(name)
        changed = {
            (*within, *place) for other in options for place in differences(part, other.network.get_submodule(name))
        }
        found: set[Place] = set()
        for place in changed:
            while any(
                built.shapes.get(place) is None or one.shapes.get(place) != built.shapes[place] for one in options
            ):
                if place == within:
                    raise self.tangled(column, within)
                place = place[:-1]
            found.add(place)
        return [one for one in found if not any(one != other and one[: len(other)] == other for other in found)]

    def tangled(self, column: int, within: Place) -> SupernetError:
        """The error that a choice cannot be mixed where it stands."""
        path, space = self.decisions[column].path, self.supernet.space.name
        if within:
            found = f"the choice {path!r} of {space} changes what other choices change too, so they cannot be mixed"
            return SupernetError(Problem(found, expected="expected choices that change modules of their own"))
        found = f"the choice {path!r} of {space} changes the shape of the scores, or they are no one tensor"
        return SupernetError(Problem(found, expected="expected options that can stand for each other"))

    @torch.no_grad()
    def build(self, wishes: list[int]) -> _Built:
        """A network whose layers each run on their part of the shared weights, so that they can be moved."""
        supernet = self.supernet
        self.built += 1
        if self.built > MOST_NETWORKS:
            found = f"the choices of {supernet.space.name} lie within each other too deeply: more than {MOST_NETWORKS} "
            raise SupernetError(
                Problem(f"{found}networks would be mixed", expected="expected choices that change modules of their own")
            )
        architecture = _decode(supernet, wishes)
        network, parts = supernet.private(architecture)
        store = dict(supernet.store(self.model))
        for layer in layers(network):
            own = [(held, cut) for held, cut in parts if held.layer == layer.key]
            if own:
                View(Private(layer.module, tuple(held for held, _ in own)), store, [cut for _, cut in own])
        images = example_input(supernet.space, architecture, 2, "cpu").to(supernet.device, supernet.dtype)
        return _Built(network, _shapes(network.eval(), images))


def _shapes(network: nn.Module, images: Tensor) -> dict[Place, tuple[int, ...]]:
    """Name of a module -> the shape it gives; without those that run more than once, or give more than one tensor."""
    seen: dict[Place, list[Any]] = {}

    def remember(place: Place) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: seen.setdefault(place, []).append(output)

    handles = [
        module.register_forward_hook(remember(tuple(name.split(".")) if name else ()))
        for name, module in network.named_modules()
    ]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return {
        place: tuple(outputs[0].shape)
        for place, outputs in seen.items()
        if len(outputs) == 1 and isinstance(outputs[0], Tensor)
    }


def refuse_relations(space: SearchSpace) -> None:
    """Refuse a space whose choices cannot be made one by one.

    Raises:
        SupernetError: it has relations.
    """
    if space.relations:
        message = f"{space.name} has relations between choices, so their options cannot be weighed one by one"
        raise SupernetError(Problem(message, expected="expected a space without `relations:`"))


def differences(first: nn.Module, second: nn.Module) -> Iterator[Place]:
    """The names that lead to the smallest modules in which two networks differ: class, settings, shapes, or parts."""
    if (
        type(first) is not type(second)
        or first._modules.keys() != second._modules.keys()
        or _settings(first) != _settings(second)
    ):
        yield ()
        return
    for name, child in first._modules.items():
        other = second._modules[name]
        if child is None or other is None:
            if child is not other:
                yield ()
            continue
        for below in differences(child, other):
            yield (name, *below)


def _settings(module: nn.Module) -> dict[str, Any]:
    """What a module holds beside its parts: plain values, and the shapes of its tensors."""
    held = {
        name: value for name, value in vars(module).items() if not name.startswith("_") and name not in NOT_SETTINGS
    }
    tensors = {**module._parameters, **module._buffers}
    shapes = {name: None if tensor is None else tuple(tensor.shape) for name, tensor in tensors.items()}
    return {**{name: value for name, value in held.items() if _is_plain(value)}, "tensors": shapes}


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, PLAIN)


def _replaced(network: nn.Module, place: Place, module: nn.Module) -> nn.Module:
    """The network with another module at a place."""
    if not place:
        return module
    network.get_submodule(".".join(place[:-1]))._modules[place[-1]] = module
    return network


def _decode(supernet: Supernet, wishes: Sequence[int]) -> Architecture:
    return supernet.space.decode(np.array(list(wishes), dtype=np.int16))
