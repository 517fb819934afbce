"""What a training of shared weights leaves on the disk while it goes on, and what it makes of what it finds there."""

from __future__ import annotations

import os

import pytest

from nasengine.errors import RunError
from nasengine.preparation import train_shared_weights
from tests.preparation.small import begun


def test_the_history_is_on_the_disk_before_the_checkpoint_that_goes_on_from_it(tmp_path, monkeypatch):
    force, forced = os.fsync, list[int]()

    def note(handle):
        forced.append(os.fstat(handle).st_ino)
        force(handle)

    monkeypatch.setattr(os, "fsync", note)
    train_shared_weights([begun(tmp_path, budget={"epochs": 1})])
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    history, folder, saved = (path.stat().st_ino for path in (tmp_path / "history.jsonl", tmp_path, checkpoint))
    assert forced[:3] == [history, folder, saved]


def test_a_damaged_history_is_named_when_a_training_goes_on(tmp_path):
    train_shared_weights([begun(tmp_path, budget={"epochs": 2})])
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\0" + path.read_bytes())
    with pytest.raises(RunError, match=r"history\.jsonl is damaged: .*; remove"):
        begun(tmp_path, budget={"epochs": 2})
