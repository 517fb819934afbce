"""What a network costs before it is trained: parameters, MACs, BitOPs, size, peak activation memory."""

from nasengine.costs.counting import count, count_modules, total
from nasengine.costs.measuring import costs, measure
from nasengine.costs.records import COSTS, About, Costs, LayerBits

__all__ = ["COSTS", "About", "Costs", "LayerBits", "costs", "count", "count_modules", "measure", "total"]
