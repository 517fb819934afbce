"""What a worker on a Ray cluster runs: one actor, one evaluator, chunks of jobs as JSON text.

Imports nothing heavy: the threads of the numerical libraries are set before the first array arrives.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import ray
from numpy.typing import NDArray

from nasengine.errors import InputError
from nasengine.execution.chunks import answer
from nasengine.execution.executor import EvaluatesJobs, set_torch_threads
from nasengine.execution.worker import THREAD_VARIABLES, UnusableWorkerError


class RayWorker:
    """Called in this order: `settle`, `prepare`, then `run` again and again."""

    def __init__(self) -> None:
        self._evaluator: EvaluatesJobs | None = None
        self._threads = 1

    def settle(self, threads: int, path: Sequence[str]) -> str:
        """Get ready to import what the driver has imported, from `path` too, with so many threads.

        Returns: the id of the node, by which the driver knows that there is a machine.
        """
        sys.path.extend(folder for folder in path if folder not in sys.path)
        self._threads = threads
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(threads)
        return str(ray.get_runtime_context().get_node_id())

    def prepare(self, make: bytes, names: Sequence[str] | None, *arrays: NDArray[Any]) -> None:
        """Make the evaluator.

        Args:
            make: the pickled function that makes it.
            names: of the arrays it is given; None: it is given none.
            arrays: views of the object store of this machine, read-only.

        Raises:
            UnusableWorkerError: it cannot be made.
        """
        try:
            maker = pickle.loads(make)
            self._evaluator = maker() if names is None else maker(arrays=dict(zip(names, arrays, strict=True)))
        except (Exception, SystemExit) as error:
            problem = error if isinstance(error, InputError) else None
            raise UnusableWorkerError(f"{type(error).__name__}: {error}", traceback.format_exc(), problem) from None
        set_torch_threads(self._threads)

    def run(self, chunk: str, group: int) -> str:
        """See `chunks.answer`."""
        assert self._evaluator is not None, "prepare() comes first"
        return answer(self._evaluator, chunk, group)
