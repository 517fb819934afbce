"""Starting a Ray of one's own, or failing to."""

import pytest

from nasengine.errors import RunError
from nasengine.execution.ray_session import RaySession

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


def test_a_ray_that_is_slow_to_come_up_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def slow(**settings: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen")  # as Ray's own node.py

    monkeypatch.setattr(ray, "init", slow)
    with pytest.raises(RunError, match=r"started on this machine: The current node timed out during startup\.$"):
        RaySession(None, 1)
