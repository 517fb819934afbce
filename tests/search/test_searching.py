"""What a search phase is made of, before it runs."""

import numpy as np

from nasengine.objectives import Constraint
from nasengine.search.searching import make_domain
from tests.search.small import quick_strategy, small_space


def test_an_architecture_without_a_network_may_be_proposed_so_that_its_trial_says_why():
    """`check_space` tries every option but not every combination, so a search may meet one."""
    layers = [
        {"type": "conv", "width": {"choice": [4, 6]}},
        {"type": "group_norm", "groups": {"choice": [2, 3]}},
        {"type": "global_average_pool"},
        {"type": "linear_head"},
    ]
    space = small_space(network={"type": "sequential", "layers": layers}, known={})
    phase = quick_strategy().phases[0]
    domain = make_domain(space, phase, [Constraint("params", high=150)])
    of_width = {4: 4 * 9 + 4 + 4 * 4 + 4 + 8, 6: 6 * 9 + 6 + 6 * 4 + 4 + 12}
    assert of_width[4] < of_width[6] <= 150
    assert len(list(domain.enumerate())) == 4
    narrow = make_domain(space, phase, [Constraint("params", high=of_width[4])])
    proposed = [tuple(architecture.values()) for architecture in narrow.enumerate()]
    assert proposed == [(4, 2), (4, 3)]
    assert narrow.sample(np.random.default_rng(0))["network.layers.0.width"] == 4
