"""Whole runs whose trials and retrainings are trained side by side: the same records as one by one."""

from __future__ import annotations

import json

import pytest

from nasengine.evaluators import Standalone, side_by_side
from nasengine.runs import canonical_records
from tests.search.small import STRATEGY, quick_search

TEXT = STRATEGY.replace("lag: 2", "lag: 3").replace("trials: 4", "trials: 7").replace("{epochs: 1}", "{epochs: 3}")
TEXT = TEXT.replace("random_search", "{type: regularized_evolution, population: 3, tournament: 2}")


def canonical(run) -> list[str]:
    return [json.dumps(record, sort_keys=True) for record in canonical_records(run.folder)]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Have cohorts on this processor too, called by `start`; how large each was."""
    sizes: list[int] = []
    honest = side_by_side.train_cohort

    def noted(members, *rest, **named):
        sizes.append(len(members))
        return honest(members, *rest, **named)

    def start() -> list[int]:
        monkeypatch.setattr(side_by_side, "trains_together", lambda settings, device: True)
        monkeypatch.setattr(side_by_side, "train_cohort", noted)
        monkeypatch.setattr(Standalone, "jobs_at_once", lambda self, *space, **asked: 8)
        return sizes

    return start


@pytest.mark.parametrize("order", [pytest.param("own", marks=pytest.mark.thorough), "shared"])
def test_a_run_side_by_side_has_the_records_of_one_that_was_not(tmp_path, as_on_a_gpu, order):
    said = f"search.evaluator.order={order}", f"retrain.order={order}"
    one_by_one = quick_search(tmp_path / "one", *said, text=TEXT)
    sizes = as_on_a_gpu()
    together = quick_search(tmp_path / "two", *said, text=TEXT)
    assert sizes[-1] == 4  # two architectures, two seeds
    assert max(sizes[:-1]) == 3  # no more than the lag are in flight
    assert canonical(together) == canonical(one_by_one)
    for first, second in zip(one_by_one.retrained, together.retrained, strict=True):
        assert (first.name, first.measurements, first.curve) == (second.name, second.measurements, second.curve)
        assert first.weights.read_bytes() == second.weights.read_bytes()
    assert [path.name for path in (together.folder / "retrain").glob("*/checkpoints")] == []
