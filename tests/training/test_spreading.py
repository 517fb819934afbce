"""Spreading work over places."""

from __future__ import annotations

import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from nasengine.build import build
from nasengine.space import load_space
from nasengine.training.spreading import ENOUGH, spread

COSTS = st.lists(st.integers(0, 1000).map(float), min_size=1, max_size=24)


def totals(costs, shares):
    return [sum(costs[position] for position in share) for share in shares]


@given(COSTS, st.integers(1, 8))
@example([0.0, 0.0, 0.0], 2)
@example([5.0, 0.0, 0.0], 3)
def test_everything_has_one_place_and_no_place_is_needlessly_empty(costs, places):
    shares = spread(costs, places)
    assert sorted(position for share in shares for position in share) == list(range(len(costs)))
    assert len(shares) == places
    assert sum(map(bool, shares)) == min(places, len(costs))


@given(COSTS, st.integers(2, 6))
def test_no_exchange_with_the_fullest_place_would_gain(costs, places):
    shares = spread(costs, places)
    had = totals(costs, shares)
    fullest = had.index(max(had))
    for other in range(places):
        for given_away in shares[fullest]:
            for taken in shares[other] if other != fullest else ():
                gain = costs[given_away] - costs[taken]
                assert gain <= 0 or max(had[fullest] - gain, had[other] + gain) >= max(had) * (1 - ENOUGH) - 1e-9


def test_exchanges_even_out_what_the_dearest_first_leaves_uneven():
    costs = [8.0, 7.0, 6.0, 5.0, 4.0]  # dearest first: 8 + 5 + 4 and 7 + 6
    assert sorted(totals(costs, spread(costs, 2))) == [15.0, 15.0]


def test_equal_costs_spread_evenly():
    assert [len(share) for share in spread([1.0] * 36, 6)] == [6] * 6


def test_six_places_share_the_networks_of_pooling_resnet20_to_half_a_percent():
    space = load_space("pooling_resnet20")
    costs = []
    for architecture in space.enumerate():
        network, sizes = build(space, architecture), []
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.ReLU):
                layer.register_forward_hook(lambda _layer, _inputs, output, sizes=sizes: sizes.append(output.numel()))
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, 32, 32))
        costs.append(float(sum(sizes)))
    had = totals(costs, spread(costs, 6))
    assert max(had) < 1.005 * sum(had) / len(had)
