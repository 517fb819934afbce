"""Masked passes: one forward and backward of a large network for many architectures, each on its own images.

    scores = supernet.batch(images, architectures)        # image i belongs to architecture i mod K

Architectures are grouped into plans; each plan runs in one pass through a network that masks, or, where masks are not
equal to views, as views one after the other. New architectures cost a table look-up and two small tensors.
"""

from __future__ import annotations

import contextlib
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nasengine.build.network import task_of
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.cuts import Cut
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.facts import Facts, read_facts
from nasengine.supernet.keys import Held, layers
from nasengine.supernet.lookup import Lookup, Row
from nasengine.supernet.masked_network import MaskedNetwork
from nasengine.supernet.masking import MaskError
from nasengine.supernet.plans import Key, Plan, Structure
from nasengine.supernet.proved import Proved

Run = Callable[[MaskedNetwork, Tensor], Tensor]
PAD_SAMPLES = 4  # architectures in which is looked how wide the input of a padding layer is


class SharedWeights(Protocol):
    """What masks need of a supernet."""

    space: SearchSpace
    training: bool
    compiled: bool
    device: torch.device
    on_note: Callable[[str], None] | None

    @property
    def whole(self) -> Architecture:
        """The largest architecture, relations left aside."""

    def store(self, model: int) -> Mapping[str, Tensor]:
        """Key -> shared tensor."""

    def private(self, architecture: Architecture) -> tuple[nn.Module, Sequence[tuple[Held, Cut]]]:
        """A network without memory for weights, where its tensors hang and which parts they are."""

    def __call__(self, images: Tensor, architecture: Architecture, *, model: int = 0) -> Tensor:
        """The view of an architecture, run."""

    def subnet(self, architecture: Architecture, *, model: int = 0) -> nn.Module:
        """A stand-alone copy of it."""


