"""What a view of shared weights costs beside the plain network of the same architecture, and what a new one costs.

Without `--device`, on one thread of one core; figures are medians over architectures of the median over repetitions.
`new` is the processor time from an architecture to its view, for the first ones that a new process meets: no view of
theirs was ever made, and of their blocks only those that loading the supernet happened to build are known. Each of
`ROUNDS` processes meets the same ones in the same order; the fastest counts, since neighbours on the machine only ever
add. `most` is the longest of them: now and then Python looks for garbage. `known` is the same when the blocks are known
(they were built, and the views forgotten); `first` until its first scores.
`over` is how much longer a step (forward and backward) or a forward takes on views than on a stand-alone copy. On a
GPU the same is measured with the launches of a step captured as a CUDA graph, `graphed`.

    python benchmarks/supernet_views.py --out benchmarks/results
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from torch import nn

from nasengine.build import example_input
from nasengine.space import SearchSpace
from nasengine.space.loading import load_space
from nasengine.supernet import Supernet

SPACES = (
    "pooling_resnet20",
    "pooling_resnet20_scales",
    "quickstart",
    "mobile_cnn_cifar",
    "inception_like",
    "nas_bench_201",
    "mobile_cnn",
    "vit_resnas_tiny",
)
ROUNDS = 3  # that every new view is made in; the fastest counts
MOST_KNOWN = 50
SEED = 0


def time_of(work: Callable[[], Any], device: torch.device, repetitions: int) -> float:
    """Median milliseconds of wall time; work for a GPU is waited for once per repetition."""
    times = []
    for number in range(repetitions + 2):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= 2:
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def graphed(work: Callable[[], Any]) -> Callable[[], Any]:
    """The same as a replayed CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return graph.replay


def unmet(name: str, device: str, count: int) -> list[float]:
    """Processor milliseconds of the first views of this process, one after another."""
    space = load_space(name)
    supernet = Supernet(space, seed=SEED, device=device)
    rng = np.random.default_rng(SEED)
    times: dict[str, float] = {}
    for _ in range(20 * count):
        architecture = space.sample(rng)
        if len(times) >= count:
            break
        if architecture.key not in times:
            began = time.process_time()
            supernet.view(architecture)
            times[architecture.key] = (time.process_time() - began) * 1e3
    return list(times.values())


def unmet_views(name: str, device: str, count: int) -> dict[str, float]:
    """The same by several new processes, the fastest of which counts for each architecture."""
    command = [sys.executable, __file__, "--unmet", name, "--device", device, "--new", str(count)]
    rounds = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(ROUNDS)
    ]
    best = [min(column) for column in zip(*rounds, strict=True)]
    return {
        "new": len(best),
        "new_ms": round(statistics.median(best), 3),
        "new_ms_90": round(float(np.quantile(best, 0.9)), 3),
        "new_ms_most": round(max(best), 3),
    }


def known_views(supernet: Supernet, space: SearchSpace, count: int, rng: np.random.Generator) -> dict[str, float]:
    """Processor milliseconds of views that have not been made, when their blocks have."""
    architectures = [space.sample(rng) for _ in range(count)]
    times = [[0.0] * count for _ in range(ROUNDS)]
    firsts = [[0.0] * count for _ in range(ROUNDS)]
    with torch.no_grad():
        for number in range(-1, ROUNDS):  # one round to meet the blocks
            supernet._views.clear()
            gc.collect()
            for index, architecture in enumerate(architectures):
                images = example_input(space, architecture, batch=1, device="cpu").to(supernet.device)
                began = time.process_time()
                view = supernet.view(architecture)
                made = time.process_time()
                if number >= 0:
                    view(images)
                    times[number][index] = (made - began) * 1e3
                    firsts[number][index] = (time.process_time() - began) * 1e3
    best = [min(column) for column in zip(*times, strict=True)]  # neighbours on the machine only ever add
    first = [min(column) for column in zip(*firsts, strict=True)]
    return {
        "known_ms": round(statistics.median(best), 3),
        "known_ms_90": round(float(np.quantile(best, 0.9)), 3),
        "first_ms": round(statistics.median(first), 3),
    }


