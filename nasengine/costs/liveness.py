"""How many bytes of activations are alive at once while a network runs.

A *storage* is a block of memory; views and in-place results are the storage of what they were made
from. A storage lives from the operation that writes it to the last operation that reads it; the
network's inputs live from the start, its outputs to the end. While an operation runs, what it reads and
what it writes are both alive. Weights, buffers and other tensors that exist before the run are not
activations. An output that nothing reads and that is no output of the network (the saved statistics of a
batch norm, the indices of a max pool) is never written by an inference kernel, hence counts nothing.
What a kernel borrows inside one operation (a convolution's workspace) is not counted: it is the
kernel's, not the network's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field


@dataclass(slots=True)
class Liveness:
    """The order of operations and what each reads and writes, recorded while the network runs.

    Storages are integers given by the caller; `module` is any key that operations are grouped by.
    """

    sizes: dict[int, int] = field(default_factory=dict)
    born: dict[int, int] = field(default_factory=dict)
    last_read: dict[int, int] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)

    def begin_with(self, storage: int, size_bytes: int) -> None:
        """An input of the network: alive before the first operation."""
        self.sizes[storage], self.born[storage] = size_bytes, 0

    def operation(self, module: str, reads: Set[int], writes: Mapping[int, int]) -> None:
        """One operation in `module`; `writes` are {storage: bytes} of results, new ones or changed in place."""
        now = len(self.modules)
        self.modules.append(module)
        for storage in reads:
            if storage in self.sizes:
                self.last_read[storage] = now
        for storage, size_bytes in writes.items():
            if storage in self.sizes:
                self.last_read[storage] = now  # changed in place
                self.sizes[storage] = max(self.sizes[storage], size_bytes)
            elif storage not in reads:  # else a weight or constant that was there before the run
                self.sizes[storage], self.born[storage] = size_bytes, now

    def peaks(self, outputs: Iterable[int]) -> dict[str, int]:
        """The most bytes alive during any operation of each module; the largest of them is the network's peak."""
        operations = len(self.modules)
        for storage in outputs:
            if storage in self.sizes:
                self.last_read[storage] = operations
        change = [0] * (operations + 2)
        for storage, size_bytes in self.sizes.items():
            if storage in self.last_read:
                change[self.born[storage]] += size_bytes
                change[self.last_read[storage] + 1] -= size_bytes
        peaks: dict[str, int] = {}
        alive = 0
        for module, delta in zip(self.modules, change, strict=False):
            alive += delta
            if alive > peaks.get(module, 0):
                peaks[module] = alive
        return peaks
