"""The one loop that trains shared weights, whatever the sampler."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nasengine.algorithms.supernet_samplers import Pass
from nasengine.build import build
from nasengine.errors import InputError, TrialError
from nasengine.preparation import SharedWeights, train_shared_weights
from nasengine.space import space_from_mapping
from nasengine.space.domain import Domain
from nasengine.training.batches import Normalize, epoch_batches
from nasengine.training.settings import training_settings
from tests.preparation.small import BATCH_NORM, WIDTHS, begun, inputs, pooling_space, same, weights, width_space

MIXTURE = {"type": "balanced_mixture", "models": 2}


class Fixed:
    """A sampler that always draws the same passes; takes the place of a training's own."""

    models, observes = 1, False

    def __init__(self, *passes):
        self.passes = passes
        self.observed = []

    def begin_epoch(self, moment):
        pass

    def begins_as(self, moment):
        return {}

    def draw(self, moment, rng):
        return self.passes

    def observe(self, moment, passes, measured):
        self.observed.append((moment.step, measured))

    def record(self):
        return {}

    def state(self):
        return {}

    def table(self):
        return None


def first_batch(training):
    settings = training.settings
    batches = epoch_batches(training.training, settings.augmentation, batch=64, images=256, seed=3, epoch=0)
    images, labels = next(batches)
    return Normalize(training.training.mean, training.training.std)(images), labels


def test_more_architectures_in_a_pass_than_images_in_a_batch_are_refused(tmp_path):
    training = begun(tmp_path)
    training.sampler = Fixed(Pass((training.supernet.largest,) * 65))
    with pytest.raises(InputError, match="65 architectures in one pass need as many images, and a batch has 64"):
        training.step()


def test_a_step_on_one_architecture_is_a_step_of_its_plain_network(tmp_path):
    training = begun(tmp_path, settings={"optimizer": {"type": "sgd", "rate": 0.1, "weight_decay": 0.01}})
    architecture = training.supernet.space.known["middle"].architecture
    training.sampler = Fixed(Pass((architecture,)))
    alone = build(pooling_space(), architecture, network=BATCH_NORM)
    alone.load_state_dict(training.supernet.subnet(architecture).state_dict())
    images, labels = first_batch(training)
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    F.cross_entropy(alone(images), labels).backward()
    optimizer.step()
    training.step()
    trained = training.supernet.subnet(architecture).state_dict()
    for name, value in alone.state_dict().items():
        assert torch.allclose(value, trained[name], rtol=1e-5, atol=1e-7), name


def test_the_gradients_of_all_passes_accumulate_and_the_taught_follow_the_first(tmp_path):
    training = begun(tmp_path, space=width_space(), settings={"optimizer": {"type": "sgd", "rate": 1, "momentum": 0}})
    supernet, space = training.supernet, training.supernet.space
    narrow, wide = (space.architecture({"network.layers.0.width": width}) for width in (4, 8))
    training.sampler = Fixed(Pass((wide,), regularized=False), Pass((narrow,), target="teacher", regularized=False))
    before = weights(training)
    images, labels = first_batch(training)
    teacher = supernet.view(wide).eval()(images)
    loss = F.cross_entropy(teacher, labels)
    loss = loss + F.cross_entropy(supernet.view(narrow).eval()(images), teacher.detach().softmax(1))
    gradients = torch.autograd.grad(loss, supernet.parameters())
    training.step()
    for (key, parameter), gradient in zip(supernet.named_parameters(), gradients, strict=True):
        assert torch.allclose(before[f"0/{key}"] - gradient, parameter, rtol=1e-4, atol=1e-6), key


@pytest.mark.parametrize("make", [pooling_space, width_space])
def test_passes_as_they_are_captured_leave_what_eager_ones_leave(tmp_path, make):
    found = []
    for captured in (False, True):
        training = begun(tmp_path, space=make(), settings={"precision": "bfloat16"}, network={})
        largest, smallest = training.supernet.largest, training.supernet.smallest
        passes = Pass((largest,), regularized=False), Pass((smallest,), target="teacher", regularized=False)
        pixels, labels = training.staging.show(0)
        training.passes.gradients(passes, pixels, labels, cache=not captured)
        gradients = {key: parameter.grad for key, parameter in training.supernet.named_parameters()}
        measured = torch.zeros(1, dtype=torch.float64)
        training.passes.measure((smallest,), 0, pixels, labels, sums=measured, cache=not captured)
        found.append({**weights(training), **gradients, "measured": measured})
    assert same(*found)


