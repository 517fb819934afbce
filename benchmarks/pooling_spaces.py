"""Spaces of poolings with another width of the last block.

The authors of the mixture searched `pooling_resnet20` with 64 channels in its last block and retrained by a program
whose default is 10. Which of the two the published accuracies of all 36 belong to is not said.
"""

from __future__ import annotations

from pathlib import Path

from nasengine.space import SearchSpace, load_space, space_from_mapping


def load_pooling_space(space: str | Path, last_width: int | None = None) -> SearchSpace:
    """A space, its last block so many channels wide; None: as it is."""
    loaded = load_space(space)
    if last_width is None:
        return loaded
    plain = {key: value for key, value in loaded.tree.resolved.items() if key != "known"}
    network = dict(plain["network"])
    network["widths"] = [*network["widths"][:-1], last_width]
    name = f"{loaded.name}_last_{last_width}"
    return space_from_mapping({**plain, "name": name, "network": network}, name)
