"""Weights that a training starts from instead of fresh ones: of an earlier training, or inherited from a supernet.

Only those are taken whose names and shapes are the network's own. So a network may start that differs from what was
trained before in what carries no common weights, such as its normalisations; what is not found begins fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nasengine.errors import RunError, TrialError
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.artifact import SupernetArtifact


class Inheritance:
    """Gives architectures the weights that a supernet holds for them; the supernet is read once.

    Args:
        artifact: the shared weights.
        space: whose they are.
    """

    def __init__(self, artifact: SupernetArtifact, space: SearchSpace) -> None:
        self.artifact = artifact
        # On the CPU, where networks are built: they go to the device as a whole when they are trained.
        self.supernet = artifact.supernet(space, "cpu")

    def load(self, network: nn.Module, architecture: Architecture) -> int:
        """Put the weights of an architecture into its network, and say how many tensors they were.

        Raises:
            TrialError: the supernet holds none of them.
        """
        held = self.supernet.subnet(architecture, model=self.artifact.model_of(architecture))
        count = _load_same(network, held.state_dict())
        if not count:
            raise TrialError(f"{self.artifact.folder} holds no weight of this network: no name and shape is the same")
        return count


def named_in(run: Path, weights: Path) -> str:
    """How keys of checkpoints name weights: those that lie in a run by their place in it, so that it may be moved."""
    run, weights = run.resolve(), weights.resolve()
    return weights.relative_to(run).as_posix() if weights.is_relative_to(run) else str(weights)


def load_start(network: nn.Module, path: Path) -> int:
    """Put those weights of a file into a network whose names and shapes are the same, and say how many they were.

    Raises:
        RunError: the file cannot be read, or holds no weight of this network.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"the weights to start from cannot be read: {path}: {error}") from error
    count = _load_same(network, found)
    if not count:
        raise RunError(f"{path} holds no weight of this network: no name and shape is the same")
    return count


def _load_same(network: nn.Module, found: Mapping[str, Tensor]) -> int:
    own = network.state_dict()
    same = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(same, strict=False)
    return len(same)
