"""What every sampler of shared weights promises, over the whole table of samplers."""

import functools
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nasengine.algorithms.supernet_samplers import SAMPLERS, Moment, Pass, SupernetSampler, make_sampler
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import parse_space

# Nested and bound by a relation: 1,116 architectures or so, some of whose choices are not always there.
BOUND = """
name: bound
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [8, 16, 24, 32]}, kernel: {choice: [1, 3, 5]}}
    - repeat: {choice: [1, 2]}
      of: {type: conv_norm_activation, width: {choice: [8, 16]}, kernel: {choice: [1, 3, 5]}}
    - {optional: {type: conv_norm_activation, width: 8, kernel: {choice: [1, 3]}}}
    - {type: linear_head}
relations:
  - {sum: [network.layers.0.kernel, network.layers.1.repeat], max: 6}
"""
FREE = """
name: free
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [8, 16, 24]}, kernel: {choice: [1, 3, 5]}}
    - {type: conv_norm_activation, width: {choice: [8, 16]}, kernel: 3}
    - {type: linear_head}
"""
EPOCHS, STEPS = 6, 15

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in SAMPLERS},
    "single_path, unlocking": ("single_path", {"unlock": {"epochs": 4}}),
    "multi_architecture of 5": ("multi_architecture", {"architectures": 5}),
    "multi_architecture, unlocking": ("multi_architecture", {"architectures": 3, "unlock": {"epochs": 4}}),
    "fair, one path": ("fair", {"paths": 1}),
    "balanced_mixture, unbalanced": ("balanced_mixture", {"assignment": "unbalanced"}),
    "balanced_mixture, fixed": ("balanced_mixture", {"assignment": "fixed"}),
    "balanced_mixture, smoothed": ("balanced_mixture", {"smoothing": 1.5}),
    "balanced_mixture, in order": ("balanced_mixture", {"assignment": "in_order"}),
    "balanced_mixture, together": ("balanced_mixture", {"together": 0.5}),
    "balanced_mixture, together, fixed": ("balanced_mixture", {"together": 0.4, "assignment": "fixed"}),
}


@functools.cache
def load(text: str) -> SearchSpace:
    return SearchSpace(parse_space(text, "test.yaml"))


def constrained(architecture: Architecture) -> bool:
    return architecture["network.layers.0.width"] != 24


@pytest.fixture(params=list(VARIANTS))
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ends(space: SearchSpace) -> tuple[Architecture, Architecture]:
    """The largest and the smallest: every choice at its largest or smallest option."""
    listed = list(space.enumerate())
    weight = {one: sum(option for option in one.values()) + 100 * len(one) for one in listed}
    return max(listed, key=weight.__getitem__), min(listed, key=weight.__getitem__)


def make(variant: str, domain: Domain) -> SupernetSampler:
    name, settings = VARIANTS[variant]
    largest, smallest = ends(domain.space)
    return make_sampler(SAMPLERS[name], settings, domain=domain, largest=largest, smallest=smallest)


def measured(step: int, passes: Sequence[Pass]) -> list[list[float]]:
    """Accuracies that depend on step, architecture and model alone."""
    return [
        [zlib.crc32(f"{step} {one.key} {drawn.model}".encode()) % 997 / 997 for one in drawn.architectures]
        for drawn in passes
    ]


