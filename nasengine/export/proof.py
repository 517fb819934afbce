"""The proof of an export: what the files compute where nasengine does not exist, beside the trained network.

Both see the same random images on one CPU thread. Scores may differ by rounding (an absent slot is closed,
ONNX orders sums differently), parameters and multiply-accumulates not at all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nasengine.errors import ExportError
from nasengine.export import clean_room

IMAGES = 4
TOLERANCE = 1e-5  # of the largest score; both sides run the same float32 kernels
ONNX_TOLERANCE = 1e-3
TIME_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared, and how far apart it was at most.

    Args:
        params, macs: of the network, counted in the clean interpreter; MACs for one image.
        difference: largest difference of a score.
        onnx_difference: the same for model.onnx; None where it was not written.
        onnx_error: why not, where the exporter refused the network.
    """

    params: int
    macs: int
    difference: float
    onnx_difference: float | None = None
    onnx_error: str = ""


def prove(
    network: nn.Module, folder: Path, input_shape: Sequence[int], *, onnx: bool, absent: Iterable[str] = ()
) -> Proof:
    """Load `folder` in a clean interpreter and compare it with the trained network.

    Args:
        network: the trained network, on the CPU.
        folder: holds model.py and weights.safetensors; with `onnx`, model.onnx is written there.
        input_shape: (C, H, W).
        absent: packages of plug-ins, which like nasengine must not be needed.

    Raises:
        ExportError: the files cannot be loaded, or give another result.
    """
    images = torch.randn(IMAGES, *input_shape, generator=torch.Generator().manual_seed(0))  # (N, C, H, W)
    scores, params, macs = _measure(network, images)
    with tempfile.TemporaryDirectory() as scratch:
        probe, answer = Path(scratch, "probe.safetensors"), Path(scratch, "answer.safetensors")
        save_file({"images": images}, probe)
        _run_clean([str(folder), str(probe), str(answer), *([str(folder / "model.onnx")] if onnx else [])], absent)
        with safe_open(answer, framework="pt") as answered:
            figures: dict[str, str] = answered.metadata()
            answers: dict[str, Tensor] = {name: answered.get_tensor(name) for name in answered.keys()}  # noqa: SIM118

    for what, here, there in (("parameters", params, figures["params"]), ("MACs", macs, figures["macs"])):
        if here != int(there):
            raise ExportError(f"the exported network has {int(there):,} {what}, the trained one {here:,}")
    difference = _compare(answers["scores"], scores, TOLERANCE, "model.py")
    onnx_difference = None
    if "onnx" in answers:
        single = _compare(answers["onnx_single"], scores[:1], ONNX_TOLERANCE, "model.onnx, for one image,")
        onnx_difference = max(single, _compare(answers["onnx"], scores, ONNX_TOLERANCE, "model.onnx"))
    return Proof(params, macs, difference, onnx_difference, figures.get("onnx_error", ""))


def _measure(network: nn.Module, images: Tensor) -> tuple[Tensor, int, int]:
    """Scores, parameters and MACs for one image of the trained network, as the clean room measures them."""
    was_training = network.training
    network.eval()
    with _one_thread():
        measured: tuple[Tensor, int, int] = clean_room.measure(network, images)
    network.train(was_training)
    return measured


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run_clean(arguments: list[str], absent: Iterable[str]) -> None:
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "NASENGINE_ABSENT": ",".join(["nasengine", *absent]),
    }
    command = [sys.executable, "-I", "-B", "-W", "ignore", clean_room.__file__, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"the exported files gave no answer within {TIME_LIMIT_S} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExportError(f"the exported files do not run where nasengine is absent: {last}") from RuntimeError(
            done.stderr
        )


def _compare(found: Tensor, expected: Tensor, tolerance: float, what: str) -> float:
    """Largest difference of two sets of scores.

    Raises:
        ExportError: larger than the tolerance times the largest score, another shape, or not a number.
    """
    if found.shape != expected.shape:
        raise ExportError(f"{what} gives scores of shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
    difference = float((found - expected).abs().max())
    allowed = tolerance * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:
        raise ExportError(f"{what} gives scores that differ by {difference:.3g} (allowed: {allowed:.3g})")
    return difference
