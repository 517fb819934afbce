"""Search spaces: what may be chosen, what an architecture is, and every function on architectures. Free of torch."""

from nasengine.space.decisions import Decision
from nasengine.space.filling import ABSENT, Call, Filled
from nasengine.space.holes import SpaceTree, Task
from nasengine.space.known import Known
from nasengine.space.loading import load_space, parse_space, shipped, space_from_mapping
from nasengine.space.space import SearchSpace

__all__ = [
    "ABSENT",
    "Call",
    "Decision",
    "Filled",
    "Known",
    "SearchSpace",
    "SpaceTree",
    "Task",
    "load_space",
    "parse_space",
    "shipped",
    "space_from_mapping",
]
