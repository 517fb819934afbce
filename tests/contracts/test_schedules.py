"""What every schedule promises: finite rates that depend on the place in the training alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasengine.errors import InputError
from nasengine.training import SCHEDULES, make_component

ARGUMENTS = {"steps": {"at": [2, 4]}}  # of schedules that need some


def make(name, **more):
    return make_component(SCHEDULES, {"type": name, **ARGUMENTS.get(name, {}), **more}, kind="schedule")


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=50, deadline=None)
@given(first=st.floats(1e-6, 10), share=st.floats(0, 1), budget=st.floats(0.01, 1000))
def test_rates_are_finite_and_not_negative(name, first, share, budget):
    for warm_up in (0, 3):
        rate = make(name, warm_up=warm_up).rate(first, share * budget, budget)
        assert math.isfinite(rate)
        assert 0 <= rate <= first * (1 + 1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_first_step_has_the_optimizers_rate_and_a_warm_up_begins_below(name):
    assert make(name).rate(0.1, 0, 10) == pytest.approx(0.1)
    assert 0 < make(name, warm_up=2).rate(0.1, 0, 10) < 0.01


@pytest.mark.parametrize("name", SCHEDULES)
def test_settings_are_frozen_and_comparable(name):
    assert make(name) == make(name)
    with pytest.raises(AttributeError):
        make(name).warm_up = 1.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_unknown_argument_is_reported_with_the_nearest(name):
    with pytest.raises(InputError, match="did you mean 'warm_up'"):
        make(name, warmup=1)
