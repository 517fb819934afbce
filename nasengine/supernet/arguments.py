"""What a supernet is given, when it is not what it must be: what was found, what was expected, the nearest right one.

Architectures and the kind of the images are looked at before anything runs. Whether a network takes other resolutions
or types of number is for the network to say: only if it fails, what is unusual about the images is told.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasengine.build.devices import existing_device
from nasengine.errors import InputError, Problem, nearest
from nasengine.records import Architecture
from nasengine.space import SearchSpace, shipped
from nasengine.wording import in_words

MAKE_ONE = "expected one that the space makes: space.sample(rng), space.architecture({path: option, …}), space.known"
MOST_SHOWN = 3  # problems of an architecture
DEVICES = "expected cpu, cuda or cuda:N"
YES_OR_NO = "expected True or False"


def check_space(space: Any) -> None:
    """Refuse what is no search space.

    Raises:
        InputError: it is something else.
    """
    if isinstance(space, SearchSpace):
        return
    names = shipped("search_spaces")
    expected = "expected a search space: nas.load_space(NAME or PATH)"
    if isinstance(space, str):
        close = f"nas.load_space({space!r})" if space in names else f"{expected}{nearest(space, names)}"
        raise InputError(Problem(f"a supernet needs a search space, got the text {space!r}", expected=close))
    raise InputError(Problem(f"a supernet needs a search space, got {in_words(space)}", expected=expected))


def check_settings(models: Any, network: Any, seed: Any, dtype: Any, compiled: Any, on_note: Any) -> None:
    """Refuse settings of a wrong type.

    Raises:
        InputError: with all that are wrong.
    """
    problems = []
    if not _is_whole(models):
        problems.append(_whole("models", models, 1))
    elif models < 1:
        problems.append(Problem(f"a supernet has at least one set of weights, got {models}"))
    if network is not None and not isinstance(network, Mapping):
        found = f"network maps arguments of the root network to values, got {in_words(network)}"
        problems.append(Problem(found, expected='such as network={"norm": {"statistics": "batch"}}'))
    if not _is_whole(seed) or seed < 0:
        problems.append(_whole("seed", seed, 0))
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        near = nearest(str(dtype).removeprefix("torch."), ["float32", "float64", "bfloat16", "float16"])
        problems.append(Problem(f"weights cannot be of type {dtype!r}", expected=f"expected torch.float32{near}"))
    if type(compiled) is not bool:
        problems.append(Problem(f"compiled is {in_words(compiled)}", expected=YES_OR_NO))
    if on_note is not None and not callable(on_note):
        expected = "expected a function that takes a line, such as print, or None"
        problems.append(Problem(f"on_note is {in_words(on_note)}", expected=expected))
    if problems:
        raise InputError(problems)


def checked_device(device: Any) -> torch.device:
    """The device of that name.

    Raises:
        InputError: there is none here.
    """
    return existing_device(device, DEVICES)


def check_model(model: Any, models: int) -> None:
    """Refuse a set of weights that there is not.

    Raises:
        InputError: its number is none, or too large.
    """
    if not _is_whole(model):
        raise InputError(_whole("model", model, 0))
    if not 0 <= model < models:
        raise InputError(Problem(f"there is no model {model}: this supernet has {models}, numbered from 0"))


def check_mode(mode: Any) -> None:
    """Refuse what says neither training nor evaluation.

    Raises:
        InputError: it is neither True nor False.
    """
    if type(mode) is not bool:
        raise InputError(Problem(f"mode is {in_words(mode)}", expected=YES_OR_NO))


def check_type(space: str, architecture: Any) -> None:
    """Refuse what is no architecture at all, of the space of this name or of another.

    Raises:
        InputError: it is something else.
    """
    if isinstance(architecture, Architecture):
        return
    expected = MAKE_ONE
    if isinstance(architecture, Mapping):
        expected = "space.architecture(…) checks such a mapping and makes an architecture of it"
    elif isinstance(architecture, (list, tuple)):
        expected = "supernet.batch(images, architectures) takes several"
    raise InputError(Problem(f"an architecture of {space} is wanted, got {in_words(architecture)}", expected=expected))


def check_architecture(space: SearchSpace, architecture: Any) -> None:
    """Refuse what is no architecture of a space.

    Raises:
        InputError: it is something else, or has other choices or options.
    """
    check_type(space.name, architecture)
    encoding = space.encoding
    try:
        row = encoding.row(architecture)
        if encoding.canonical(np.array([row], dtype=np.int16))[0].tolist() == row:
            return
    except InputError:
        pass
    try:
        space.architecture(architecture)
    except InputError as error:
        problems = error.problems
    else:
        return
    more = [Problem(f"… and {len(problems) - MOST_SHOWN} more")] if len(problems) > MOST_SHOWN else []
    first = Problem(f"this is no architecture of {space.name}", expected=MAKE_ONE)
    raise InputError([first, *problems[:MOST_SHOWN], *more])


def check_several(space: SearchSpace, images: Tensor, architectures: Any) -> None:
    """Refuse architectures that images cannot be dealt to.

    Raises:
        InputError: they are no list, one of them is no architecture, there is none, or no image, or they do not divide
            the images.
    """
    check_list(space, architectures)
    if not architectures or not len(images):
        found = "no architecture" if not architectures else "no image"
        raise InputError(Problem(f"a batch with {found}", expected="expected at least one of each"))
    if len(images) % len(architectures):
        raise InputError(
            Problem(
                f"a batch of {len(images)} images does not divide among {len(architectures)} architectures",
                expected="expected a multiple, as image i belongs to architecture i mod K",
            )
        )


def check_list(space: SearchSpace, architectures: Any) -> None:
    """Refuse what is no list of architectures.

    Raises:
        InputError: it is something else, or holds something else.
    """
    if isinstance(architectures, (str, Mapping)) or not isinstance(architectures, Sequence):
        found = f"a list of architectures is wanted, got {in_words(architectures)}"
        raise InputError(Problem(found, expected="expected a list; supernet(images, architecture) takes one"))
    for architecture in architectures:
        check_type(space.name, architecture)


def check_images(space: SearchSpace, images: Any) -> None:
    """Refuse what is no batch of the task's images.

    Raises:
        InputError: no tensor, other axes, or another number of channels.
    """
    task = space.task
    assert task is not None
    expected = f"expected a tensor of (N, {task.channels}, height, width)"
    if not isinstance(images, Tensor):
        raise InputError(Problem(f"images are {in_words(images)}", expected=expected))
    if images.dim() != 4 or images.shape[1] != task.channels:
        raise InputError(Problem(f"images have the shape {tuple(images.shape)}", expected=expected))


def explain_images(
    space: SearchSpace, images: Tensor, architecture: Architecture, device: torch.device, dtype: torch.dtype
) -> list[Problem]:
    """What is unusual about images that a network could not take; empty where nothing is."""
    problems = []
    if images.device.type != device.type:
        found = f"images are on {images.device}, the weights on {device}"
        problems.append(Problem(found, expected=f"images.to({str(device)!r})"))
    if not images.dtype.is_floating_point:
        expected = "expected what the network is trained on: images.float(), divided and normalised"
        problems.append(Problem(f"images are of {images.dtype}, the weights of {dtype}", expected=expected))
    elif images.dtype != dtype and not torch.is_autocast_enabled(device.type):
        found = f"images are of {images.dtype}, the weights of {dtype}"
        problems.append(Problem(found, expected=f"images.to({dtype})"))
    shape = space.fill(architecture).input_shape
    if shape is not None and tuple(images.shape[2:]) != shape[1:]:
        height, width = images.shape[2:]
        found = f"images of {height}x{width} pixels do not go through the network"
        problems.append(Problem(found, expected=f"expected {shape[1]}x{shape[2]}, which {space.name} describes"))
    return problems


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _whole(name: str, value: Any, least: int) -> Problem:
    hint = f": {name}={int(value)}" if isinstance(value, str) and value.isdecimal() else ""
    return Problem(f"{name} is {in_words(value)}", expected=f"expected a whole number from {least}{hint}")
