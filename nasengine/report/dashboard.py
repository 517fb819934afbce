"""optuna-dashboard on a mirror of a run: a page in the browser that follows the run and cannot change it."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from nasengine.errors import InputError, Problem, RunError
from nasengine.report.mirror import Mirror

HOST = "127.0.0.1"
EVERY_S = 1.0  # how often the journal is looked at
SHARE = 10  # at least so many times longer between two looks than one takes


def serve(folder: Path, *, port: int, most: int, browser: bool, on_ready: Callable[[str, list[str]], None]) -> None:
    """Show a run until Ctrl-C; its trials are followed as they come.

    Args:
        folder: of the run.
        port: on this machine; 0 for any free one.
        most: trials of a phase that are shown at first.
        browser: whether to open the page in the browser.
        on_ready: called once with the address and with what is not shown.

    Raises:
        RunError: the folder is no run, or its journal is damaged.
        InputError: the port is taken.
        KeyboardInterrupt: after Ctrl-C.
    """
    mirror = Mirror(folder, most=most)
    try:
        server = make_server(
            HOST, port, optuna_dashboard.wsgi(mirror.storage), server_class=_Server, handler_class=_Handler
        )
    except OSError as error:
        found = f"port {port} of {HOST} cannot be used: {error.strerror}"
        raise InputError(Problem(found, expected="expected another --port; 0 takes any free one")) from error
    with server, _following(mirror):
        address = f"http://{HOST}:{server.server_port}/"
        on_ready(address, mirror.notes)
        if browser:
            webbrowser.open(address)
        server.serve_forever()


@contextlib.contextmanager
def _following(mirror: Mirror) -> Iterator[None]:
    """Inside, a thread takes in what the journal gains."""
    ended = threading.Event()

    def follow() -> None:
        pause = EVERY_S
        while not ended.wait(pause):
            with contextlib.suppress(RunError, OSError):  # removed or damaged meanwhile: what was read stays
                pause = max(EVERY_S, SHARE * mirror.update())

    thread = threading.Thread(target=follow, name="nasengine-dashboard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread a request; those still running do not hold up the end."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """No line for each request."""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
