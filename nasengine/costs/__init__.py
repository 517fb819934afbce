"""What a network costs before it is trained: parameters, MACs, BitOPs, size, peak activation memory."""

from nasengine.costs.constraints import breaches, check_constraints, feasible, feasible_size
from nasengine.costs.counting import count, count_modules, total
from nasengine.costs.known import check_known
from nasengine.costs.measuring import costs, measure
from nasengine.costs.pricing import Priced, Pricer
from nasengine.costs.records import COSTS, About, Costs, LayerBits
from nasengine.costs.windows import WindowSampler

__all__ = [
    "COSTS",
    "About",
    "Costs",
    "LayerBits",
    "Priced",
    "Pricer",
    "WindowSampler",
    "breaches",
    "check_constraints",
    "check_known",
    "costs",
    "count",
    "count_modules",
    "feasible",
    "feasible_size",
    "measure",
    "total",
]
