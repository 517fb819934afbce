"""How many small changes two architectures are apart."""

from typing import Any

import numpy as np

from nasengine import load_space
from nasengine.algorithms.supernet_samplers.likeness import changes_apart
from nasengine.space import space_from_mapping


def apart(arguments: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> float:
    task = {"kind": "image_classification", "input": [3, 32, 32], "classes": 10}
    space = space_from_mapping({"name": "made", "task": task, "network": {"type": "thing", **arguments}})
    both = [
        space.architecture({f"network.{path}": option for path, option in options.items()})
        for options in (first, second)
    ]
    return float(changes_apart(space, both)[0, 1])


def test_numbers_are_apart_by_their_places_among_the_options() -> None:
    assert apart({"width": {"choice": [64, 8, 16]}}, {"width": 8}, {"width": 64}) == 2
    assert apart({"width": {"range": [2, 8, 2]}}, {"width": 4}, {"width": 6}) == 1


def test_words_are_alike_or_not() -> None:
    assert apart({"kind": {"choice": ["a", "b", "c"]}}, {"kind": "a"}, {"kind": "c"}) == 1
    assert apart({"kind": {"choice": ["a", "b", "c"]}}, {"kind": "b"}, {"kind": "b"}) == 0


def test_subsets_of_one_size_are_apart_by_the_places_their_items_move() -> None:
    at = {"at": {"subset": {"of": [1, 2, 3, 4, 5, 6, 7, 8, 9], "size": 2}}}
    assert apart(at, {"at": [4, 7]}, {"at": [4, 8]}) == 1
    assert apart(at, {"at": [1, 2]}, {"at": [8, 9]}) == 14
    assert apart(at, {"at": [2, 6]}, {"at": [6, 8]}) == 6


def test_subsets_of_different_sizes_are_apart_by_what_is_in_one_alone() -> None:
    assert apart({"at": {"subset": {"of": [1, 2, 3], "size": [1, 3]}}}, {"at": [1, 2, 3]}, {"at": [2]}) == 2


def test_a_part_that_only_one_has_is_a_change_and_so_is_each_choice_in_it() -> None:
    part = {"part": {"optional": {"type": "thing", "width": {"choice": [8, 16]}}}}
    assert apart(part, {"part.present": False}, {"part.present": True, "part.width": 8}) == 2


def test_distances_between_all_poolings_are_a_metric() -> None:
    space = load_space("pooling_resnet20")
    found = changes_apart(space, list(space.enumerate()))
    assert found.shape == (36, 36)
    assert (found == found.T).all()
    assert ((found == 0) == np.eye(36, dtype=bool)).all()
    assert (found[:, None] <= found[:, :, None] + found[None]).all()