def test_images_of_a_batch_are_dealt_to_the_architectures_of_a_pass_in_turn(tmp_path):
    training = begun(tmp_path, space=width_space())
    supernet = training.supernet
    three = tuple(supernet.space.enumerate())
    supernet.eval()
    images, _ = first_batch(training)
    with torch.no_grad():
        scores = training.passes._scores(images, three, 0, regularized=True)
        for first, architecture in enumerate(three):
            assert torch.allclose(scores[first::3], supernet(images[first::3], architecture), atol=1e-6)


def without_dropout():
    layers = [*WIDTHS["network"]["layers"][:2], {"type": "linear_head"}]
    return space_from_mapping({**WIDTHS, "network": {**WIDTHS["network"], "layers": layers}}, "without_dropout.yaml")


def test_two_masked_passes_of_a_step_leave_the_gradients_of_their_views(tmp_path):
    found = []
    for several in ("masks", "views"):
        settings = {"several": several, "optimizer": {"type": "sgd", "rate": 0.1}}
        training = begun(tmp_path / several, settings=settings, space=without_dropout())
        one, other, third = training.supernet.space.enumerate()
        steps = iter(
            [
                (Pass((one, other)), Pass((third, one), target="teacher")),
                (Pass((third, other)), Pass((other, one), target="teacher")),
            ]
        )
        training.sampler = Fixed()
        training.sampler.draw = lambda moment, rng, steps=steps: next(steps)
        for _ in range(2):
            training.step()
        found.append(weights(training))
    for key, value in found[0].items():
        assert torch.allclose(value, found[1][key], rtol=1e-4, atol=1e-6), key


def test_masks_train_as_views_do(tmp_path):
    sampler = {"type": "multi_architecture", "architectures": 2}
    space = without_dropout()
    trainings = [
        begun(tmp_path / several, sampler, {"several": several}, space=space) for several in ("masks", "views")
    ]
    train_shared_weights(trainings)
    by_masks, by_views = map(weights, trainings)
    for key, value in by_masks.items():
        assert torch.allclose(value, by_views[key], rtol=1e-3, atol=1e-5), key


def test_architectures_that_share_no_plan_run_by_views_in_a_step_that_can_be_replayed(tmp_path):
    training = begun(tmp_path / "pools", settings={"several": "masks"})
    pools = Pass(tuple(training.supernet.space.enumerate())[:2])
    assert len(training.supernet.plans(pools.architectures)) == 2
    assert not training.passes.masks(pools, 64)
    assert training._key((pools,), training.passes.standing((pools,), 64), 64) == (pools,)
    wide = begun(tmp_path / "widths", settings={"several": "masks"}, space=without_dropout())
    assert wide.passes.masks(Pass(tuple(wide.supernet.space.enumerate())[:2]), 64)


def test_only_the_models_that_were_drawn_change(tmp_path):
    training = begun(tmp_path, MIXTURE)
    architecture = training.supernet.space.known["middle"].architecture
    training.sampler = Fixed(Pass((architecture,), model=1))
    before = weights(training)
    training.step()
    changed = {key.partition("/")[0] for key, value in weights(training).items() if not torch.equal(before[key], value)}
    assert changed == {"1"}


