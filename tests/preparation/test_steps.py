"""What a step is made of: batches that lie where graphs read them, and no operation more than it takes."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import nasengine as nas
from nasengine.algorithms.supernet_samplers import Pass
from nasengine.data import SplitSettings, load_data, split
from nasengine.preparation import SharedWeights, train_shared_weights
from nasengine.preparation.settings import in_order_of_channels
from nasengine.preparation.staging import Staging
from nasengine.space import space_from_mapping
from nasengine.space.domain import Domain
from nasengine.tasks import ImageClassification
from nasengine.training.batches import Normalize
from tests.preparation.small import WIDTHS, begun, inputs, pooling_space, same, weights, width_space

# Beside views, what moves no number: memory without values, marks for profilers.
FREE = ("empty", "new_empty", "_record_function", "_unsafe_view", "_reshape_alias")


class Operations(TorchDispatchMode):
    """Counts what a GPU would launch one kernel for, or several."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, kinds, arguments=(), more=None):
        name = function._schema.name.partition("::")[2]
        if not function.is_view and not name.startswith(FREE):
            self.names.append(name)
        return function(*arguments, **(more or {}))


def staged(given, *, in_place, validation_batch=48):
    return Staging(given.training, given.validation, batch=64, validation_batch=validation_batch, in_place=in_place)


def test_batches_lie_in_one_place_and_hold_what_normalising_gives(tmp_path):
    given = inputs(tmp_path)
    part, normalize = given.validation, Normalize(given.training.mean, given.training.std)
    here, anew = staged(given, in_place=True), staged(given, in_place=False)
    places = set()
    for index in range(here.batches):
        chosen = slice(48 * index, 48 * index + 48)
        for pixels, labels in (here.show(index), anew.show(index)):
            assert torch.equal(pixels, normalize(part.images[chosen]))
            assert torch.equal(labels, part.labels[chosen])
        places.add(here.show(index)[0].data_ptr())
    assert here.batches == len(part) // 48 > 1
    assert len(places) == 1
    assert here.show(0)[0].is_contiguous(memory_format=torch.channels_last)


def test_a_smaller_batch_is_normalised_too_but_lies_elsewhere(tmp_path):
    given = inputs(tmp_path)
    images, labels = given.training.images, given.training.labels
    staging = staged(given, in_place=True)
    whole, _ = staging.learn(images[:64], labels[:64])
    part, _ = staging.learn(images[:10], labels[:10])
    assert staging.stays(whole)
    assert not staging.stays(part)
    assert torch.equal(part, staging.normalize(images[:10]))
    assert not staged(given, in_place=False).stays(whole)


class Capturing:
    """Takes the place of `StepGraphs`, and does all work as it is done while it is captured."""

    stream = SimpleNamespace(synchronize=lambda: None)

    def run(self, key, work, forward):
        forward()
        work(False)


MIXTURE = {"type": "balanced_mixture", "models": 2, "together": 0.4}
SEVERAL = {"type": "multi_architecture", "architectures": 2}


@pytest.mark.parametrize("sampler", [MIXTURE, "sandwich", SEVERAL], ids=["mixture", "sandwich", "several"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_as_they_are_captured_train_as_eager_ones_do(tmp_path, sampler, precision):
    found = []
    for captured in (False, True):
        space = pooling_space() if sampler == MIXTURE else width_space()
        settings = {"precision": precision, "ema": 0.9, "several": "masks"}
        training = begun(tmp_path / str(captured), sampler, settings, space=space)
        if captured:
            training.staging = staged(inputs(tmp_path, space), in_place=True, validation_batch=64)
            training.graphs = Capturing()
            training._on_stream = contextlib.nullcontext
            training._event = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
            training._on_host = torch.zeros_like(training._observed)
        train_shared_weights([training])
        found.append((weights(training), training.sampler.state()))
    assert same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_masked_steps_make_no_views_and_are_one_work_whichever_architectures_are_drawn(tmp_path, monkeypatch):
    training = begun(tmp_path, SEVERAL, {"several": "masks"}, space=width_space())
    keys, honest = [], training._key
    monkeypatch.setattr(training, "_key", lambda *given: keys.append(honest(*given)))
    training.step()  # which proves the masks, by views
    monkeypatch.setattr(training.supernet, "view", None)
    drawn = []
    draw = training.sampler.draw
    monkeypatch.setattr(training.sampler, "draw", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    train_shared_weights([training])
    assert len(set(drawn)) > 3
    assert len(keys) == 12
    assert set(keys) == {keys[0]}
    assert keys[0] is not None


def test_nothing_else_is_measured_where_an_observation_waits_to_be_told(tmp_path):
    training = begun(tmp_path, {"type": "balanced_mixture", "models": 2}, space=pooling_space())
    configuration = training.sampler.configurations[0]
    training.measure(configuration)
    training.step()
    with pytest.raises(AssertionError, match="what the last step came to"):
        training.measure(configuration)
    train_shared_weights([training])
    assert 0 <= training.measure(configuration) <= 1


def test_a_step_of_a_residual_network_takes_no_more_operations_than_its_layers_need(tmp_path):
    space = nas.load_space("pooling_resnet20")
    training, validation = split(
        load_data("synthetic", None, shape=(3, 32, 32), classes=10), SplitSettings(validation=0.5, limit=16)
    )
    given = replace(
        inputs(tmp_path), domain=Domain(space), task=ImageClassification(), training=training, validation=validation
    )
    mixture = SharedWeights({"type": "balanced_mixture", "models": 1}, precision="bfloat16").begin(given)
    in_order_of_channels(mixture.supernet)  # else gradients are reordered
    passes = (Pass((space.known["default"].architecture,)),)
    pixels, labels = mixture.staging.show(0)
    with Operations() as learning:
        mixture._train(passes, [0], pixels, labels, cache=False)
    with Operations() as measuring:
        mixture._measure(passes, (pixels, labels), cache=False)
    # 21 convolutions and norms, 19 activations, 9 sums, 2 pools, and of the head a mean and a product.
    forward = 21 + 21 + 19 + 9 + 2 + 2
    # Sums are of gradients then; a product has three gradients.
    backward = forward + 2
    # Weights and pixels are cast, and scores back.
    casts = 3
    loss = 2 + 2
    # Gradients of scores and of all weights are cast back, the loss is added up, the weights change.
    assert len(learning.names) == casts + forward + loss + backward + 4
    # Right or wrong is a maximum, a comparison, a cast and a sum.
    assert len(measuring.names) == casts + forward + 4


def test_views_run_on_weights_that_were_put_in_order_of_channels(tmp_path):
    layer = WIDTHS["network"]["layers"][0]
    network = {"type": "sequential", "layers": [layer, *WIDTHS["network"]["layers"]]}
    space = space_from_mapping({**WIDTHS, "network": network}, "two_layers.yaml")
    training = begun(tmp_path, space=space)
    supernet = training.supernet.eval()  # which has met parts of the weights already
    in_order_of_channels(supernet)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(1)
    pixels, _ = training.staging.show(0)
    for architecture in space.enumerate():
        assert torch.allclose(supernet(pixels, architecture), supernet.subnet(architecture)(pixels), rtol=1e-5)
