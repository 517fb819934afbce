"""A balanced mixture whose models begin as one: what is drawn, scored and recorded before the parting and after it."""

import json
from typing import Any

import numpy as np
import pytest

from nasengine import load_space
from nasengine.algorithms.supernet_samplers import BalancedMixture, Moment, SinglePath
from nasengine.errors import InputError
from nasengine.space.domain import Domain

EPOCHS, STEPS = 10, 60
DOMAIN = Domain(load_space("pooling_resnet20"))


def moment(epoch: int, step: int = 0, epochs: int = EPOCHS) -> Moment:
    return Moment(epoch * STEPS + step, epochs * STEPS, epoch, epochs, STEPS)


def made(**settings: Any) -> BalancedMixture:
    return BalancedMixture(domain=DOMAIN, **{"models": 4, "together": 0.3, **settings})


def run(sampler: BalancedMixture, first: int, last: int) -> list[Any]:
    """The passes of some epochs; accuracies depend on the configuration, the model and the step."""
    drawn = []
    for epoch in range(first, last):
        sampler.begin_epoch(moment(epoch))
        for step in range(STEPS):
            now = moment(epoch, step)
            passes = sampler.draw(now, np.random.default_rng([7, now.step]))
            index = sampler.configurations.index(passes[0].architectures[0])
            sampler.observe(now, passes, [[0.4 + 0.01 * index + 0.02 * passes[0].model + 0.001 * (step % 5)]])
            drawn.append(passes)
    return drawn


def test_before_the_parting_it_draws_what_a_single_path_draws() -> None:
    path = SinglePath(domain=DOMAIN, largest=DOMAIN.sample(np.random.default_rng(0)))
    drawn = run(made(), 0, 3)
    assert drawn == [path.draw(moment(0), np.random.default_rng([7, step])) for step in range(3 * STEPS)]


@pytest.mark.parametrize("assignment", ["balanced", "unbalanced", "fixed", "in_order"])
def test_before_the_parting_everything_belongs_to_one_model(assignment: str) -> None:
    sampler = made(assignment=assignment)
    run(sampler, 0, 3)
    record, table = json.loads(json.dumps(sampler.record())), sampler.table()
    assert record["owners"] == [0] * 36
    assert record["shares"] == [1, 0, 0, 0]
    assert record["certainty"] == 1
    assert "divergence" not in record, "of nothing that is balanced"
    assert np.array(table["probabilities"]).tolist() == [[1, 0, 0, 0]] * 36
    assert np.array(table["visits"]).sum(axis=0).tolist() == [3 * STEPS, 0, 0, 0]


def test_at_the_parting_scores_are_equal_over_models_and_so_are_the_odds() -> None:
    sampler = made(temperature=[50, 100])
    run(sampler, 0, 3)
    scores = np.array(sampler.table()["scores"])
    assert np.ptp(scores, axis=1).max() == 0
    assert np.ptp(scores, axis=0).min() > 0.1
    sampler.begin_epoch(moment(3))
    assert np.array(sampler.table()["probabilities"]) == pytest.approx(np.full((36, 4), 0.25))
    run(sampler, 3, 5)
    scores = np.array(sampler.table()["scores"])
    assert np.count_nonzero(np.ptp(scores, axis=1)) > 30, "from then on each model has its own"
    record = sampler.record()
    assert record["shares"] == pytest.approx([0.25] * 4, abs=0.02)
    assert record["divergence"] <= 1e-4


def test_the_temperature_begins_to_rise_at_the_parting() -> None:
    sampler = made(temperature=[1, 100])
    found = []
    for epoch in range(EPOCHS):
        sampler.begin_epoch(moment(epoch))
        found.append(sampler.record()["inverse_temperature"])
    assert found == pytest.approx([1, 1, 1, *np.linspace(1, 100, 7)])


@pytest.mark.parametrize(
    ("together", "epochs", "parting"), [(0.3, 10, 3), (0.25, 400, 100), (0.29, 100, 29), (0.99, 4, 3), (0.1, 1, 0)]
)
def test_the_models_part_once_and_at_least_an_epoch_before_the_end(together: float, epochs: int, parting: int) -> None:
    sampler = made(together=together)
    origins = {epoch: sampler.begins_as(moment(epoch, epochs=epochs)) for epoch in range(epochs)}
    assert {epoch: found for epoch, found in origins.items() if found} == {parting: {1: 0, 2: 0, 3: 0}}


def test_as_published_no_model_begins_as_another_and_one_alone_has_none_to_part_from() -> None:
    for sampler in (made(together=0.0), made(models=1)):
        assert not any(sampler.begins_as(moment(epoch)) for epoch in range(EPOCHS))


def test_a_state_from_before_models_could_begin_together_is_gone_on_from() -> None:
    sampler = made(together=0.0)
    drawn = run(sampler, 0, 5)
    before = made(together=0.0)
    run(before, 0, 4)
    state = before.state()
    del state["parted"]
    after = made(together=0.0)
    after.restore(state)
    assert run(after, 4, 5) == drawn[4 * STEPS :]


@pytest.mark.parametrize("together", [-0.1, 1.0, float("nan")])
def test_a_part_that_leaves_no_epoch_for_the_mixture_is_refused(together: float) -> None:
    with pytest.raises(InputError, match=r"together: .*\n.*expected 0 <= … < 1"):
        made(together=together)
