"""The division of the training part: stratified, seeded, disjoint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasengine.data import SplitSettings, load_data, split, stratified_split
from nasengine.errors import InputError

LABELS = np.random.default_rng(1).integers(0, 5, 1000)


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.floats(0, 0.95),
    seed=st.integers(0, 2**32),
)
def test_every_image_is_on_exactly_one_side_and_every_class_is_trained_on(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    training, held_out = stratified_split(labels, SplitSettings(validation=share, seed=seed))
    assert sorted([*training, *held_out]) == list(range(len(labels)))
    assert set(labels[training]) == set(labels)


def test_every_class_gives_the_same_share():
    _, held_out = stratified_split(LABELS, SplitSettings(validation=0.3))
    for label in range(5):
        assert (LABELS[held_out] == label).sum() == round(0.3 * (label == LABELS).sum())


def test_a_seed_gives_one_division_and_another_seed_another():
    first, again, other = (stratified_split(LABELS, SplitSettings(seed=s))[1] for s in (3, 3, 4))
    assert first.tolist() == again.tolist()
    assert sorted(first) != sorted(other)


def test_held_out_images_are_mixed_even_if_the_source_is_sorted_by_class():
    labels = np.repeat(np.arange(10), 100)
    _, held_out = stratified_split(labels, SplitSettings(validation=0.5))
    assert len(set(labels[held_out[:50]])) >= 8


def test_a_number_of_images_of_each_class_can_be_held_out_instead_of_a_share():
    _, held_out = stratified_split(LABELS, SplitSettings(held_out_per_class=25))
    assert np.bincount(LABELS[held_out]).tolist() == [25] * 5


def test_a_limit_keeps_that_many_images_of_all_classes_alike():
    training, held_out = stratified_split(LABELS, SplitSettings(limit=200, validation=0.25))
    assert len(training) + len(held_out) == pytest.approx(200, abs=5)
    assert np.bincount(LABELS[training]).min() > 20


def test_nothing_is_held_out_where_the_share_is_zero():
    training, held_out = stratified_split(LABELS, SplitSettings(validation=0.0))
    assert training.tolist() == list(range(1000))
    assert len(held_out) == 0


@pytest.mark.parametrize("wrong", [{"validation": 1.0}, {"validation": -0.1}, {"held_out_per_class": 0}, {"limit": 0}])
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SplitSettings(**wrong)


def test_the_parts_hold_the_images_that_belong_to_their_labels():
    dataset = load_data("synthetic")
    training, validation = split(dataset, SplitSettings(validation=0.25))
    chosen, held_out = stratified_split(dataset.train_labels.numpy(), SplitSettings(validation=0.25))
    assert (training.images.numpy() == dataset.train_images.numpy()[chosen]).all()
    assert (validation.labels.numpy() == dataset.train_labels.numpy()[held_out]).all()
    assert len(training) + len(validation) == len(dataset.train_labels)
