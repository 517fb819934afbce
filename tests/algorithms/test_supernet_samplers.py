"""What each sampler of shared weights does beyond the contract: unlocking, dealing without replacement, fairness."""

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nasengine import load_space
from nasengine.algorithms.supernet_samplers import (
    BalancedMixture,
    Fair,
    Moment,
    MultiArchitecture,
    Sandwich,
    SinglePath,
)
from nasengine.algorithms.supernet_samplers.unlocking import UnlockedDraws
from nasengine.errors import InputError
from nasengine.records import Architecture
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.space.domain import Domain

WIDTHS = [16, 24, 32, 40, 48]


def space_of(**arguments: Any) -> SearchSpace:
    task = {"kind": "image_classification", "input": [3, 32, 32], "classes": 10}
    return space_from_mapping({"name": "made", "task": task, "network": {"type": "thing", **arguments}})


def largest_of(space: SearchSpace, **options: Any) -> Architecture:
    return space.architecture({f"network.{path.replace('__', '.')}": option for path, option in options.items()})


def moment(step: int = 0, epoch: int = 0) -> Moment:
    return Moment(step, 10_000, epoch, 100, 100)


SPACE = space_of(
    width={"choice": WIDTHS},
    heads={"range": [2, 8, 1]},
    depth={"choice": [1, 2, 3, 4]},
    part={"optional": {"type": "thing", "kind": {"choice": {"b": {"type": "b"}, "a": {"type": "a"}}}}},
)
LARGEST = largest_of(SPACE, width=48, heads=8, depth=4, part__present=True, part__kind="a")


def first_epochs(draws: UnlockedDraws, column: int) -> list[int]:
    counts = [draws.unlocked(epoch)[column] for epoch in range(32)]
    return [epoch for epoch in range(1, 32) if counts[epoch] > counts[epoch - 1]]


def test_five_four_and_seven_options_are_unlocked_at_the_published_epochs() -> None:
    draws = UnlockedDraws(Domain(SPACE), LARGEST, 30)
    columns = {decision.path.removeprefix("network."): i for i, decision in enumerate(SPACE.decisions)}
    assert first_epochs(draws, columns["width"]) == [8, 15, 23, 30]
    assert first_epochs(draws, columns["depth"]) == [10, 20, 30]
    assert first_epochs(draws, columns["heads"]) == [5, 10, 15, 20, 25, 30]


def test_options_are_unlocked_from_the_largest_networks_down() -> None:
    draws = UnlockedDraws(Domain(SPACE), LARGEST, 30)
    listed = {
        decision.path.removeprefix("network."): [decision.options[i] for i in order.tolist()]
        for decision, order in zip(SPACE.decisions, draws.listed, strict=True)
    }
    assert listed["width"] == [48, 40, 32, 24, 16]
    assert listed["heads"] == [8, 7, 6, 5, 4, 3, 2]
    assert listed["part.present"] == [True, True, False, False]
    assert listed["part.kind"] == ["a", "b"], "the largest network's first, though the file says b first"


@pytest.mark.parametrize("sampler", [SinglePath, MultiArchitecture])
def test_the_first_epoch_trains_the_largest_network_alone(sampler: type[SinglePath | MultiArchitecture]) -> None:
    made = sampler(domain=Domain(SPACE), largest=LARGEST, unlock={"epochs": 30})
    drawn = {one for k in range(50) for one in made.draw(moment(k), np.random.default_rng(k))[0].architectures}
    assert drawn == {LARGEST}


def absent(epoch: int, k: int, n: int = 3000) -> Counter[int]:
    """How many of K architectures drawn together lack the optional part, over n draws."""
    draws = UnlockedDraws(Domain(SPACE), LARGEST, 30)
    rng = np.random.default_rng(0)
    return Counter(sum(not one["network.part.present"] for one in draws.draw(epoch, k, rng)) for _ in range(n))


def test_a_part_is_skipped_from_epoch_20_with_a_third_and_from_30_with_half() -> None:
    assert absent(19, 1, 200) == {0: 200}
    assert absent(20, 1)[1] / 3000 == pytest.approx(1 / 3, abs=0.035)
    assert absent(30, 1)[1] / 3000 == pytest.approx(1 / 2, abs=0.035)


def test_of_two_drawn_together_exactly_one_lacks_a_part_in_two_thirds() -> None:
    counts = absent(30, 2)
    assert [counts[lacking] / 3000 for lacking in range(3)] == pytest.approx([1 / 6, 2 / 3, 1 / 6], abs=0.035)


@pytest.mark.parametrize(("k", "most"), [(2, 1), (5, 1), (7, 2), (12, 3)])
def test_architectures_of_a_pass_share_no_option_before_all_were_dealt(k: int, most: int) -> None:
    made = MultiArchitecture(domain=Domain(SPACE), largest=LARGEST, architectures=k)
    for step in range(50):
        (drawn,) = made.draw(moment(step), np.random.default_rng(step))
        assert len(drawn.architectures) == k
        widths = Counter(one["network.width"] for one in drawn.architectures)
        assert max(widths.values()) <= most
        assert max(widths.values()) - min(widths.get(width, 0) for width in WIDTHS) <= 1


