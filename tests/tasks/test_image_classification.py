"""Loss and metrics of image classification."""

from __future__ import annotations

import pytest
import torch

from nasengine.errors import InputError
from nasengine.tasks import ImageClassification


def test_the_loss_is_the_cross_entropy_of_the_smoothed_target():
    outputs, targets = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 4, 0])
    smoothed = torch.full((6, 5), 0.1 / 5).scatter_add_(1, targets[:, None], torch.full((6, 1), 0.9))
    expected = -(smoothed * outputs.log_softmax(1)).sum(1).mean()
    assert ImageClassification(5, label_smoothing=0.1).loss(outputs, targets).item() == pytest.approx(expected.item())


def test_the_measured_loss_is_not_smoothed():
    outputs, targets = torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    plain, smooth = (ImageClassification(2, label_smoothing=s).measure(outputs, targets)["loss"] for s in (0.0, 0.3))
    assert torch.equal(plain, smooth)
    assert plain.tolist() == pytest.approx([0.018150, 1.313262], abs=1e-6)


def test_accuracies_count_the_best_and_the_five_best_outputs():
    outputs = torch.arange(7.0).repeat(3, 1)  # class 6 is best, classes 2 … 6 are the five best
    measured = ImageClassification(7).measure(outputs, torch.tensor([6, 2, 1]))
    assert measured["accuracy"].tolist() == [1, 0, 0]
    assert measured["top5_accuracy"].tolist() == [1, 1, 0]


def test_the_five_best_of_five_are_no_metric():
    assert "top5_accuracy" not in ImageClassification(5).metrics
    assert "top5_accuracy" in ImageClassification(6).metrics


def test_settings_out_of_bounds_are_all_reported():
    with pytest.raises(InputError) as caught:
        ImageClassification(1, label_smoothing=1.0)
    assert len(caught.value.problems) == 2
