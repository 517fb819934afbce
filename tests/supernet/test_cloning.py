"""Copies of constructed blocks: what the constructor makes, sharing nothing that can change; else the constructor."""

from __future__ import annotations

import functools
import weakref
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasengine.supernet import Supernet, SupernetError
from nasengine.supernet.cloning import Mould
from nasengine.supernet.private import Builder
from tests.supernet import networks
from tests.supernet.networks import space_of

SEEN: list[int] = []  # of a module that writes down in its file what it saw


class Unusual(nn.Module):
    """Maps (N, 3, H, W) to the same shape, and has one unusual attribute."""

    log: list[int] = []  # noqa: RUF012 - one for all, as users write it

    def __init__(self, kind: str, drawn: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        match kind:
            case "list":
                self.value: object = [1, 2]
            case "list of lists":
                self.value = [[1], {"a": [2]}]
            case "list in a tuple":
                self.value = ([1], 2)
            case "dictionary of lists":
                self.value = {"a": [1], "b": []}
            case "set":
                self.value = {1, 2}
            case "counter":
                self.value = Counter(a=1)
            case "default dictionary":
                self.value = defaultdict(list, a=[1])
            case "tensor":
                self.value = torch.zeros(3)
            case "buffer":
                self.register_buffer("value", torch.zeros(3), persistent=False)
            case "buffer twice":
                self.register_buffer("value", torch.zeros(3))
                self.again = self.value
            case "view of a buffer":
                self.register_buffer("value", torch.zeros(3))
                self.first = self.value[:1]
            case "fixed parameter":
                self.value = nn.Parameter(torch.zeros(3), requires_grad=False)
            case "list of tensors":
                self.value = [torch.zeros(3)]
            case "generator":
                self.value = torch.Generator().manual_seed(3)
            case "closure":
                self.value = lambda: self.conv
            case "default":
                self.value = lambda own=self: own.conv
            case "bound method":
                self.value = self.conv.extra_repr
            case "partial":
                self.value = functools.partial(F.leaky_relu, negative_slope=0.1)
            case "function":
                self.value = F.relu
            case "chosen function":
                self.value = F.max_pool2d
            case "builtin":
                self.value = torch.relu
            case "weak reference":
                self.value = weakref.ref(self.conv)
            case "list of modules":
                self.value = [self.conv]
            case "parent":
                vars(self.conv)["parent"] = self
            case "shared list":
                self.value = []
                vars(self.conv)["value"] = self.value
            case "global list":
                self.value = SEEN
            case "list of the class":
                self.value = self.log
            case "hook":
                self.conv.register_forward_hook(lambda module, _, y: self.conv.bias.sum() + y)
            case "shared part":
                self.value = self.conv
            case "tied":
                self.value = nn.Conv2d(3, 3, 1)
                self.value.weight = self.conv.weight
            case "spectral":
                nn.utils.parametrizations.spectral_norm(self.conv)
            case "old spectral":
                nn.utils.spectral_norm(self.conv)
            case "slots":
                self.value = Slotted()
            case "own making":
                self.value = Made(3)
            case "plain":
                pass
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Freezing(nn.Module):
    """A network that fixes the weights of a module it is given."""

    def __init__(self, body: nn.Module, classes: int, *, width: int) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.inner = nn.Conv2d(8, width, 1)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(self.body(x)).mean((2, 3)))


class Slotted(nn.Module):
    """Keeps something beside its dictionary."""

    __slots__ = ("beside",)

    def __init__(self) -> None:
        super().__init__()
        self.beside = 1


class Made(nn.Module):
    """Takes arguments before its constructor does."""

    def __new__(cls, width: int) -> Made:
        return super().__new__(cls)

    def __init__(self, width: int) -> None:
        super().__init__()


COPIED = (
    "plain", "list", "list of lists", "list in a tuple", "dictionary of lists", "set", "tensor", "buffer",
    "buffer twice", "fixed parameter", "function", "chosen function", "builtin", "shared part", "tied",
)  # fmt: skip
CONSTRUCTED = (
    "counter", "default dictionary", "view of a buffer", "list of tensors", "generator", "closure", "default",
    "bound method", "partial", "weak reference", "list of modules", "parent", "shared list", "global list",
    "list of the class", "hook", "spectral", "old spectral", "slots", "own making",
)  # fmt: skip


def changeable(value: object) -> list[object]:
    """All that can change in a value: containers, tensors, modules."""
    found: list[object] = []
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, (list, set, dict, Tensor)):
            found.append(each)
        if isinstance(each, (list, tuple, set)):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, nn.Module):
            waiting += vars(each).values()
    return found