def compare(
    supernet: Supernet, space: SearchSpace, count: int, batch: int, repetitions: int, rng: np.random.Generator
) -> dict[str, float]:
    """Milliseconds of a step and of a forward, on views and on copies, each architecture after the other."""
    device, found = supernet.device, {}
    columns: dict[str, list[float]] = {}
    for architecture in [space.sample(rng) for _ in range(count)]:
        images = example_input(space, architecture, batch=batch, device="cpu").to(device)
        if device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        supernet.train()
        networks: dict[str, nn.Module] = {"view": supernet.view(architecture), "copy": supernet.subnet(architecture)}

        def step(network: nn.Module, images: torch.Tensor = images) -> None:
            for parameter in [*network.parameters(), *supernet.parameters()]:
                parameter.grad = None
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False):
                network(images).float().square().mean().backward()

        def forward(network: nn.Module, images: torch.Tensor = images) -> None:
            with torch.no_grad():
                network(images)

        for name, network in networks.items():
            for kind, work in (("step", step), ("forward", forward)):
                spent = time_of(functools.partial(work, network), device, repetitions)
                columns.setdefault(f"{kind}_{name}_ms", []).append(spent)
            if device.type == "cuda":
                replay = graphed(functools.partial(step, network))
                columns.setdefault(f"graphed_{name}_ms", []).append(time_of(replay, device, repetitions))
    for name, values in columns.items():
        found[name] = round(statistics.median(values), 3)
    for kind in ("step", "forward", "graphed"):
        if f"{kind}_view_ms" in columns:
            pairs = zip(columns[f"{kind}_view_ms"], columns[f"{kind}_copy_ms"], strict=True)
            found[f"{kind}_over"] = round(statistics.median(view / copy for view, copy in pairs), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="*", default=list(SPACES))
    parser.add_argument("--architectures", type=int, default=5, help="that views and copies are compared on")
    parser.add_argument("--new", type=int, default=100, help="architectures that are new")
    parser.add_argument("--unmet", help="a space: only print the times of its first views, as JSON")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=float, default=540, help="seconds after which no further space is begun")
    parser.add_argument("--out", type=Path, help="folder of supernet_views.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.unmet:
        print(json.dumps(unmet(arguments.unmet, arguments.device, arguments.new)))
        return
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    print(f"{'space':<20}{'load s':>8}{'new ms':>8}{'90 %':>8}{'most':>8}{'known':>8}{'first':>8}{'step':>9}{'over':>7}"
          f"{'forward':>9}{'over':>7}{'graphed':>9}{'over':>7}")  # fmt: skip
    for name in arguments.spaces:
        if time.monotonic() - began > arguments.limit:
            print(f"{name}: left out, the time is over")
            continue
        space = load_space(name)
        rng = np.random.default_rng(SEED)
        started = time.monotonic()
        supernet = Supernet(space, seed=SEED, device=arguments.device)
        row: dict[str, Any] = {"space": name, "load_s": round(time.monotonic() - started, 2)}
        row |= unmet_views(name, arguments.device, arguments.new)
        row |= known_views(supernet, space, min(arguments.new, MOST_KNOWN), rng)
        row |= compare(supernet, space, arguments.architectures, arguments.batch, arguments.repetitions, rng)
        rows.append(row)
        graph = f"{row['graphed_view_ms']:>9.2f}{row['graphed_over']:>7.3f}" if "graphed_over" in row else ""
        print(f"{name:<20}{row['load_s']:>8.1f}{row['new_ms']:>8.2f}{row['new_ms_90']:>8.2f}{row['new_ms_most']:>8.2f}"
              f"{row['known_ms']:>8.2f}{row['first_ms']:>8.2f}"
              f"{row['step_view_ms']:>9.2f}{row['step_over']:>7.3f}{row['forward_view_ms']:>9.2f}"
              f"{row['forward_over']:>7.3f}{graph}", flush=True)  # fmt: skip
        if arguments.out:
            settings = {key: value for key, value in vars(arguments).items() if key not in ("out", "unmet")}
            report = {"settings": settings, "seed": SEED, "machine": describe_machine(), "rows": rows}
            arguments.out.mkdir(parents=True, exist_ok=True)
            suffix = torch.device(arguments.device).type
            (arguments.out / f"supernet_views_{suffix}.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
