"""Shared weights of a space: every architecture's plain network as a view of one set of tensors."""

from __future__ import annotations

from nasengine.supernet.errors import SupernetError
from nasengine.supernet.supernet import Supernet

__all__ = ["Supernet", "SupernetError"]
