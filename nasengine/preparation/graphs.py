"""CUDA graphs of steps that come again: a small network is bound by the launching of its kernels, not by the kernels.

A step is run eagerly when it is first met, which lets libraries choose their kernels and make their workspaces;
met again it is captured, and from then on replayed by one launch. What waits for the device (a decision that depends
on a tensor's values) cannot be captured, and stays eager. The graphs of one training never run at the same
time and leave nothing behind but what they write to tensors made outside of them, so all share one pool of memory.
"""

from __future__ import annotations

import gc
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch

GRAPHS = 768  # kept at a time; each takes some memory beside the shared pool
REMEMBERED = 8192  # keys met once; a space too large for its steps to come again must not fill the memory


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A graph, and what it uses that nobody else may keep: networks with tables and buffers of their own."""

    graph: torch.cuda.CUDAGraph
    uses: object


class StepGraphs:
    """Runs functions without arguments on a stream of its own, replaying those that are known by their keys.

    Args:
        stream: the work goes to it; it must not be the default stream, on which nothing can be captured.
        enabled: without it everything runs eagerly.
        most: so many graphs are kept, the least recently used one is dropped.
    """

    def __init__(self, stream: torch.cuda.Stream, *, enabled: bool = True, most: int = GRAPHS) -> None:
        self.stream, self.enabled, self.most = stream, enabled, most
        self.captured = self.replayed = self.eager = 0  # for tests and benchmarks
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._waiting: set[Hashable] = set()
        self._met: OrderedDict[Hashable, None] = OrderedDict()

    def run(self, key: Hashable, work: Callable[[bool], object], forward: Callable[[], object]) -> None:
        """Do the work on the current stream, which must be `stream`.

        Args:
            key: what the work depends on beside the contents of tensors that stay in place.
            work: told whether it may let autocast keep what it casts (not while it is captured); returns what has to
                live as long as a graph of it.
            forward: the same networks, without leaving a trace; tells beforehand whether the work can be captured.
        """
        known = self._graphs.get(key)
        if known is not None:
            self._graphs.move_to_end(key)
            self.replayed += 1
            known.graph.replay()
        elif not self.enabled or not self._again(key) or self._waits(key, forward):
            self.eager += 1
            work(True)
        else:
            self._capture(key, work).replay()

    def _again(self, key: Hashable) -> bool:
        """Whether the key was met before; now it was."""
        if key in self._met:
            return True
        self._met[key] = None
        if len(self._met) > REMEMBERED:
            self._met.popitem(last=False)
        return False

    def _waits(self, key: Hashable, forward: Callable[[], object]) -> bool:
        """Whether the processor waits for the device in here; asked once a key."""
        if key in self._waiting:
            return True
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this mode is a prototype: what it misses, the capture reports
            torch.cuda.set_sync_debug_mode("error")
        try:
            forward()
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            self._waiting.add(key)
            return True
        finally:
            torch.cuda.set_sync_debug_mode(mode)
        return False

    def _capture(self, key: Hashable, work: Callable[[bool], object]) -> torch.cuda.CUDAGraph:
        """Record the work; nothing is computed yet."""
        graph = torch.cuda.CUDAGraph()
        collects = gc.isenabled()
        gc.disable()  # a collection in here could free what the device may not be asked to free while it is recording
        try:
            # Not by `torch.cuda.graph`, which waits for the whole device and empties its cache at every capture.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                uses = work(False)
            finally:
                graph.capture_end()
        finally:
            if collects:
                gc.enable()
        self.captured += 1
        self._graphs[key] = _Recorded(graph, uses)
        if len(self._graphs) > self.most:
            self._graphs.popitem(last=False)
        return graph
