"""Joining a Ray cluster, or starting one on this machine, without a word on the terminal.

A Ray that the process has initialised itself is used and left as it is. One of our own is gone with the session, and
with the process should that be killed: most of Ray's processes end with the one that started them, and a reaper sees
to those that would stay for another minute.

Ray's own messages are shown if the environment variable NASENGINE_RAY_LOG is set to something, and its log files kept.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from nasengine.errors import InputError, Problem, RunError
from nasengine.execution.reaper import Reaper

LOG_VARIABLE = "NASENGINE_RAY_LOG"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else each worker without a GPU warns that this will change
}
ALONE = {"RAY_AUTH_MODE": "disabled"}  # of a Ray that listens on this machine only; a cluster keeps its own
CONNECT_S = 10.0  # that a machine may take to accept a connection
LAST_PORT = 65_535
LONGEST_FOLDER = 40  # Ray puts sockets in there, whose paths may have 107 characters


def check_installed() -> None:
    """See that Ray is there, without importing it.

    Raises:
        InputError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        advice = "expected `pip install 'nasengine[ray]'`, or the executor local"
        raise InputError(Problem("the executor ray needs the package ray", expected=advice))


class RaySession:
    """A connection to a Ray cluster.

    Args:
        address: "auto", HOST:PORT; None: a cluster on this machine for this session alone.
        cpus: of the cluster on this machine.

    Raises:
        InputError: Ray is not installed.
        RunError: no cluster answers there, or none can be started.
    """

    def __init__(self, address: str | None, cpus: int) -> None:
        check_installed()
        import ray

        self.ray: ModuleType = ray
        self.joined = ray.is_initialized()
        self.alone = not self.joined and address in (None, "local")
        self._silenced = contextlib.ExitStack()
        self._folder: str | None = None
        self._reaper: Reaper | None = None
        if not self.joined:
            self._connect("local" if self.alone else str(address), cpus)

    def _connect(self, address: str, cpus: int) -> None:
        loud = bool(os.environ.get(LOG_VARIABLE))
        settings: dict[str, Any] = {"log_to_driver": loud, "logging_level": logging.INFO if loud else logging.CRITICAL}
        if self.alone:
            self._folder = tempfile.mkdtemp(prefix="nasengine-ray-", dir=_short_folder())
            self._reaper = None if loud else Reaper(self._folder)
            settings |= {"num_cpus": cpus, "include_dashboard": False, "_temp_dir": self._folder}
        variables = {} if loud else {**QUIET, **(ALONE if self.alone else {})}
        try:
            _see_that_somebody_listens(address)
            with _environment(variables), _termination_kept():
                self.ray.init(address=address, **settings)
        except Exception as error:  # Ray raises a bare Exception too, where its processes are slow to come up
            self.close()
            what = "Ray cannot be started on this machine" if self.alone else f"no Ray cluster answers at {address!r}"
            raise RunError(f"{what}: {_first_line(error)}") from error
        if self._reaper is not None:
            self._reaper.add(_descendants())
        if not loud:
            self._silenced.enter_context(_errors_unprinted())

    def resources(self) -> dict[str, float]:
        """CPUs, GPUs and machines of the whole cluster."""
        found = self.ray.cluster_resources()
        machines = sum(node["Alive"] for node in self.ray.nodes())
        return {"CPU": found.get("CPU", 0.0), "GPU": found.get("GPU", 0.0), "machines": float(machines)}

    def machine_is_gone(self, node: str) -> bool:
        """Whether the cluster has given up a machine."""
        return not any(entry["NodeID"] == node and entry["Alive"] for entry in self.ray.nodes())

    def close(self) -> None:
        """Leave the cluster; end it if it is this session's own."""
        if not self.joined:
            self.ray.shutdown()
        self._silenced.close()
        if self._reaper is not None:
            self._reaper.dismiss()
        if self._folder is not None and not os.environ.get(LOG_VARIABLE):
            shutil.rmtree(self._folder, ignore_errors=True)


def _see_that_somebody_listens(address: str) -> None:
    """Ray itself tries a HOST:PORT for minutes, and prints a line each time.

    Raises:
        OSError: nobody does.
        ValueError: there is no such port.
    """
    host, _, port = address.rpartition(":")
    if host and "://" not in host and port.isdigit():
        if not 0 < int(port) <= LAST_PORT:  # the system would take it modulo 65,536, and meet another's program there
            raise ValueError(f"port {port} is outside 1 to {LAST_PORT}")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """These variables, where nobody set them otherwise; what is started in here inherits them."""
    missing = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _termination_kept() -> Iterator[None]:
    """Leave SIGTERM as it was: Ray's handlers print a page of C++ when the process is asked to end."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _errors_unprinted() -> Iterator[None]:
    """Drop what a thread of Ray prints on standard output for each worker that dies.

    Ray 2.60 has no setting for it: `log_to_driver=False` silences the workers only.
    """
    from ray._private import worker

    printing = worker.print_to_stdstream

    def drop(*unused: object, **named: object) -> None:
        """Nothing is printed."""

    worker.print_to_stdstream = drop
    try:
        yield
    finally:
        worker.print_to_stdstream = printing


def _descendants() -> list[int]:
    """The processes that this one has started, directly or not."""
    psutil: Any = importlib.import_module("psutil")  # comes with Ray, and can be imported once Ray is
    return [child.pid for child in psutil.Process().children(recursive=True)]


def _short_folder() -> str | None:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= LONGEST_FOLDER else "/tmp"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
