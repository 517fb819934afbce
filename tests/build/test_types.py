"""Types of users: allowed by name only, imported only then, and built like our own."""

from __future__ import annotations

import sys

import pytest
import torch

from nasengine import registry
from nasengine.build import allow_modules, build, check_space, look_up_type, resolve
from nasengine.errors import InputError, UnknownNameError
from nasengine.networks import NETWORK_TYPES
from nasengine.space import SearchSpace, parse_space

MODULE = """
import torch
from torch import nn

class Gate(nn.Module):
    '''Looks at a value while it is built, which fails on tensors without memory.'''

    def __init__(self, in_channels: int, *, slope: float = 1.0):
        super().__init__()
        self.slope = torch.linspace(0, slope, 3)[1].item()
        self.scale = nn.Parameter(torch.ones(in_channels, 1, 1))

    def forward(self, x):
        return x * self.scale * self.slope

class Tiny(nn.Module):
    def __init__(self, in_channels, classes, input_size: int, width=4):
        super().__init__()
        self.body = nn.Linear(in_channels * input_size * input_size, classes)

    def forward(self, x):
        return self.body(x.flatten(1))

class Oblong(nn.Module):
    def __init__(self, in_channels, classes, input_size: tuple[int, int]):
        super().__init__()
        self.body = nn.Linear(in_channels * input_size[0] * input_size[1], classes)

    def forward(self, x):
        return self.body(x.flatten(1))

class Any(nn.Module):
    def __init__(self, in_channels, **settings):
        super().__init__()
        self.settings = settings

    def forward(self, x):
        return x

class Pair(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return x, x

class NoModule:
    pass

NASENGINE = {"block": {"gate": Gate}}
"""

HEADER = "name: t\nabout: t\ntask: {kind: image_classification, input: [3, 8, 8], classes: 5}\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `their_blocks.inner` that can be imported, but has not been allowed."""
    folder = tmp_path / "their_blocks"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "inner.py").write_text(MODULE)
    (folder / "broken.py").write_text("def (")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_allowed", set())
    monkeypatch.setattr("nasengine.networks.NETWORK_TYPES", dict(NETWORK_TYPES))
    yield "their_blocks.inner"
    for name in [name for name in sys.modules if name.startswith("their_blocks")]:
        del sys.modules[name]


def space_of(network: str) -> SearchSpace:
    return SearchSpace(parse_space(f"{HEADER}network: {network}\n", "t.yaml"))


def in_series(node: str) -> SearchSpace:
    return space_of(f"{{type: sequential, layers: [{node}, {{type: global_average_pool}}, {{type: linear_head}}]}}")


def test_a_module_that_was_not_allowed_is_not_imported_and_the_flag_is_named(package):
    (problem,) = check_space(in_series("{type: their_blocks.inner:Gate}"))
    assert "was not allowed" in problem.message
    assert problem.expected == "if you trust it, add --plugin their_blocks.inner"
    assert package not in sys.modules


@pytest.mark.parametrize("allowed", ["their_blocks.inner", "their_blocks"])
def test_an_allowed_modules_class_is_a_type_with_inferred_arguments(package, allowed):
    allow_modules([allowed])
    space = in_series("{type: their_blocks.inner:Gate, slope: {choice: [1.0, 2.0]}}")
    assert check_space(space) == []
    network = build(space, next(space.enumerate()), seed=0)
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_allowing_a_module_does_not_allow_one_whose_name_begins_alike(package):
    allow_modules(["their"])
    with pytest.raises(UnknownNameError, match="was not allowed"):
        look_up_type("their_blocks.inner:Gate")


def test_a_root_network_of_a_user_gets_channels_size_and_classes_from_the_task(package):
    allow_modules([package])
    space = space_of("{type: their_blocks.inner:Tiny, width: {choice: [4, 8]}}")
    assert check_space(space) == []
    call = resolve(space, next(space.enumerate()))
    assert call.arguments == {"in_channels": 3, "classes": 5, "input_size": 8, "width": 4}


def test_an_input_size_is_one_number_for_square_images_and_two_where_the_constructor_says_so(package):
    allow_modules([package])
    header = HEADER.replace("[3, 8, 8]", "[3, 8, 10]")
    two = SearchSpace(parse_space(header + "network: {type: 'their_blocks.inner:Oblong'}\n", "t.yaml"))
    assert check_space(two) == []
    assert resolve(two, two.architecture({})).arguments["input_size"] == [8, 10]
    one = SearchSpace(parse_space(header + "network: {type: 'their_blocks.inner:Tiny'}\n", "t.yaml"))
    (problem,) = check_space(one)
    assert problem.message == "their_blocks.inner:Tiny in network takes square images, but gets 3×8×10"


def test_arguments_for_keywords_are_handed_on(package):
    allow_modules([package])
    space = in_series("{type: their_blocks.inner:Any, colour: red}")
    assert resolve(space, next(space.enumerate())).arguments["layers"][0].arguments == {
        "in_channels": 3,
        "colour": "red",
    }


def test_a_module_that_gives_no_tensor_is_reported(package):
    allow_modules([package])
    (problem,) = check_space(in_series("{type: their_blocks.inner:Pair}"))
    assert "in network.layers.0 gives tuple where a tensor is expected" in problem.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("their_blocks.inner:Gat", "holds no 'Gat'"),
        ("their_blocks.inner:NoModule", "is no subclass of torch.nn.Module"),
        ("their_blocks.missing:Gate", "cannot be imported: ModuleNotFoundError"),
        ("their_blocks.broken:Gate", "cannot be imported: SyntaxError"),
        ("their_blocks..inner:Gate", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_an_allowed_module_does_not_hold_is_reported(package, name, message):
    allow_modules(["their_blocks"])
    (problem,) = check_space(in_series(f"{{type: '{name}'}}"))
    assert message in problem.message
    if name.endswith("Gat"):
        assert "did you mean 'Gate'" in problem.expected


def test_a_layer_of_torch_itself_can_be_allowed():
    allow_modules(["torch.nn"])
    space = in_series("{type: 'torch.nn:Conv2d', out_channels: 6, kernel_size: {choice: [1, 3]}}")
    assert check_space(space) == []


def test_a_plug_in_with_an_empty_layer_is_refused_in_words(tmp_path, monkeypatch):
    """PyTorch only warns of it."""
    text = (
        "from torch import nn\n\n\nclass Empty(nn.Linear):\n    def __init__(self):\n        super().__init__(0, 4)\n"
    )
    (tmp_path / "empty_blocks.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    allow_modules(["empty_blocks"])
    (problem,) = check_space(in_series("{type: 'empty_blocks:Empty'}"))
    assert problem.message == "empty_blocks:Empty in network.layers.0 has a layer without inputs or outputs"
    assert problem.expected == "sizes of at least 1"


def test_an_unknown_type_may_be_one_of_a_plug_in():
    (problem,) = check_space(in_series("{type: my_block}"))
    assert ", or your own by --plugin MODULE" in problem.expected
    assert all(name in problem.expected for name in NETWORK_TYPES)


def test_loading_a_plugin_allows_its_classes_by_module_and_by_its_own_names(package):
    table = dict(NETWORK_TYPES)
    registry.load_plugins([package], {"block": registry.PluginKind(table, "a module")})
    assert look_up_type("their_blocks.inner:Gate") is table["gate"]


def test_an_unknown_plain_name_lists_the_nearest():
    with pytest.raises(InputError, match="did you mean 'mbconv'"):
        look_up_type("mbcnv")
