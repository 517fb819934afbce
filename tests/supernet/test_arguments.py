"""A supernet that is given something wrong says what was found, what was expected and the nearest right one, once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nasengine as nas
from nasengine.errors import InputError
from nasengine.supernet import Supernet
from nasengine.supernet.own_norms import SupernetWithOwnNorms
from tests.preparation.small import pooling_space


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(nas.load_space("quickstart"))


@pytest.fixture(scope="module")
def foreign():
    return nas.load_space("pooling_resnet20").sample(np.random.default_rng(0))


def refused(work, message: str, expected: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        work()
    assert expected in caught.value.problems[0].expected


@pytest.mark.parametrize(
    ("space", "message", "expected"),
    [
        ("quickstart", "needs a search space, got the text 'quickstart'", "nas.load_space('quickstart')"),
        ("quikstart", "needs a search space, got the text 'quikstart'", "did you mean 'quickstart'"),
        (None, "needs a search space, got None", "nas.load_space"),
        ({}, "needs a search space, got of type dict", "nas.load_space"),
    ],
)
def test_what_is_no_search_space_is_refused_with_how_to_load_one(space, message, expected):
    refused(lambda: Supernet(space), message, expected)


@pytest.mark.parametrize(
    ("settings", "message", "expected"),
    [
        ({"models": 0}, "at least one set of weights, got 0", ""),
        ({"models": "4"}, "models is the text '4'", "a whole number from 1: models=4"),
        ({"models": True}, "models is True", "a whole number from 1"),
        ({"network": "norm"}, "maps arguments of the root network to values, got the text 'norm'", "network={"),
        ({"network": {"nrom": {}}}, "unknown argument 'nrom'", "did you mean 'norm'"),
        ({"device": "gpu"}, "unknown device 'gpu'", "cpu, cuda or cuda:N"),
        ({"device": 1.5}, "unknown device 1.5", "cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "'cuda:99' was asked for, but torch finds", "expected cpu"),
        ({"dtype": "float64"}, "weights cannot be of type 'float64'", "did you mean 'float64'"),
        ({"dtype": torch.int64}, "weights cannot be of type torch.int64", "torch.float32"),
        ({"seed": "a"}, "seed is the text 'a'", "a whole number from 0"),
        ({"compiled": "yes"}, "compiled is the text 'yes'", "True or False"),
        ({"on_note": "print"}, "on_note is the text 'print'", "a function that takes a line, such as print, or None"),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused_with_what_it_must_be(settings, message, expected):
    refused(lambda: Supernet(nas.load_space("quickstart"), **settings), message, expected)


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(InputError) as caught:
        Supernet(nas.load_space("quickstart"), models="a", seed=-1, compiled=3)
    assert len(caught.value.problems) == 3


CALLS = {
    "called": lambda supernet, images, architecture: supernet(images, architecture),
    "viewed": lambda supernet, images, architecture: supernet.view(architecture),
    "copied": lambda supernet, images, architecture: supernet.subnet(architecture),
    "active": lambda supernet, images, architecture: supernet.active(architecture),
    "in a batch": lambda supernet, images, architecture: supernet.batch(images, [supernet.largest, architecture]),
    "planned": lambda supernet, images, architecture: supernet.plans([architecture]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_architecture_of_another_space_and_a_dictionary_are_refused_wherever_one_is_taken(supernet, foreign, call):
    images = torch.zeros(4, 1, 28, 28)
    with pytest.raises(InputError, match="this is no architecture of quickstart") as caught:
        call(supernet, images, foreign)
    assert 2 <= len(caught.value.problems) <= 5
    options = dict(supernet.largest)
    refused(lambda: call(supernet, images, options), "is wanted, got of type dict", "space.architecture(…)")


def test_an_architecture_that_lacks_a_choice_is_refused_with_the_choice(supernet):
    options = dict(supernet.largest)
    lacking = next(iter(options))
    del options[lacking]
    with pytest.raises(InputError, match="this is no architecture of quickstart") as caught:
        supernet.view(nas.Architecture(options))
    assert any(lacking in problem.message for problem in caught.value.problems)


def test_one_architecture_for_several_and_several_for_one_are_refused_with_the_other_call(supernet):
    images = torch.zeros(4, 1, 28, 28)
    refused(lambda: supernet.batch(images, supernet.largest), "a list of architectures is wanted", "supernet(images")
    refused(lambda: supernet.plans(supernet.largest), "a list of architectures is wanted", "expected a list")
    refused(lambda: supernet.plans(None), "a list of architectures is wanted, got None", "expected a list")
    refused(lambda: supernet(images, [supernet.largest]), "got of type list", "supernet.batch(images, architectures)")


def test_a_batch_of_nothing_is_refused(supernet):
    images = torch.zeros(4, 1, 28, 28)
    refused(lambda: supernet.batch(images, []), "a batch with no architecture", "at least one")
    refused(lambda: supernet.batch(images[:0], [supernet.largest]), "a batch with no image", "at least one")


def test_architectures_that_do_not_divide_the_images_are_refused(supernet):
    three = [supernet.largest] * 3
    refused(lambda: supernet.batch(torch.zeros(4, 1, 28, 28), three), "4 images does not divide among 3", "a multiple")


@pytest.mark.parametrize("mode", ["yes", None, 1])
def test_a_mode_that_is_no_truth_value_is_refused_and_changes_nothing(supernet, mode):
    before = supernet.training
    refused(lambda: supernet.train(mode), "mode is ", "True or False")
    assert supernet.training is before


@pytest.mark.parametrize("model", ["1", 1, -1, None, [0], False])
def test_a_set_of_weights_that_there_is_not_is_refused(supernet, model):
    with pytest.raises(InputError, match=r"there is no model|model is"):
        supernet(torch.zeros(4, 1, 28, 28), supernet.largest, model=model)


@pytest.mark.parametrize(
    ("images", "message", "expected"),
    [
        (torch.zeros(4, 3, 28, 28), r"images have the shape \(4, 3, 28, 28\)", "(N, 1, height, width)"),
        (torch.zeros(1, 28, 28), r"images have the shape \(1, 28, 28\)", "(N, 1, height, width)"),
        (np.zeros((4, 1, 28, 28)), "images are of type ndarray", "a tensor of (N, 1, height, width)"),
        (torch.zeros(4, 1, 28, 28).double(), "images are of torch.float64, the weights of torch.float32", "images.to("),
        (torch.zeros(4, 1, 28, 28, dtype=torch.uint8), "images are of torch.uint8", "images.float()"),
        (torch.zeros(4, 1, 28, 28, device="meta"), "images are on meta, the weights on cpu", "images.to('cpu')"),
    ],
)
def test_images_that_no_network_of_the_space_takes_are_refused_with_what_they_must_be(
    supernet, images, message, expected
):
    refused(lambda: supernet(images, supernet.largest), message, expected)
    refused(lambda: supernet.batch(images, [supernet.largest]), message, expected)


def test_a_resolution_is_refused_only_if_the_network_cannot_take_it(supernet):
    assert supernet(torch.zeros(4, 1, 32, 32), supernet.largest).shape == (4, 10)
    refused(lambda: supernet(torch.zeros(4, 1, 0, 28), supernet.largest), "images of 0x28 pixels", "expected 28x28")


def test_an_error_of_a_network_that_has_nothing_to_do_with_the_images_is_not_explained_away(supernet, monkeypatch):
    def fail(images):
        raise RuntimeError("out of luck")

    view = supernet.view(supernet.smallest)
    monkeypatch.setattr(view, "forward", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        supernet(torch.zeros(4, 1, 28, 28), supernet.smallest)


def test_weights_that_are_no_mapping_of_tensors_are_refused(supernet):
    refused(lambda: supernet.load_state(None), "weights map names to tensors, got NoneType", "supernet.state()")
    refused(lambda: supernet.load_state({"a": 1}), "weights map names to tensors, got a mapping", "supernet.state()")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_weights_of_another_type_of_number_are_refused_instead_of_rounded(supernet, dtype):
    name, *_ = supernet.state()
    before = supernet.state()[name].clone()
    others = {**supernet.state(), name: (before + 1).to(dtype)}
    refused(lambda: supernet.load_state(others), f"{name} is of {dtype}, expected torch.float32", "")
    assert torch.equal(supernet.state()[name], before)


def test_weights_without_values_are_refused_and_none_is_copied(supernet):
    first, *_, last = supernet.state()
    before = supernet.state()[first].clone()
    others = {**supernet.state(), first: before + 1, last: supernet.state()[last].to("meta")}
    refused(lambda: supernet.load_state(others), f"^{last} is on the device meta", "supernet.state()")
    assert torch.equal(supernet.state()[first], before)


def test_a_supernet_of_own_norms_refuses_what_any_supernet_does():
    space = pooling_space()
    supernet = SupernetWithOwnNorms(space)
    images, largest = torch.zeros(4, 1, 8, 8), supernet.largest
    refused(lambda: supernet.view(dict(largest)), "is wanted, got of type dict", "space.architecture(…)")
    refused(lambda: supernet.view(largest, model=[0]), "model is of type list", "a whole number from 0")
    refused(lambda: supernet.batch(images, None), "a list of architectures is wanted, got None", "expected a list")
    refused(lambda: supernet.batch(images, [largest] * 3), "4 images does not divide among 3", "a multiple")
    refused(lambda: supernet.load_state(None), "weights map names to tensors, got NoneType", "supernet.state()")
    own = next(name for name in supernet.state() if "@" in name)
    short = {**supernet.state(), own: torch.zeros(1)}
    refused(lambda: supernet.load_state(short), "has the shape", "")
