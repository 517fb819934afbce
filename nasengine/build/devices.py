"""Devices by their names, and streams of them."""

from __future__ import annotations

from typing import Any

import torch

from nasengine.errors import InputError, Problem


def existing_device(name: Any, expected: str) -> torch.device:
    """The device of that name.

    Args:
        name: as torch takes it.
        expected: what is said where torch knows no such name.

    Raises:
        InputError: there is none here.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(Problem(f"unknown device {name!r}", expected=expected)) from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            there = f"{count or 'no'} CUDA device{'s' * (count > 1)}"
            found = f"device {str(device)!r} was asked for, but torch finds {there}"
            raise InputError(Problem(found, expected="expected cpu, or a torch built for the GPU that is here"))
    return device


def new_stream(device: torch.device) -> torch.cuda.Stream:
    """Another stream of a GPU."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
