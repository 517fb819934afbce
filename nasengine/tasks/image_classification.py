"""One class for each image: cross entropy, top-1 and top-5 accuracy.

Accuracies are fractions, 0 … 1; the command line prints them as percent.

Shapes:  N images   K classes
Source:  label smoothing: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, arXiv:1512.00567, sec. 7
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from nasengine.errors import InputError, Problem
from nasengine.objectives import Direction
from nasengine.tasks.on_demand import OnDemand


@dataclass(frozen=True, slots=True)
class ImageClassification:
    """Tell K classes apart.

    Args:
        classes: K, at least 2.
        label_smoothing: share of the target spread evenly over all classes while training, 0 … below 1. The measured
            loss is never smoothed, so that losses of differently trained networks compare.

    Raises:
        InputError: a value out of bounds.
    """

    classes: int = 10
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if self.classes < 2:
            problems.append(Problem(f"task.classes is {self.classes!r}", expected="expected at least 2"))
        if not 0 <= self.label_smoothing < 1:
            found = f"label_smoothing is {self.label_smoothing!r}"
            problems.append(Problem(found, expected="expected a share, from 0 to below 1"))
        if problems:
            raise InputError(problems)

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """accuracy, loss (in nats), and top5_accuracy where there are more than five classes."""
        top5: dict[str, Direction] = {"top5_accuracy": "maximize"} if self.classes > 5 else {}
        return {"accuracy": "maximize", "loss": "minimize", **top5}

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of (N, K) outputs and (N,) labels, smoothed."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def measure(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """(N, K) outputs and (N,) labels -> the metrics of each image, (N,) each."""
        outputs = outputs.float()

        def top5() -> Tensor:
            best = outputs.topk(5, dim=1).indices  # (N, 5)
            return (best == targets[:, None]).any(1).float()

        made: dict[str, Callable[[], Tensor]] = {
            "accuracy": lambda: (outputs.argmax(1) == targets).float(),
            "loss": lambda: F.cross_entropy(outputs, targets, reduction="none"),
            "top5_accuracy": top5,
        }
        # Not in the order of `metrics`, to which a task derived from this one may have added its own.
        return OnDemand({name: make for name, make in made.items() if name in self.metrics})