class MaskedPasses:
    """Runs several architectures of a supernet in one pass.

    Args:
        weights: the supernet.
        proved: what is known of this space from before.
    """

    def __init__(self, weights: SharedWeights, proved: Proved) -> None:
        self.weights = weights
        self.proved = proved
        self.lookup = Lookup(weights.space, self._read, weights.whole, proved.learned)
        proved.learned = proved.learned or self.lookup.to_json()
        self.structure = Structure(self.lookup, proved.structural)
        self._networks: dict[Key, MaskedNetwork] = {}
        self._runs: dict[tuple[Key, int, int], Run] = {}

    def _read(self, architecture: Architecture) -> Facts:
        network, hung = self.weights.private(architecture)
        return read_facts(network, {held.key: cut for held, cut in hung})

    # --- plans ----------------------------------------------------------------------------------------------------

    def plans(self, architectures: Sequence[Architecture], prove: Callable[[Key], bool]) -> list[Plan]:
        """Which architectures run together.

        Args:
            prove: make sure that a plan's masks are equal to views, or note why not; True where the structural
                choices have changed by it.
        """
        rows = self.weights.space.encode_many(architectures)
        while True:
            groups = self.structure.group(rows)
            together = [key for key, positions in groups.items() if len(positions) > 1]
            if not any(prove(key) for key in together if self._name(key) not in self.proved.notes):
                break
        found = []
        for key, positions in groups.items():
            members = tuple(architectures[position] for position in positions)
            note = "no other agrees with it"
            if len(positions) > 1:
                note = self.proved.notes.get(self._name(key), "") or self._misfit(key, rows[positions])
            found.append(Plan(members, tuple(positions), key, not note, note))
        return found

    def _misfit(self, key: Key, rows: NDArray[np.int16]) -> str:
        """Why some architectures cannot run by a network that is proved; empty if all can."""
        try:
            self.network(key).compute(rows)
        except MaskError as error:
            return str(error)
        return ""

    def _name(self, key: Key) -> str:
        options = zip(self.structure.columns, key, strict=True)
        return ",".join(f"{column}={option}" for column, option in options)

    def note(self, key: Key, why: str, unreached: Sequence[str] = ()) -> None:
        """Remember that a plan is proved (`why` is empty), or why it runs as views.

        Args:
            unreached: tensors of which nothing is proved, as no way leads from them to the output of any network.
        """
        self.proved.notes[self._name(key)] = why
        self.proved.unreached[self._name(key)] = list(unreached)

    def separate(self, columns: Sequence[int]) -> None:
        """These choices are structural too; what was built for plans with fewer is forgotten."""
        self.structure.add(columns)
        self.proved.structural = list(self.structure.columns)
        self.proved.notes.clear()
        self.proved.unreached.clear()
        self._networks.clear()
        self._runs.clear()

    # --- running --------------------------------------------------------------------------------------------------

    def network(self, key: Key) -> MaskedNetwork:
        """The network of a plan.

        Raises:
            MaskError: there can be none.
        """
        if key not in self._networks:
            base = self.structure.base(key)
            try:
                self._networks[key] = MaskedNetwork(base, self.structure, self._build, self._pads(base, key))
            except SupernetError as error:
                raise MaskError(str(error)) from error
        return self._networks[key]

    def _architecture(self, row: Row) -> Architecture:
        return self.weights.space.decode(np.array(row, dtype=np.int16))

    def _build(self, row: Row) -> tuple[nn.Module, Sequence[tuple[Held, Cut]]]:
        return self.weights.private(self._architecture(row))

    def run(self, images: Tensor, key: Key, rows: NDArray[np.int16], *, model: int = 0) -> Tensor:
        """One masked pass: (B, …) for (K, D) rows of one plan.

        Raises:
            MaskError: an architecture does not fit, or the images do not divide among them.
        """
        network = self.network(key)
        numbers, patterns = (to(tensor, images.device) for tensor in network.compute(rows))
        return self.run_by(network, key, images, numbers, patterns, model=model)

    def run_by(
        self, network: MaskedNetwork, key: Key, images: Tensor, numbers: Tensor, patterns: Tensor, *, model: int
    ) -> Tensor:
        """The same by masks that were computed: (K, columns) and (K, channels), where the images are."""
        network.masks.set(numbers, patterns, len(images))
        network.put(self.weights.store(model))
        if network.training != self.weights.training:
            network.train(self.weights.training)
        return self._run_of(key, len(numbers), len(images))(network, images)

    def _run_of(self, key: Key, architectures: int, images: int) -> Run:
        if not self.weights.compiled:
            return _run
        shape = key, architectures, images
        if shape not in self._runs:
            # A code object of its own for each plan and shape: the compiler counts graphs by it, and stops at a few.
            own = types.FunctionType(_run.__code__.replace(co_name="masked_pass"), _run.__globals__)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the compiler says when it is imported
                self._runs[shape] = torch.compile(own, dynamic=False)
        return self._runs[shape]

    def batch(self, images: Tensor, plans: Sequence[Plan], *, model: int = 0) -> Tensor:
        """(B, …) for all architectures of some plans; image i belongs to the architecture at position i mod K."""
        count = sum(len(plan.architectures) for plan in plans)
        if not count:
            raise MaskError("a batch of no architectures")
        if len(images) % count:
            raise MaskError(f"a batch of {len(images)} images does not divide among {count} architectures")
        if len(plans) == 1 and plans[0].masked:
            return self.run(images, plans[0].key, self._rows(plans[0]), model=model)
        split = images.unflatten(0, (-1, count))  # type: ignore[no-untyped-call]  # (R, K, …)
        outputs: dict[int, Tensor] = {}
        for plan in plans:
            outputs |= self._outputs(split, plan, model)
        scores: Tensor = _side_by_side([outputs[position] for position in range(count)])
        return scores

    def _rows(self, plan: Plan) -> NDArray[np.int16]:
        return self.weights.space.encode_many(plan.architectures)

    def _outputs(self, split: Tensor, plan: Plan, model: int) -> Iterator[tuple[int, Tensor]]:
        if not plan.masked:
            for position, architecture in zip(plan.positions, plan.architectures, strict=True):
                yield position, self.weights(split[:, position], architecture, model=model)
            return
        # Not by a list of indices, for which a device would have to be waited for.
        images = torch.stack([split[:, position] for position in plan.positions], 1).flatten(0, 1)
        scores = self.run(images, plan.key, self._rows(plan), model=model)
        for place, position in enumerate(plan.positions):
            yield position, _every(scores, place, len(plan.positions))

    # --- padding layers -------------------------------------------------------------------------------------------

    def _pads(self, base: Row, key: Key) -> dict[str, str]:
        """Layers that pad channels with zeros -> a layer that sees as many channels, in all of some architectures.

        Raises:
            MaskError: no layer has.
        """
        rng = np.random.default_rng(0)
        rows = [base]
        for row in self.weights.space.sample_encoded(rng, PAD_SAMPLES).tolist():
            for column, option in zip(self.structure.columns, key, strict=True):
                row[column] = option
            rows.append(self.lookup.row(row))
        if not any(base_pads(self._build(base)[0])):
            return {}
        widths = [self._pad_widths(row) for row in rows]
        found = {}
        for pad in widths[0]:
            candidates = []
            for fact in self.lookup.values:
                if fact[0] != "inputs":
                    continue
                theirs = [self.lookup.facts(row).get(fact) for row in rows]
                if all(their == width.get(pad) for their, width in zip(theirs, widths, strict=True)):
                    candidates.append(fact[1])
            if not candidates:
                raise MaskError(f"{pad} pads channels of which no other layer sees as many")
            found[pad] = max(candidates, key=lambda candidate: _common(candidate, pad))
        return found

    def _pad_widths(self, row: Row) -> dict[str, int]:
        """Channels that go into each padding layer of an architecture, found by running it without memory."""
        network, _ = self._build(row)
        shape = task_of(self.weights.space.fill(self._architecture(row)))[0]
        found: dict[str, int] = {}
        with contextlib.ExitStack() as stack:
            for key, pad in base_pads(network):

                def look(_: nn.Module, given: tuple[Tensor, ...], key: str = key) -> None:
                    found[key] = given[0].shape[-1]

                stack.callback(pad.register_forward_pre_hook(look).remove)
            try:
                with torch.no_grad():
                    network.to("meta").eval()(torch.empty(2, *shape, device="meta"))
            except (RuntimeError, NotImplementedError) as error:
                raise MaskError(f"padding layers cannot be measured: {error}") from error
        return found


def base_pads(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that put zeros behind channels, with their keys."""
    return ((layer.key, layer.module) for layer in layers(network) if isinstance(layer.module, nn.ZeroPad1d))


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _run(network: MaskedNetwork, images: Tensor) -> Tensor:
    output: Tensor = network(images)
    return output


def _every(scores: Any, place: int, step: int) -> Any:
    """Every n-th image's scores; of networks with several outputs, of each."""
    if isinstance(scores, tuple):
        return tuple(_every(part, place, step) for part in scores)
    return scores[place::step]


def _side_by_side(scores: list[Any]) -> Any:
    """Scores of K architectures in the order of their images."""
    if isinstance(scores[0], tuple):
        return tuple(_side_by_side(list(parts)) for parts in zip(*scores, strict=True))
    return torch.stack(scores, 1).flatten(0, 1)


def to(tensor: Tensor, device: torch.device) -> Tensor:
    """Copied to a device without waiting for it."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
