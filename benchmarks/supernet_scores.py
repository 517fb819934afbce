"""How long scoring architectures with shared weights takes, and whether masks would score several at once faster.

Random weights and random images do: the work is the same. `evaluator` is the supernet evaluator as a search runs it,
norm statistics included, on all held-out images. `views` and `masked` are forward passes alone: K architectures of one
plan on the same images, one view after another in batches of `--batch`, or one masked pass of the largest network over
every image of every architecture. Where masks are not faster, there is no reason to score with them.

    python benchmarks/supernet_scores.py --out DIR                                    on a GPU
    python benchmarks/supernet_scores.py --device cpu --images 512 --architectures 8 --batch 64 --out DIR
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine

import nasengine as nas
from nasengine.data import Part
from nasengine.evaluators import EvaluatorInputs, make_task
from nasengine.evaluators.plan import largest_input
from nasengine.evaluators.supernet import InheritedWeights
from nasengine.records import Architecture, Job
from nasengine.supernet.artifact import ABOUT, FORMAT, WEIGHTS, SupernetArtifact
from nasengine.supernet.calibration import Statistics
from nasengine.training import save_tensors
from nasengine.training.device import autocast, autocast_dtype

NAME = "supernet_scores.json"
BY_BATCH = {"norm": {"affine": False, "statistics": "batch"}}
# space -> overrides of its network, norm statistics of the evaluator
CASES: dict[str, tuple[dict[str, Any], Statistics]] = {
    "pooling_resnet20": (BY_BATCH, "batch"),
    "mobile_cnn_cifar": ({}, "recalibrate"),
}


def artifact(space: nas.SearchSpace, network: dict[str, Any], folder: Path) -> SupernetArtifact:
    """Shared weights as a prepare phase leaves them, untrained."""
    save_tensors(nas.Supernet(space, network=network).state(), folder / WEIGHTS)
    about = {"format": FORMAT, "space": space.name, "space_hash": space.hash, "network": network, "models": 1}
    (folder / ABOUT).write_text(json.dumps(about))
    return SupernetArtifact.read(folder)


def random_part(shape: tuple[int, int, int], images: int, device: torch.device) -> Part:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (images,), generator=generator)
    return Part(pixels.to(device), labels.to(device), (0.5,) * shape[0], (0.25,) * shape[0])


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one run, after another that nobody counts."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def evaluated(name: str, arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """The evaluator on distinct architectures."""
    space = nas.load_space(name)
    network, statistics = CASES[name]
    task, part = make_task(space), random_part(largest_input(space), arguments.images, device)
    with tempfile.TemporaryDirectory() as folder:
        inputs = EvaluatorInputs(
            space, task, training=part, validation=part, device=device, batch=128,
            artifact=artifact(space, network, Path(folder)),
        )  # fmt: skip
        made = InheritedWeights(statistics=statistics).evaluator(inputs)
    chosen = architectures(space, arguments.architectures)
    first, *jobs = [Job(trial, architecture) for trial, architecture in enumerate(chosen)]
    list(made.evaluate([first]))  # libraries choose their kernels
    began = time.perf_counter()
    results = list(made.evaluate(jobs))
    spent = time.perf_counter() - began
    failed = [result.reason for result in results if result.status != "completed"]
    return {
        "space": name,
        "what": f"evaluator, {statistics}",
        "architectures": len(results),
        "images": arguments.images,
        "seconds": round(spent, 3),
        "seconds_each": round(spent / len(results), 4),
        "images_per_second": round(len(results) * arguments.images / spent),
        **({"failed": failed} if failed else {}),
    }


def architectures(space: nas.SearchSpace, count: int) -> list[Architecture]:
    """So many distinct ones at random, or all where there are no more."""
    if space.size() <= count:
        return list(space.enumerate())
    rng = np.random.default_rng(0)
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[space.sample(rng)] = None
    return list(found)


def compared(name: str, k: int, arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """K architectures of one plan on a batch of images: views one after another, and one masked pass."""
    space = nas.load_space(name)
    supernet = nas.Supernet(space, network={}, device=device)
    plan = max(supernet.plans(architectures(space, 4 * k)), key=lambda plan: len(plan.architectures))
    chosen = plan.architectures[:k]
    dtype = autocast_dtype("auto", device)
    images = torch.randn(arguments.batch, *largest_input(space), device=device)
    repeated = images.repeat_interleave(len(chosen), 0)  # image i is for architecture i mod K
    supernet.train()  # both with the statistics of the batch

    @torch.no_grad()
    def views() -> None:
        with autocast(dtype, device):
            for architecture in chosen:
                supernet(images, architecture)

    @torch.no_grad()
    def masked() -> None:
        with autocast(dtype, device):
            supernet.batch(repeated, chosen)

    rows = []
    ways = {"views": views, "masked": masked}
    for what, work in ways.items():
        spent = seconds(work, device)
        rows.append(
            {
                "space": name,
                "what": f"{what}, {len(chosen)} of one plan",
                "architectures": len(chosen),
                "images": arguments.batch,
                "seconds": round(spent, 4),
                "seconds_each": round(spent / len(chosen), 5),
                "images_per_second": round(len(chosen) * arguments.batch / spent),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--architectures", type=int, default=36)
    parser.add_argument("--batch", type=int, default=1024, help="of the comparison of views and masks")
    parser.add_argument("--k", type=int, nargs="*", default=[2, 8])
    parser.add_argument("--limit", type=float, default=300, help="seconds after which nothing more is begun")
    parser.add_argument("--out", type=Path, required=True, help=f"folder of {NAME}")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device, ends = torch.device(arguments.device), time.perf_counter() + arguments.limit
    work: list[Callable[[], list[dict[str, Any]]]] = [
        *(lambda name=name: [evaluated(name, arguments, device)] for name in CASES),
        *(lambda k=k: compared("mobile_cnn_cifar", k, arguments, device) for k in arguments.k),
    ]
    rows: list[dict[str, Any]] = []
    print(f"{'space':<18}{'what':<26}{'architectures':>14}{'images':>8}{'seconds':>10}{'each':>9}{'images/s':>12}")
    for measure in work:
        if time.perf_counter() > ends:
            break
        for row in measure():
            rows.append(row)
            print(
                f"{row['space']:<18}{row['what']:<26}{row['architectures']:>14}{row['images']:>8}{row['seconds']:>10.3f}"
                f"{row['seconds_each']:>9.4f}{row['images_per_second']:>12,}",
                flush=True,
            )
        report = {"device": arguments.device, "batch": arguments.batch, "machine": describe_machine(), "rows": rows}
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / NAME).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
