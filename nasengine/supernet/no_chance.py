"""Runs networks as if nothing in them were left to chance, so that two ways to run them can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

DROPOUTS = frozenset(
    [F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout]
)


class NoChance(TorchFunctionMode):
    """Within it dropout drops nothing, a coin falls on 1, and a number between 0 and 1 is a half."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What PyTorch calls instead of `func`."""
        named = dict(kwargs or {})
        if func in DROPOUTS:
            return args[0] if args else named["input"]
        if func is Tensor.bernoulli_:
            return args[0].fill_(1)
        if func in (torch.bernoulli, Tensor.bernoulli):
            return torch.ones_like(args[0])
        if func in (torch.rand_like, torch.rand):
            return func(*args, **named).fill_(0.5)
        if func is F.scaled_dot_product_attention and len(args) <= 4:
            named["dropout_p"] = 0.0
        return func(*args, **named)
