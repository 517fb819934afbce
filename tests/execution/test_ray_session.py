"""Starting a Ray of one's own, or failing to."""

import socket

import pytest

from nasengine.errors import RunError
from nasengine.execution.ray_session import RaySession

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def process_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may have had this process join a cluster that they share."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)


def test_a_ray_that_is_slow_to_come_up_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def slow(**settings: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen")  # as Ray's own node.py

    monkeypatch.setattr(ray, "init", slow)
    with pytest.raises(RunError, match=r"started on this machine: The current node timed out during startup\.$"):
        RaySession(None, 1)


def test_an_address_where_nobody_listens_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "init", lambda **unused: pytest.fail("Ray would try for minutes"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RunError, match=rf"no Ray cluster answers at '127.0.0.1:{port}': .*refused$"):
        RaySession(f"127.0.0.1:{port}", 1)
    with pytest.raises(RunError, match=r"no Ray cluster answers at 'nowhere\.invalid:6379': "):
        RaySession("nowhere.invalid:6379", 1)


def test_a_port_that_cannot_be_is_refused_even_where_somebody_listens_at_its_remainder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    monkeypatch.setattr(ray, "init", lambda **unused: pytest.fail("Ray would try for minutes"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1] + 65_536
        with pytest.raises(RunError, match=rf"no Ray cluster answers at '127\.0\.0\.1:{port}': port {port} is outside"):
            RaySession(f"127.0.0.1:{port}", 1)