def test_what_is_observed_is_the_accuracy_on_held_out_images_after_the_step(tmp_path):
    training = begun(tmp_path)
    one, other, _ = training.supernet.space.enumerate()
    training.sampler = Fixed(Pass((one,)), Pass((other, one)))
    training.sampler.observes = True
    training.step()
    part = training.validation
    images = Normalize(part.mean, part.std)(part.images[:64])
    training.supernet.eval()
    with torch.no_grad():
        right = training.supernet(images, one).argmax(1) == part.labels[:64]
        dealt = [
            training.supernet(images[k::2], a).argmax(1) == part.labels[k:64:2] for k, a in enumerate((other, one))
        ]
    training.step()
    ((step, measured),) = training.sampler.observed
    assert step == 0
    assert measured == [[right.double().mean()], [values.double().mean() for values in dealt]]


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path):
    def stop(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    settings = SharedWeights(MIXTURE, ema=0.9, clip_norm=1.0)
    whole, pieces = inputs(tmp_path / "whole"), inputs(tmp_path / "pieces")
    settings.prepare(whole)
    with pytest.raises(KeyboardInterrupt):
        settings.prepare(pieces, stop)
    assert not (tmp_path / "pieces" / "supernet.json").exists()
    # A kill may come between the line of the history and the checkpoint.
    with (tmp_path / "pieces" / "history.jsonl").open("a") as file:
        file.write('{"epoch":3,"loss"')
    settings.prepare(pieces)
    for name in ("weights.safetensors", "table.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "pieces" / name).read_bytes(), name
    lines = [json.loads(line) for line in (tmp_path / "pieces" / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert not (tmp_path / "pieces" / "checkpoints").exists()


@pytest.mark.parametrize("sampler", ["single_path", "sandwich", MIXTURE], ids=["single_path", "sandwich", "mixture"])
def test_trainings_that_take_turns_do_what_each_does_alone(tmp_path, sampler):
    space = pooling_space() if sampler is MIXTURE else width_space()
    alone = begun(tmp_path / "alone", sampler, space=space)
    train_shared_weights([alone])
    together = [begun(tmp_path / f"{seed}", sampler, space=space, seed=seed) for seed in (3, 4)]
    state = torch.get_rng_state()
    train_shared_weights(together)
    assert torch.equal(state, torch.get_rng_state())
    assert same(weights(alone), weights(together[0]))
    assert not same(weights(alone), weights(together[1]))


@pytest.mark.parametrize("sampler", ["fair", {"type": "multi_architecture", "architectures": 3}], ids=str)
def test_every_sampler_makes_shared_weights_better(tmp_path, sampler):
    training = begun(tmp_path, sampler, budget={"epochs": 6})
    architecture = training.supernet.space.known["middle"].architecture
    before = training.measure(architecture)
    train_shared_weights([training])
    assert training.history[-1]["loss"] < training.history[0]["loss"]
    assert training.measure(architecture) > before + 0.2


def test_a_budget_per_model_is_for_each_of_them(tmp_path):
    assert begun(tmp_path, MIXTURE, budget={"epochs": 3}, per_model=True).length.epochs == 6
    assert begun(tmp_path, MIXTURE, budget={"steps": 5}, per_model=True).length.steps == 10
    assert begun(tmp_path, MIXTURE, budget={"epochs": 3}).length.epochs == 3


def test_the_last_epoch_may_be_a_part_of_one(tmp_path):
    training = begun(tmp_path, budget={"steps": 6})
    train_shared_weights([training])
    assert [line["images"] for line in training.history] == [256, 128]


def test_the_average_of_the_weights_is_what_is_left(tmp_path):
    plain, averaged = begun(tmp_path / "plain"), begun(tmp_path / "averaged", settings={"ema": 0.5})
    train_shared_weights([plain, averaged])
    assert not same(weights(plain), weights(averaged))
    assert same(weights(averaged), dict(averaged.averages[0].values))


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    training = begun(tmp_path, space=width_space(), settings={"optimizer": {"type": "sgd", "rate": 1e38}})
    with pytest.raises(TrialError, match="the training loss became"):
        train_shared_weights([training])


def test_a_sampler_that_observes_needs_images_held_out(tmp_path):
    given = inputs(tmp_path)
    empty = given.validation.select(np.array([], dtype=np.int64))
    given = replace(given, validation=empty)
    with pytest.raises(InputError, match="no validation images"):
        SharedWeights(MIXTURE).begin(given)
    training = SharedWeights().begin(given)
    assert training.step()  # a sampler that does not observe needs none
    with pytest.raises(InputError, match=r"there are no validation images\n.*data.validation such as 0.5"):
        training.measure(training.supernet.largest)


def test_settings_are_the_trainings_own():
    assert SharedWeights().training(batch=128, augmentation=None) == training_settings(
        {"batch": 128, "augmentation": "none"}
    )
    with pytest.raises(InputError, match="sampler"):
        SharedWeights("singel_path")


def test_masks_are_refused_where_norms_are_own():
    with pytest.raises(InputError, match="several is masks, which share all norms"):
        SharedWeights(several="masks", norms="own")
    assert SharedWeights(several="views", norms="own").several == "views"


def test_masks_are_refused_where_the_resolution_is_searched():
    task = {**WIDTHS["task"], "input": [1, {"choice": [8, 16]}, "same"]}
    space = space_from_mapping({**WIDTHS, "task": task}, "sides.yaml")
    several = {"type": "multi_architecture", "architectures": 2}
    given = {"network": {}, "budget": {"epochs": 1}, "batch": 64}
    SharedWeights(several).check(Domain(space), **given)
    with pytest.raises(InputError, match="several is masks, but widths searches the resolution"):
        SharedWeights(several, several="masks").check(Domain(space), **given)
