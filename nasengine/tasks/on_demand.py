"""Metrics that are computed when they are looked up: who wants one of several does not pay for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor


class OnDemand(Mapping[str, Tensor]):
    """What a task measures.

    Args:
        makers: name -> what computes the metric; called at every look-up.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, name: str) -> Tensor:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
