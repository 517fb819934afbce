"""Supernet samplers: which architectures each step of training shared weights trains. Free of torch.

Adding one: its file, one line in the table, and the contract tests take it up.
"""

from nasengine.algorithms.supernet_samplers.sampler import Moment, Pass, SupernetSampler, make_sampler
from nasengine.algorithms.supernet_samplers.single_path import SinglePath

SAMPLERS: dict[str, type[SupernetSampler]] = {
    "single_path": SinglePath,
}

__all__ = ["SAMPLERS", "Moment", "Pass", "SinglePath", "SupernetSampler", "make_sampler"]
