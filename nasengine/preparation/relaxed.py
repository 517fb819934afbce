"""The prepare trainer `relaxed`: what a strategy says of it, and the folder that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nasengine.algorithms.probabilities import PROBABILITIES, Probabilities
from nasengine.errors import InputError, Problem
from nasengine.preparation.checkpoints import PreparationCheckpoints
from nasengine.preparation.preparation import OnEpoch, PreparationInputs
from nasengine.preparation.relaxed_training import RelaxedTraining
from nasengine.preparation.settings import in_order_of_channels
from nasengine.runs.files import write_atomically
from nasengine.space.domain import Domain
from nasengine.supernet.artifact import ABOUT, FORMAT, WEIGHTS
from nasengine.supernet.relaxed import RelaxedSupernet, refuse_relations
from nasengine.supernet.supernet import Supernet
from nasengine.training import OPTIMIZERS, make_component, save_tensors
from nasengine.training.augmentation import make_augmentation
from nasengine.training.device import deterministic_kernels
from nasengine.training.optimizers import Adam, OptimizerSettings
from nasengine.training.settings import Length, TrainingSettings, written_settings
from nasengine.training.smoothing import smoothed
from nasengine.wording import plural


@dataclass(frozen=True, slots=True)
class Relaxed:
    """How weights and probabilities of a relaxed supernet are trained in turn, as a strategy writes it.

    Args:
        optimizer: of the weights: `sgd`, or `{type: sgd, rate: 0.1, …}`.
        schedule: `cosine`, or `{type: cosine, last: 0.001, …}`, over the whole training.
        choice_optimizer: of the logits, softmax of which are the probabilities; its rate stays as it is. None:
            `{type: adam, rate: 0.01, weight_decay: 0.001}`.
        warm_up: epochs in the beginning that train the weights only.
        augment_held_out: show the images that the probabilities learn from augmented too.
        label_smoothing: share of the target spread over all classes.
        clip_norm: the largest norm of the weights' gradient; None: not clipped.
        drop_last: leave out an epoch's last batch, for which too few images are left; else some are shown once more.
        precision: auto, float32 or bfloat16.
        cuda_graph: on a GPU, replay the steps as CUDA graphs.

    Raises:
        InputError: every wrong value.
    """

    leaves_probabilities: ClassVar[bool] = True

    optimizer: str | Mapping[str, Any] = "sgd"
    schedule: str | Mapping[str, Any] = "cosine"
    choice_optimizer: str | Mapping[str, Any] | None = None
    warm_up: int = 0
    augment_held_out: bool = False
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    drop_last: bool = True
    precision: str = "auto"
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        self.training(batch=1, augmentation=None)
        self.choices()
        if self.warm_up < 0:
            raise InputError(Problem(f"warm_up is {self.warm_up}", expected="expected epochs, 0 or more"))

    def training(self, *, batch: int, augmentation: object) -> TrainingSettings:
        """All settings of the weights' training, batch and augmentation from the strategy's `data` included."""
        return written_settings(self, batch=batch, augmentation=augmentation)

    def choices(self) -> OptimizerSettings:
        """The optimiser of the logits."""
        if self.choice_optimizer is None:
            return Adam(rate=0.01, weight_decay=0.001)
        return make_component(OPTIMIZERS, self.choice_optimizer, kind="choice_optimizer")

    def check(self, domain: Domain, *, network: Mapping[str, Any], budget: Mapping[str, float], batch: int) -> None:
        """See `PreparationSettings.check`."""
        Length.of(budget, images=1, batch=1, drop_last=True)
        refuse_relations(domain.space)
        RelaxedSupernet(Supernet(domain.space, network=network))

    def prepare(self, inputs: PreparationInputs, on_epoch: OnEpoch | None = None) -> str:
        """See `PreparationSettings.prepare`; leaves what `supernet/artifact.py` and `derived` read."""
        training = self.begin(inputs, on_epoch)
        with deterministic_kernels(inputs.device, inputs.deterministic):
            training.run()
        found = self.leave(training, inputs)
        assert training.checkpoints is not None, "begun with a folder"
        training.checkpoints.clear()
        settled = sum(max(row) > 0.5 for row in found.of.values())
        return (
            f"{plural(training.epoch, 'epoch')}, training loss {training.history[-1]['loss']:.4g}; {settled} of "
            f"{plural(len(found.of), 'choice')} have an option more probable than all others"
        )

    def begin(self, inputs: PreparationInputs, on_epoch: OnEpoch | None = None) -> RelaxedTraining:
        """The training at its beginning, or at its last checkpoint in the folder.

        Raises:
            InputError, RunError: see `prepare`.
        """
        settings = self.training(batch=inputs.batch, augmentation=inputs.augmentation)
        supernet = Supernet(inputs.space, network=inputs.network, seed=inputs.seed, device=inputs.device)
        if inputs.device.type == "cuda":
            in_order_of_channels(supernet)
        batch = min(inputs.batch, max(len(inputs.training), 1))
        return RelaxedTraining(
            RelaxedSupernet(supernet),
            smoothed(inputs.task, settings.label_smoothing),
            training=inputs.training,
            validation=inputs.validation,
            settings=settings,
            choices=self.choices(),
            held_out_augmentation=settings.augmentation if self.augment_held_out else make_augmentation("none"),
            warm_up=self.warm_up,
            length=Length.of(inputs.budget, images=len(inputs.training), batch=batch, drop_last=self.drop_last),
            seed=inputs.seed,
            checkpoints=PreparationCheckpoints(inputs.folder, inputs.key(self, "relaxed"), inputs.checkpoint_every_s),
            on_epoch=on_epoch,
        )

    def leave(self, training: RelaxedTraining, inputs: PreparationInputs) -> Probabilities:
        """Write the artifacts; supernet.json last, as it says that the others are there."""
        folder = inputs.folder
        save_tensors(training.relaxed.supernet.state(), folder / WEIGHTS)
        found = Probabilities(inputs.space, training.relaxed.probabilities())
        write_atomically(folder / PROBABILITIES, json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n")
        about = {
            "format": FORMAT,
            "space": inputs.space.name,
            "space_hash": inputs.space.hash,
            "network": dict(inputs.network),
            "models": 1,
            "metric": next(iter(inputs.task.metrics)),
            "sampler": {"type": "relaxed"},
            "epochs": training.epoch,
            "seconds": round(sum(line["seconds"] for line in training.history), 3),
            "images": sum(line["images"] for line in training.history),
            "versions": dict(inputs.versions),
        }
        write_atomically(folder / ABOUT, json.dumps(about, indent=2, allow_nan=False) + "\n")
        return found
