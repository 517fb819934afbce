"""What a masked step moves through memory beside the plain one, as the compiler counts it: no GPU is needed.

Of each compiled training step (forward, loss, backward; bf16 autocast, channels-last images) are counted the bytes that
its kernels read and write (`torch._inductor.metrics`), its kernels, and the seconds until it has run once (on a CPU
with kernels compiled in haste). The measure is the largest network of the space as a plain one. Bytes are a fair guess
of the time where kernels wait for memory, as norms and masks do; convolutions and matrix products are the same in
both. They grow with the batch alike, so a small one shows the same ratio. Which kernels are merged differs between a
CPU and a GPU: a figure is one of the device it was counted on.

    python benchmarks/masked_bytes.py --out benchmarks/results/masked_bytes.json
    python benchmarks/masked_bytes.py --spaces cnn --seconds 300
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import step_spaces
import torch
import torch.nn.functional as F
from machine import describe_machine
from torch._inductor import config, metrics

from nasengine.build import example_input
from nasengine.space import SearchSpace
from nasengine.supernet import Supernet

SPACES: dict[str, Callable[[Collection[str]], SearchSpace]] = {
    "cnn": step_spaces.short_mobile_network,
    "vit": step_spaces.short_transformer,
}
CAUSES: dict[str, dict[str, tuple[str, ...]]] = {
    "cnn": {"widths and depth": ("width", "expansion", "repeat", "optional"), "kernel": ("kernel",),
            "squeeze_excite": ("squeeze_excite",), "all": ("*",)},
    "vit": {"all": ("*",), "width": ("width",), "heads": ("heads",), "mlp_width": ("mlp_width",),
            "optional": ("optional",)},
}  # fmt: skip


def count(forward: Callable[[], torch.Tensor], labels: torch.Tensor, device: str) -> dict[str, Any]:
    """One compiled step: what the compiler says of it."""
    torch._dynamo.reset()
    metrics.reset()
    began = time.perf_counter()
    with torch.autocast(device, torch.bfloat16, cache_enabled=False):
        scores = forward()
    F.cross_entropy(scores.float(), labels).backward()
    return {
        "mib": round(metrics.num_bytes_accessed / 2**20, 1),
        "kernels": metrics.generated_kernel_count,
        "first_s": round(time.perf_counter() - began, 1),
    }


def rows(name: str, batch: int, k: int, device: str, late: Callable[[], bool], add: Callable[..., None]) -> None:
    """The plain network, then a masked one for each kind of choice."""
    base = 0.0
    for number, (cause, kinds) in enumerate({"plain": ("*",), **CAUSES[name]}.items()):
        if number > 1 and late():
            add(space=name, row=cause, skipped="no time left")
            continue
        space = SPACES[name](kinds)
        supernet = Supernet(space, device=device, compiled=True)
        images = example_input(space, supernet.largest, batch=batch, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(batch, dtype=torch.long, device=device)
        if cause == "plain":
            network = supernet.subnet(supernet.largest).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            run = torch.compile(network, dynamic=False)
            found = count(lambda run=run, images=images: run(images), labels, device)
            base = found["mib"]
        else:
            rng = np.random.default_rng(0)
            drawn = [space.sample(rng) for _ in range(k)]
            if len(plans := supernet.plans(drawn)) != 1 or not plans[0].masked:
                add(space=name, row=cause, error="; ".join(plan.note or "several plans" for plan in plans))
                continue
            found = count(lambda s=supernet, i=images, d=drawn: s.batch(i, d), labels, device)
            found |= {"k": k, "ratio": round(found["mib"] / base, 4)}
        add(space=name, row=cause, **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), choices=list(SPACES))
    parser.add_argument("--seconds", type=float, default=600, help="no row begins after so many, but the first two")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch._logging.set_logs(inductor=logging.WARNING, inductor_metrics=True)
    logging.getLogger("torch._inductor").handlers.clear()
    config.force_disable_caches = True  # what was compiled before is not counted
    config.aot_inductor.debug_compile = arguments.device == "cpu"  # quickly: there no step is timed
    began = time.perf_counter()
    found: list[dict[str, Any]] = []

    def add(**row: Any) -> None:
        found.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        if arguments.out:
            report = {"batch": arguments.batch, "k": arguments.k, "device": arguments.device, "seed": 0,
                      "precision": "bfloat16 autocast", "machine": describe_machine(), "rows": found}  # fmt: skip
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")

    def late() -> bool:
        return time.perf_counter() - began > arguments.seconds

    for name in arguments.spaces:
        rows(name, arguments.batch, arguments.k, arguments.device, late, add)


if __name__ == "__main__":
    sys.exit(main())
