"""The prepare trainer `shared_weights`: what a strategy says of it, and the folder that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from nasengine.algorithms.supernet_samplers import SAMPLERS, SupernetSampler, make_sampler
from nasengine.errors import InputError, Problem
from nasengine.preparation.checkpoints import PreparationCheckpoints
from nasengine.preparation.preparation import OnEpoch, PreparationInputs
from nasengine.preparation.shared_weights import SharedWeightsTraining, train_shared_weights
from nasengine.registry import look_up
from nasengine.runs.files import write_atomically
from nasengine.space.domain import Domain
from nasengine.supernet.artifact import ABOUT, FORMAT, TABLE, WEIGHTS
from nasengine.supernet.extent import Extent, survey
from nasengine.supernet.own_norms import SupernetWithOwnNorms, check_own_norms
from nasengine.supernet.probe import probe_of
from nasengine.supernet.supernet import Supernet
from nasengine.training import save_tensors
from nasengine.training.device import deterministic_kernels
from nasengine.training.settings import Length, TrainingSettings, written_settings
from nasengine.training.smoothing import smoothed
from nasengine.wording import plural


@dataclass(frozen=True, slots=True)
class SharedWeights:
    """How shared weights are trained, as a strategy writes it.

    Args:
        sampler: which architectures each step trains: `single_path`, or `{type: balanced_mixture, models: 4, …}`.
        optimizer: `sgd`, or `{type: sgd, rate: 0.1, …}`; each set of weights has one.
        schedule: `cosine`, or `{type: cosine, last: 0.001, …}`, over the whole training.
        label_smoothing: share of the target spread over all classes.
        clip_norm: the largest norm of a model's gradient in a step; None: not clipped.
        ema: decay per step of the running average of the weights that is left in the end; None: the weights themselves.
        drop_last: leave out an epoch's last, smaller batch.
        precision: auto, float32 or bfloat16.
        cuda_graph: on a GPU, replay steps that come again as CUDA graphs.
        several: how the architectures of one pass run: masks (all together), views (one after another), or auto, masks
            on a GPU, where they are compiled. Norms' running averages are not kept by masks; own norms need views.
        norms: shared as all weights, or own: a scale, a shift and running averages for every architecture of a space
            of at most 1,000.

    Raises:
        InputError: every wrong value.
    """

    sampler: str | Mapping[str, Any] = "single_path"
    optimizer: str | Mapping[str, Any] = "sgd"
    schedule: str | Mapping[str, Any] = "cosine"
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    drop_last: bool = True
    precision: str = "auto"
    cuda_graph: bool = True
    several: Literal["auto", "masks", "views"] = "auto"
    norms: Literal["shared", "own"] = "shared"

    def __post_init__(self) -> None:
        self.training(batch=1, augmentation=None)
        look_up(SAMPLERS, self._sampler()[0], "sampler")
        if self.several not in ("auto", "masks", "views"):
            raise InputError(Problem(f"several is {self.several!r}", expected="expected auto, masks or views"))
        if self.norms not in ("shared", "own"):
            raise InputError(Problem(f"norms is {self.norms!r}", expected="expected shared or own"))
        if self.norms == "own" and self.several == "masks":
            found = "several is masks, which share all norms, and norms is own"
            raise InputError(Problem(found, expected="expected several: views, or norms: shared"))

    def training(self, *, batch: int, augmentation: object) -> TrainingSettings:
        """All training settings, batch and augmentation from the strategy's `data` included."""
        return written_settings(self, batch=batch, augmentation=augmentation)

    def check(self, domain: Domain, *, network: Mapping[str, Any], budget: Mapping[str, float], batch: int) -> None:
        """See `PreparationSettings.check`."""
        Length.of(budget, images=1, batch=1, drop_last=True)
        extent = survey(domain.space, network)
        self.check_passes(self._make_sampler(domain, extent), batch)
        if self.several == "masks" and domain.space.resolution is not None:
            found = f"several is masks, but {domain.space.name} searches the resolution, which masks share"
            raise InputError(Problem(found, expected="expected several: auto"))
        probe_of(domain.space, extent, network)  # which refuses layers that cannot share; it is kept for the training
        if self.norms == "own":
            check_own_norms(domain.space)

    def check_passes(self, sampler: SupernetSampler, batch: int) -> None:
        """Every architecture of a pass has an image, and masks that are asked for can be used, whatever the space.

        Raises:
            InputError: not with a batch of so many images.
        """
        count = sampler.in_one_pass
        if count > batch:
            found = f"{count} architectures in one pass need as many images, and a batch has {batch}"
            raise InputError(Problem(found, expected=f"expected at most {batch}, or a larger data.batch"))
        if self.several != "masks":
            return
        if count == 1:
            found = f"several is masks, but {self._sampler()[0]!r} has one architecture in a pass"
            advice = "expected several: auto, or such as sampler: {type: multi_architecture, architectures: 4}"
            raise InputError(Problem(found, expected=advice))
        if batch % count:
            found = f"several is masks, but a batch of {batch} images cannot be dealt evenly to {count}"
            advice = f"expected several: auto, or such as data.batch: {batch - batch % count}"
            raise InputError(Problem(found, expected=advice))

    def prepare(self, inputs: PreparationInputs, on_epoch: OnEpoch | None = None) -> str:
        """See `PreparationSettings.prepare`; leaves what `supernet/artifact.py` reads."""
        training = self.begin(inputs, on_epoch)
        with deterministic_kernels(inputs.device, inputs.deterministic):
            train_shared_weights([training])
        self.leave(training, inputs)
        assert training.checkpoints is not None, "begun with a folder"
        training.checkpoints.clear()
        models = f"{training.supernet.models} models, " if training.supernet.models > 1 else ""
        return f"{models}{plural(training.epoch, 'epoch')}, training loss {training.history[-1]['loss']:.4g}"

    def begin(self, inputs: PreparationInputs, on_epoch: OnEpoch | None = None) -> SharedWeightsTraining:
        """The training at its beginning, or at its last checkpoint in the folder.

        Raises:
            InputError, RunError: see `prepare`.
        """
        settings = self.training(batch=inputs.batch, augmentation=inputs.augmentation)
        sampler = self._make_sampler(inputs.domain, survey(inputs.space, inputs.network))
        if sampler.note and inputs.on_note is not None:
            inputs.on_note(sampler.note)
        models = sampler.models
        kind = SupernetWithOwnNorms if self.norms == "own" else Supernet
        supernet = kind(inputs.space, models=models, network=inputs.network, seed=inputs.seed, device=inputs.device)
        supernet.on_note = inputs.on_note
        on_gpu = inputs.device.type == "cuda"
        masked = self.norms == "shared" and (self.several == "masks" or (self.several == "auto" and on_gpu))
        if on_gpu and masked:
            supernet.compile()
        if on_gpu:
            in_order_of_channels(supernet)
        key = inputs.key(self, "shared_weights")
        return SharedWeightsTraining(
            supernet,
            sampler,
            smoothed(inputs.task, settings.label_smoothing),
            training=inputs.training,
            validation=inputs.validation,
            settings=settings,
            length=self._length(inputs, models),
            seed=inputs.seed,
            masked=masked,
            checkpoints=PreparationCheckpoints(inputs.folder, key, inputs.checkpoint_every_s),
            on_epoch=on_epoch,
        )

    def leave(self, training: SharedWeightsTraining, inputs: PreparationInputs) -> None:
        """Write the artifacts; supernet.json last, as it says that the others are there."""
        folder, supernet = inputs.folder, training.supernet
        save_tensors(supernet.state(), folder / WEIGHTS)
        table = training.sampler.table()
        if table is not None:
            write_atomically(folder / TABLE, json.dumps(table, allow_nan=False) + "\n")
        name, arguments = self._sampler()
        about = {
            "format": FORMAT,
            "space": inputs.space.name,
            "space_hash": inputs.space.hash,
            "network": dict(inputs.network),
            "models": supernet.models,
            "norms": self.norms,
            "several": "masks" if training.passes.masked and training.sampler.in_one_pass > 1 else "views",
            "metric": training.passes.metric,
            "sampler": {"type": name, **arguments},
            "epochs": training.epoch,
            "seconds": round(sum(line["seconds"] for line in training.history), 3),
            "images": sum(line["images"] for line in training.history),
            "versions": dict(inputs.versions),
        }
        write_atomically(folder / ABOUT, json.dumps(about, indent=2, allow_nan=False) + "\n")

    def _sampler(self) -> tuple[str, dict[str, Any]]:
        """Type and arguments."""
        if isinstance(self.sampler, str):
            return self.sampler, {}
        name = self.sampler.get("type")
        if not isinstance(name, str):
            expected = "expected a name or {type: single_path, …}"
            raise InputError(Problem(f"sampler is {dict(self.sampler)!r}", expected=expected))
        return name, {key: value for key, value in self.sampler.items() if key != "type"}

    def _make_sampler(self, domain: Domain, extent: Extent) -> SupernetSampler:
        name, arguments = self._sampler()
        return make_sampler(
            look_up(SAMPLERS, name, "sampler"),
            arguments,
            domain=domain,
            largest=extent.largest,
            smallest=extent.smallest,
        )

    def _length(self, inputs: PreparationInputs, models: int) -> Length:
        images = len(inputs.training)
        batch = min(inputs.batch, max(images, 1))
        length = Length.of(inputs.budget, images=images, batch=batch, drop_last=self.drop_last)
        return replace(length, steps=length.steps * models) if inputs.per_model else length


def in_order_of_channels(supernet: Supernet) -> None:
    """Keep the weights of convolutions as a GPU's kernels read them beside images whose channels come last.

    Else each pass would reorder every weight, and each step every gradient.
    """
    for model in range(supernet.models):
        for parameter in supernet.parameters(model):
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