def drive(sampler: SupernetSampler, seed: int, first: int = 0, last: int = EPOCHS * STEPS) -> list[tuple[Pass, ...]]:
    """The passes of some steps, as the training loop draws them."""
    steps = []
    for step in range(first, last):
        moment = Moment(step, EPOCHS * STEPS, step // STEPS, EPOCHS, STEPS)
        if step % STEPS == 0:
            sampler.begin_epoch(moment)
        passes = sampler.draw(moment, np.random.default_rng([seed, step]))
        if sampler.observes:
            sampler.observe(moment, passes, measured(step, passes))
        steps.append(passes)
    return steps


def test_the_same_seed_draws_the_same_and_another_seed_something_else(variant: str) -> None:
    domain = Domain(load(BOUND))
    once = drive(make(variant, domain), 3)
    assert drive(make(variant, domain), 3) == once
    assert drive(make(variant, domain), 4) != once


@pytest.mark.parametrize("cut", [2 * STEPS, 3 * STEPS + 7])
def test_going_on_from_the_state_as_json_equals_never_stopping(variant: str, cut: int) -> None:
    domain = Domain(load(BOUND), constrained)
    whole = make(variant, domain)
    expected = drive(whole, 1)
    before = make(variant, domain)
    drive(before, 1, last=cut)
    after = make(variant, domain)
    after.restore(json.loads(json.dumps(before.state(), allow_nan=False)))
    assert drive(after, 1, first=cut) == expected[cut:]
    assert after.state() == whole.state()
    assert after.record() == whole.record()
    assert after.table() == whole.table()


def test_every_architecture_keeps_relations_and_constraints_but_the_ends_of_a_sandwich(variant: str) -> None:
    space = load(BOUND)
    allowed = ends(space) if variant == "sandwich" else ()
    drawn = [
        one for passes in drive(make(variant, Domain(space, constrained)), 0) for p in passes for one in p.architectures
    ]
    for architecture in set(drawn).difference(allowed):
        assert space.architecture(architecture) == architecture
        assert space.satisfies(architecture)
        assert constrained(architecture)
    assert len(set(drawn)) > 30, "more than a few"


def test_passes_name_models_that_exist_and_a_teacher_that_went_before(variant: str) -> None:
    sampler = make(variant, Domain(load(BOUND)))
    for passes in drive(sampler, 2):
        assert passes
        assert passes[0].target == "labels"
        for one in passes:
            assert one.architectures
            assert one.model in range(sampler.models)
            assert one.target == "labels" or one.model == passes[0].model


def test_models_that_begin_as_copies_are_not_drawn_before_nor_copied_again(variant: str) -> None:
    sampler = make(variant, Domain(load(BOUND)))
    steps = drive(sampler, 2)
    fresh = make(variant, Domain(load(BOUND)))
    copied: set[int] = set()
    for epoch in range(EPOCHS):
        moment = Moment(epoch * STEPS, EPOCHS * STEPS, epoch, EPOCHS, STEPS)
        origins = sampler.begins_as(moment)
        assert origins == fresh.begins_as(moment), "by the moment alone"
        assert set(origins) | set(origins.values()) <= set(range(sampler.models))
        assert not set(origins) & set(origins.values())
        assert not set(origins) & copied
        before = [one.model for passes in steps[: epoch * STEPS] for one in passes]
        assert not set(origins) & set(before), "what it had learned would be lost"
        copied |= set(origins)
    assert bool(copied) == ("together" in VARIANTS[variant][1])


def test_only_the_generator_that_is_handed_is_drawn_from(variant: str) -> None:
    before = np.random.get_state()[1].tolist()
    drive(make(variant, Domain(load(BOUND))), 0)
    assert np.random.get_state()[1].tolist() == before


def test_records_and_tables_are_json_and_say_something_of_each_configuration_and_model(variant: str) -> None:
    space = load(BOUND)
    sampler = make(variant, Domain(space))
    drive(sampler, 0)
    json.dumps(sampler.record(), allow_nan=False)
    table = json.loads(json.dumps(sampler.table(), allow_nan=False))
    assert (table is not None) == (sampler.models > 1), "with several models, which is whose is the question"
    if table is not None:
        configurations = {space.architecture(one) for one in table["configurations"]}
        assert configurations == set(space.enumerate())
        for name in ("probabilities", "scores", "visits"):
            assert np.shape(table[name]) == (len(configurations), sampler.models)
        assert np.sum(table["probabilities"], axis=1) == pytest.approx(1)
        assert np.sum(table["visits"]) == EPOCHS * STEPS


def test_once_all_is_unlocked_every_option_comes_up_equally_often(variant: str) -> None:
    space = load(FREE)
    sampler = make(variant, Domain(space))
    counts: Counter[tuple[str, Any]] = Counter()
    steps = 3000 // max(1, len(drive(sampler, 0, last=1)[0]))
    end = Moment(0, 1, EPOCHS - 1, EPOCHS, STEPS)
    for step in range(steps):
        passes = sampler.draw(end, np.random.default_rng([5, step]))
        for one in passes[1:-1] if variant == "sandwich" else passes:  # those between its ends
            for architecture in one.architectures:
                counts.update(architecture.items())
    for path, choice in space.choices.items():
        seen = np.array([counts[path, option] for option in choice.options])
        expected = seen.sum() / len(seen)
        # A sum of so many squares exceeds 20 once in 20,000 seeds; the seed is fixed.
        assert ((seen - expected) ** 2 / expected).sum() < 20, (path, seen)


def test_a_sampler_with_default_settings_observes_only_if_it_says_so() -> None:
    for name, constructor in SAMPLERS.items():
        learns = constructor.observe is not SupernetSampler.observe
        assert constructor.observes == learns, name
