"""Layers that draw (dropout) draw from the global generators: a training among others puts its own state into them."""

from __future__ import annotations

from types import TracebackType

import torch


class OwnDraws:
    """What layers draw from, inside the context: global generators in a state that is used in here alone.

    On a GPU the state itself is put in, not a copy of it: a graph captured in the context goes on with it at each
    replay, whatever other graphs run beside it.

    Args:
        device: where the layers are.
    """

    def __init__(self, device: torch.device) -> None:
        self._cpu = torch.get_rng_state()
        self._cpu_before = self._cpu
        self._generator: torch.Generator | None = None
        if device.type == "cuda":
            self._generator = torch.cuda.default_generators[device.index or 0]
            self._own = self._generator.clone_state()
            self._before = self._own

    def __enter__(self) -> None:
        self._cpu_before = torch.get_rng_state()
        torch.set_rng_state(self._cpu)
        if self._generator is not None:
            self._before = self._generator.graphsafe_get_state()
            self._generator.graphsafe_set_state(self._own)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cpu = torch.get_rng_state()
        torch.set_rng_state(self._cpu_before)
        if self._generator is not None:
            self._generator.graphsafe_set_state(self._before)
