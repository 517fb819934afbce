"""Supernet samplers: which architectures each step of training shared weights trains. Free of torch.

Adding one: its file, one line in the table, and the contract tests take it up.
"""

from nasengine.algorithms.supernet_samplers.balanced_mixture import BalancedMixture
from nasengine.algorithms.supernet_samplers.fair import Fair
from nasengine.algorithms.supernet_samplers.multi_architecture import MultiArchitecture
from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler, make_sampler
from nasengine.algorithms.supernet_samplers.sandwich import Sandwich
from nasengine.algorithms.supernet_samplers.single_path import SinglePath

SAMPLERS: dict[str, type[SupernetSampler]] = {
    "single_path": SinglePath,
    "multi_architecture": MultiArchitecture,
    "sandwich": Sandwich,
    "fair": Fair,
    "balanced_mixture": BalancedMixture,
}

__all__ = [
    "SAMPLERS",
    "BalancedMixture",
    "Fair",
    "Moment",
    "MultiArchitecture",
    "Pass",
    "Sandwich",
    "SinglePath",
    "SupernetSampler",
    "make_sampler",
]