@pytest.mark.parametrize("kind", COPIED)
def test_a_copy_has_the_attributes_that_the_constructor_gives_and_shares_nothing_that_can_change(kind):
    made = Unusual(kind)
    learned = [parameter for parameter in made.parameters() if parameter.requires_grad]
    mould = Mould.of(made, shared=learned)
    assert mould is not None
    expected = Unusual(kind)
    before = repr(getattr(made, "value", None))
    for value in changeable(made):  # what happens to the block later is none of its copies' business
        if isinstance(value, Tensor):
            value.data.add_(1)
        elif isinstance(value, list) and all(isinstance(item, int) for item in value):
            value.append(7)
    first, second = mould.cast("")[0], mould.cast("")[0]
    for cast in (first, second):
        assert [*vars(cast)] == [*vars(expected)]
        assert [name for name, _ in cast.named_modules()] == [name for name, _ in expected.named_modules()]
        assert [*cast.state_dict()] == [*expected.state_dict()]
        if kind not in ("shared part", "tied"):
            assert repr(cast.value if kind != "plain" else None) == before
    mine = {id(value) for value in changeable(first)} - {id(parameter) for parameter in learned}
    theirs = {id(value) for cast in (made, second) for value in changeable(cast)}
    assert not mine & theirs
    if kind == "buffer twice":
        assert first.again is first.value
    if kind == "shared part":
        assert first.value is first.conv
    if kind == "tied":
        assert first.value.weight is first.conv.weight


@pytest.mark.parametrize("kind", CONSTRUCTED)
def test_what_cannot_be_copied_safely_has_no_mould(kind):
    made = Unusual(kind)
    assert Mould.of(made, shared=[parameter for parameter in made.parameters() if parameter.requires_grad]) is None


NETWORK = (
    "{{type: sequential, layers: [{{type: '{here}:Unusual', kind: '{kind}'}}, {{type: conv, width: {{choice: [3, 4]}}}}"
    ", {{type: conv, width: 3}}, {{type: '{here}:Unusual', kind: '{kind}'}}, {{type: global_average_pool}},"
    " {{type: linear_head}}]}}"
)


def unusual(kind: str):
    return space_of(NETWORK.format(here=__name__, kind=kind), modules=[__name__])


@pytest.mark.parametrize("kind", [*COPIED, *CONSTRUCTED])
def test_two_blocks_of_one_network_are_two_modules_whatever_they_hold(kind):
    space = unusual(kind)
    builder = Builder(space, None, torch.device("cpu"), torch.float32)
    for options in ({"network.layers.1.width": 3}, {"network.layers.1.width": 4}):
        network = builder.network(space.architecture(options)).network
        blocks = [module for module in network.modules() if isinstance(module, Unusual)]
        assert len(blocks) == 2
        own = [dict(zip(map(id, changeable(block)), changeable(block), strict=True)) for block in blocks]
        both = [own[0][key] for key in own[0].keys() & own[1].keys()]
        assert all(value is SEEN or value is Unusual.log or is_weight(value) for value in both)
        for block in blocks:
            match kind:
                case "closure" | "default" | "weak reference":
                    assert block.value() is block.conv
                case "list of modules":
                    assert block.value[0] is block.conv
                case "bound method":
                    assert block.value.__self__ is block.conv
                case "parent":
                    assert block.conv.parent is block
                case "shared list":
                    assert block.conv.value is block.value
                case "global list":
                    assert block.value is SEEN
                case "list of the class":
                    assert block.value is Unusual.log
                case "view of a buffer":
                    assert block.first.data_ptr() == block.value.data_ptr()


def is_weight(value: object) -> bool:
    """Whether others will hang in its place."""
    return isinstance(value, nn.Parameter) and value.requires_grad


@pytest.mark.parametrize("kind", ["hook", "closure", "generator", "tied", "counter", "list of modules"])
def test_a_view_with_unusual_blocks_computes_what_its_copy_computes(kind):
    space = unusual(kind)
    supernet = Supernet(space)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for options in ({"network.layers.1.width": 3}, {"network.layers.1.width": 4}) * 2:
        architecture = space.architecture(options)
        assert torch.equal(supernet(images, architecture), supernet.subnet(architecture)(images))


def test_networks_first_made_in_inference_mode_can_be_trained():
    space = networks.trick("table")
    builder = Builder(space, None, torch.device("cpu"), torch.float32)
    architecture = space.sample(np.random.default_rng(0))
    with torch.inference_mode():
        builder.network(architecture)
    private = builder.network(architecture)
    assert not any(value.is_inference() for value in changeable(private.network) if isinstance(value, Tensor))


def test_a_network_that_fixes_the_weights_of_a_part_is_refused_by_name():
    body = "{type: 'torch.nn:Conv2d', in_channels: 3, out_channels: 8, kernel_size: 1}"
    network = f"{{type: '{__name__}:Freezing', width: {{choice: [4, 8]}}, body: {body}}}"
    with pytest.raises(SupernetError, match=r"network\.body\.weight is learned when its module is built"):
        Supernet(space_of(network, modules=[__name__, "torch.nn"]))
