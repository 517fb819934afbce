"""Training settings from plain values, and how long a budget is."""

from __future__ import annotations

import pytest

from nasengine.errors import InputError
from nasengine.training import Length, TrainingSettings, training_settings
from nasengine.training.augmentation import CropFlip, Cutout, InTurn
from nasengine.training.optimizers import SGD, AdamW
from nasengine.training.schedules import Cosine, Steps


def test_plain_values_become_settings():
    made = training_settings(
        {
            "optimizer": {"type": "adamw", "rate": 0.002, "betas": [0.8, 0.99]},
            "schedule": {"type": "steps", "at": [3, 5]},
            "augmentation": {"type": "in_turn", "of": ["crop_flip", {"type": "cutout", "size": 5}]},
            "batch": 32,
            "clip_norm": 1,
        }
    )
    assert made == TrainingSettings(
        optimizer=AdamW(rate=0.002, betas=(0.8, 0.99)),
        schedule=Steps(at=(3, 5)),
        augmentation=InTurn((CropFlip(), Cutout(size=5))),
        batch=32,
        clip_norm=1,
    )


def test_what_is_not_said_is_default():
    assert training_settings({}) == TrainingSettings(optimizer=SGD(), schedule=Cosine(), augmentation=CropFlip())


def test_every_problem_is_reported_with_the_nearest_name():
    with pytest.raises(InputError) as caught:
        training_settings(
            {
                "optimiser": "sgd",
                "schedule": {"type": "cosin"},
                "optimizer": {"type": "sgd", "rat": 0.1, "momentum": "much"},
                "batch": "many",
                "ema": 1.5,
            }
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 6
    for words in (
        "did you mean 'optimizer'",
        "did you mean 'cosine'",
        "did you mean 'rate'",
        "'momentum'",
        "'batch'",
        "ema is 1.5",
    ):
        assert words in text


@pytest.mark.parametrize(
    "wrong",
    [{"batch": 0}, {"batch": True}, {"clip_norm": 0}, {"ema": 0}, {"label_smoothing": 1}, {"precision": "float16"}],
)
def test_values_out_of_bounds_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        training_settings(wrong)


@pytest.mark.parametrize(
    ("budget", "drop_last", "expected"),
    [
        ({"epochs": 3}, True, Length(30, 10)),
        ({"epochs": 3}, False, Length(33, 11)),
        ({"epochs": 0.5}, True, Length(5, 10)),
        ({"epochs": 0.001}, True, Length(1, 10)),
        ({"steps": 25}, True, Length(25, 10)),
        ({"epochs": 2, "steps_per_epoch": 250}, True, Length(500, 250)),
    ],
)
def test_a_budget_is_so_many_steps(budget, drop_last, expected):
    assert Length.of(budget, images=105, batch=10, drop_last=drop_last) == expected


def test_the_last_epoch_may_be_begun_and_not_ended():
    assert Length.of({"steps": 25}, images=100, batch=10, drop_last=True).epochs == 3


@pytest.mark.parametrize(
    "budget",
    [{}, {"epochs": 0}, {"epochs": -1}, {"epochs": True}, {"epochs": 1, "steps": 1}, {"epoch": 1}, {"seconds": 5}],
)
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(InputError):
        Length.of(budget, images=100, batch=10, drop_last=True)


def test_a_part_of_a_training_knows_the_whole_that_its_schedule_is_laid_out_for():
    part = Length.of({"epochs": 3, "of_epochs": 27}, images=100, batch=10, drop_last=True)
    assert part == Length(30, 10, 270)
    assert part.is_part
    assert part.schedule_at(29) == (0, 270)
    whole = Length.of({"epochs": 27}, images=100, batch=10, drop_last=True)
    assert not whole.is_part
    assert whole.schedule_at(29) == part.schedule_at(29)
    assert Length.of({"steps": 25, "of_steps": 75}, images=100, batch=10, drop_last=True).whole_epochs == 2


def test_a_schedule_may_begin_anew_within_a_training():
    budget = {"epochs": 9, "of_epochs": 9, "restart_1": 1, "restart_2": 3}
    length = Length.of(budget, images=100, batch=10, drop_last=True)
    assert not length.is_part
    found = [length.schedule_at(step) for step in (0, 9, 10, 29, 30, 89)]
    assert found == [(0, 10), (0, 10), (10, 30), (10, 30), (30, 90), (30, 90)]


@pytest.mark.parametrize("budget", [{"epochs": 3, "of_steps": 90}, {"steps": 3, "of_epochs": 9}, {"of_epochs": 9}])
def test_a_part_is_told_in_the_unit_of_the_whole(budget):
    with pytest.raises(InputError, match=r"another unit|neither epochs nor steps"):
        Length.of(budget, images=100, batch=10, drop_last=True)
