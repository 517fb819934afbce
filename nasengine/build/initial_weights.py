"""Leaves out the drawing of initial weights where there is no memory for them: it takes half the time of building."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset({Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_, Tensor.exponential_})
_INITIALISERS = "torch.nn.init"  # the module of PyTorch's own, which are called with everything by name


class WithoutInitialWeights(TorchFunctionMode):
    """Within it, tensors on the meta device are not drawn; others are, and empty ones, of which PyTorch warns."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        keywords = keywords or {}
        if function in _DRAWS or getattr(function, "__module__", None) == _INITIALISERS:
            drawn = arguments[0] if arguments else keywords.get("tensor")
            if isinstance(drawn, Tensor) and drawn.device.type == "meta" and drawn.numel():
                return drawn
        return function(*arguments, **keywords)
