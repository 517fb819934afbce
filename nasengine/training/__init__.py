"""Training: one visible loop, and tables of the optimizers, schedules and augmentations a strategy may name.

To add one: a frozen dataclass in the file of its kind, and one line in that file's table.
"""

from __future__ import annotations

from nasengine.training.augmentation import AUGMENTATIONS, Augmentation, make_augmentation
from nasengine.training.batches import Normalize
from nasengine.training.checkpoint import CheckpointFolder
from nasengine.training.checkpoint_files import save_tensors
from nasengine.training.cohort import train_cohort
from nasengine.training.components import call_checked, make_component
from nasengine.training.course import EpochRecord, Member, TrainingReport
from nasengine.training.device import choose_device
from nasengine.training.evaluation import evaluate
from nasengine.training.loop import train, train_member
from nasengine.training.optimizers import OPTIMIZERS, OptimizerSettings
from nasengine.training.schedules import SCHEDULES, Schedule
from nasengine.training.settings import Length, TrainingSettings, training_settings, written_settings

__all__ = [
    "AUGMENTATIONS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Augmentation",
    "CheckpointFolder",
    "EpochRecord",
    "Length",
    "Member",
    "Normalize",
    "OptimizerSettings",
    "Schedule",
    "TrainingReport",
    "TrainingSettings",
    "call_checked",
    "choose_device",
    "evaluate",
    "make_augmentation",
    "make_component",
    "save_tensors",
    "train",
    "train_cohort",
    "train_member",
    "training_settings",
    "written_settings",
]