def test_choices_are_dealt_independently_of_one_another() -> None:
    made = MultiArchitecture(domain=Domain(SPACE), largest=LARGEST, architectures=5)
    pairs = Counter(
        (one["network.width"], one["network.depth"])
        for step in range(2000)
        for one in made.draw(moment(step), np.random.default_rng(step))[0].architectures
    )
    expected = 10_000 / 20
    assert sum((pairs[w, d] - expected) ** 2 / expected for w in WIDTHS for d in (1, 2, 3, 4)) < 50


def test_while_constraints_refuse_all_that_is_unlocked_later_epochs_are_drawn_from() -> None:
    def accepts(architecture: Architecture) -> bool:
        return bool(architecture["network.width"] <= 24 and architecture["network.heads"] <= 6)

    made = SinglePath(domain=Domain(SPACE, accepts), largest=LARGEST, unlock={"epochs": 30})
    drawn = {made.draw(moment(k), np.random.default_rng(k))[0].architectures[0] for k in range(200)}
    assert all(accepts(one) for one in drawn)
    assert {one["network.width"] for one in drawn} == {24}, "width 24 comes at epoch 23, width 16 at 30"
    assert {one["network.heads"] for one in drawn} == {6, 5, 4}


def test_single_path_draws_from_the_domain_once_everything_is_unlocked() -> None:
    domain = Domain(SPACE)
    unlocking = SinglePath(domain=domain, largest=LARGEST, unlock={"epochs": 30})
    for k in range(20):
        (drawn,) = unlocking.draw(moment(k, epoch=30), np.random.default_rng(k))
        assert drawn.architectures == (domain.sample(np.random.default_rng(k)),)


@pytest.mark.parametrize("unlock", [{}, {"epochs": 0}, {"epochs": 2.5}, {"epochs": True}, {"epochs": 3, "by": 1}])
def test_an_unlock_that_is_no_number_of_epochs_is_refused(unlock: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="a whole number of at least 1"):
        SinglePath(domain=Domain(SPACE), largest=LARGEST, unlock=unlock)


def test_a_sandwich_is_taught_by_the_largest_which_alone_is_regularised() -> None:
    smallest = largest_of(SPACE, width=16, heads=2, depth=1, part__present=False)
    sandwich = Sandwich(domain=Domain(SPACE), largest=LARGEST, smallest=smallest, architectures=4)
    drawn = sandwich.draw(moment(), np.random.default_rng(0))
    assert [one.architectures[0] for one in (drawn[0], drawn[-1])] == [LARGEST, smallest]
    assert [one.target for one in drawn] == ["labels", "teacher", "teacher", "teacher"]
    assert [one.regularized for one in drawn] == [True, False, False, False]
    with pytest.raises(InputError, match="at least 2"):
        Sandwich(domain=Domain(SPACE), largest=LARGEST, smallest=smallest, architectures=1)


def counts_after(fair: Fair, space: SearchSpace, steps: int) -> dict[str, list[int]]:
    counts: Counter[tuple[str, Any]] = Counter()
    for step in range(steps):
        for one in fair.draw(moment(step), np.random.default_rng(step)):
            counts.update(one.architectures[0].items())
    return {path: [counts[path, option] for option in choice.options] for path, choice in space.choices.items()}


def test_every_step_of_strict_fairness_trains_each_option_of_equal_choices_once() -> None:
    equal = space_of(a={"choice": [1, 2, 3]}, b={"choice": [4, 5, 6]}, c={"choice": [7, 8, 9]})
    fair = Fair(domain=Domain(equal))
    drawn = set()
    for step in range(20):
        passes = fair.draw(moment(step), np.random.default_rng(step))
        assert len(passes) == 3
        for path, choice in equal.choices.items():
            assert sorted(one.architectures[0][path] for one in passes) == list(choice.options)
        drawn.add(passes)
    assert len(drawn) > 15, "combined at random"


@pytest.mark.parametrize("paths", [None, 1, 4])
def test_options_of_unequal_and_nested_choices_differ_by_one_at_most_at_any_time(paths: int | None) -> None:
    for steps in (1, 2, 7, 30):
        for path, seen in counts_after(Fair(domain=Domain(SPACE), paths=paths), SPACE, steps).items():
            assert max(seen) - min(seen) <= 1, (path, seen)


def test_what_constraints_refuse_does_not_stop_the_rest_from_being_fair() -> None:
    def accepts(architecture: Architecture) -> bool:
        return bool(architecture["network.width"] != 16)

    seen = counts_after(Fair(domain=Domain(SPACE, accepts), paths=1), SPACE, 3000)
    assert seen["network.width"][0] == 0
    assert seen["network.width"][1:] == pytest.approx([750] * 4, rel=0.1)
    assert seen["network.heads"] == pytest.approx([3000 / 7] * 7, rel=0.15)


def test_a_step_of_a_mixture_of_8_costs_less_than_100_microseconds() -> None:
    sampler = BalancedMixture(domain=Domain(load_space("pooling_resnet20")), models=8)
    sampler.begin_epoch(moment(epoch=50))
    costs = []
    for block in range(8):  # the quickest: neighbours on the machine only ever add
        began = time.process_time()
        for step in range(200 * block, 200 * block + 200):
            passes = sampler.draw(moment(step, 50), np.random.default_rng([0, step]))
            sampler.observe(moment(step, 50), passes, [[0.7]])
        costs.append((time.process_time() - began) / 200)
    assert min(costs) < 100e-6
