"""Architectures whose costs lie in windows, drawn as `space.sample` would draw them if it drew nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.elimination import Walk
from nasengine.space.tables import Matrix
from nasengine.space.windows import WindowedDraws, draw_until, nearest_prices

LARGEST_COST = 2**62


class WindowSampler:
    """Draws architectures whose costs lie in windows, from the distribution of `space.sample` conditioned on them.

    The narrowest window is met by drawing inside it (see `space.windows`), the others by throwing away what misses.

    Args:
        space: to draw from.
        windows: {name of a cost: (lowest, highest)}, both inside; None where there is no end.
        walk: gives the walk through the space for a cost.
        price: gives {name: (N,)} for (N, D) encoded architectures and the names of some costs.

    Raises:
        InputError: see `Pricer.within`.
    """

    def __init__(
        self,
        space: SearchSpace,
        windows: Mapping[str, tuple[float | None, float | None]],
        walk: Callable[[str], Walk],
        price: Callable[[Matrix, Sequence[str]], Mapping[str, NDArray[np.int64]]],
    ) -> None:
        if not windows:
            raise InputError("a window needs the name of a cost and its bounds: macs=1e8..2e8")
        self.space, self._walk, self._price = space, walk, price
        self.windows = {name: _whole(name, *ends) for name, ends in windows.items()}
        candidates = [(name, *self._inside(name)) for name in self.windows]
        name, self._draws, _ = min(candidates, key=lambda candidate: candidate[2])
        self.exact = name

    def _inside(self, name: str) -> tuple[WindowedDraws, float]:
        low, high = self.windows[name]
        draws = WindowedDraws(self._walk(name), low, high)
        if draws.empty:
            raise self._nothing(name)
        return draws, draws.log_mass

    def sample(self, rng: np.random.Generator) -> Architecture:
        """One architecture.

        Raises:
            InputError: see `sample_encoded`.
        """
        return self.sample_many(rng, 1)[0]

    def sample_many(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` architectures, drawn independently.

        Raises:
            InputError: see `sample_encoded`.
        """
        return self.space.decode_many(self.sample_encoded(rng, n))

    def sample_encoded(self, rng: np.random.Generator, n: int) -> Matrix:
        """(n, D) rows of architectures, drawn independently, each priced exactly.

        Raises:
            InputError: the windows exclude each other, or almost: the message says what share of draws was kept.
        """
        rows, drawn = draw_until(self._draws, self.contains, rng, n)
        if len(rows) < n and len(self.windows) == 1 and not self._draws.exact:
            self._draws = WindowedDraws(self._draws.walk, self._draws.low, self._draws.high, finest=True)
            if not self._draws.empty:
                rows, drawn = draw_until(self._draws, self.contains, rng, n)
        if self._draws.empty:
            raise self._nothing(self.exact)
        if len(rows) < n:
            asked = ", ".join(map(self._text, self.windows))
            raise InputError(
                Problem(
                    f"only {drawn.kept} of {drawn.made} draws near {self._text(self.exact)} were inside {asked}",
                    expected="expected windows that a larger share of the space satisfies together",
                )
            )
        return rows

    def contains(self, rows: Matrix) -> NDArray[np.bool_]:
        """(N,) which of (N, D) encoded architectures satisfy all windows and the relations of the space."""
        inside = np.ones(len(rows), bool)
        for relation in self.space.compiled_relations:
            inside &= relation.holds_many(rows)
        for name, (low, high) in self.windows.items():
            places = np.flatnonzero(inside)
            amounts = self._price(rows[places], [name])[name]
            inside[places] = (amounts >= low) & (amounts <= high)
        return inside

    def _text(self, name: str) -> str:
        low, high = self.windows[name]
        if low <= 0:
            return f"{name} up to {high:,}"
        return f"{name} from {low:,}" if high >= LARGEST_COST else f"{name} {low:,} to {high:,}"

    def _nothing(self, name: str) -> InputError:
        low, high = self.windows[name]
        below, above = nearest_prices(self._walk(name), low, high)
        found = [f"{amount:,}" for amount in (below, above) if amount is not None]
        return InputError(
            Problem(
                f"no architecture of {self.space.name} has {self._text(name)}",
                expected=f"the nearest that architectures have: {' and '.join(found)}" if found else "",
            )
        )


def _whole(name: str, low: float | None, high: float | None) -> tuple[int, int]:
    """A window of whole numbers."""
    lowest = 0 if low is None else max(0, math.ceil(low))
    highest = LARGEST_COST if high is None else math.floor(min(high, LARGEST_COST))
    if low is not None and high is not None and low > high:
        raise InputError(f"the window of {name} is empty: from {low:g} to {high:g}")
    return lowest, highest
