"""A trained network as plain PyTorch files, proved equal to it before they are handed over."""

from nasengine.export.exporting import Exported, Trained, export
from nasengine.export.model_file import Preprocessing
from nasengine.export.proof import Proof

__all__ = ["Exported", "Preprocessing", "Proof", "Trained", "export"]
