"""How fast architectures are priced, bounded and drawn inside a budget, beside two counters that run each network.

    python benchmarks/costs.py [--space mobile_cnn] [--repeats 5] [--to benchmarks/results/costs.json]

One core, one thread. Every figure is the median of the repeats after one warm-up. The peers count each
architecture's network on their own: fvcore's FlopCountAnalysis (skipped where fvcore is not installed) and
PyTorch's FlopCounterMode on tensors without memory, networks built beforehand for both (fvcore traces, which
needs real tensors); `costs()` is timed with building and without tables. All three must agree on the MACs of every
network that they count. Rates are given for the clock on the wall and for the processor's time of this process,
which other work on the machine does not slow.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import importlib.util
import json
import logging
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from machine import describe_machine
from torch.utils.flop_counter import FlopCounterMode

from nasengine.build import example_input, instantiate, resolve
from nasengine.costs import COSTS, Pricer, costs
from nasengine.space import SearchSpace, load_space
from nasengine.space.windows import WindowedDraws

TARGETS = {"priced encoded": 100_000, "priced objects": 10_000, "drawn in window": 2_000}


Rates = dict[str, tuple[float, float]]  # things done a second: on the wall, of the processor


def median_rate(work: Callable[[], int], repeats: int) -> tuple[float, float]:
    """Things done per second: `work` says how many it did."""
    work()
    on_wall, of_processor = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        done = work()
        on_wall.append(done / (time.perf_counter() - wall))
        of_processor.append(done / (time.process_time() - processor))
    return round(statistics.median(on_wall), 1), round(statistics.median(of_processor), 1)


def peers(space: SearchSpace, count: int, repeats: int) -> Rates:
    """Architectures a second of three counters that run each network; they must agree on the MACs."""
    rng = np.random.default_rng(0)
    architectures = [space.sample(rng) for _ in range(count)]
    examples = [example_input(space, architecture) for architecture in architectures]
    with torch.device("meta"):
        networks = [instantiate(resolve(space, architecture)).eval() for architecture in architectures]
    macs: dict[str, list[int]] = {}

    def ours() -> int:
        macs["costs"] = [costs(space, architecture).macs for architecture in architectures]
        return count

    def torch_counter() -> int:
        macs["torch"] = []
        for network, example in zip(networks, examples, strict=True):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network(example)
            macs["torch"].append(counter.get_total_flops() // 2)
        return count

    rates = {
        "costs(), counted one by one, building included": median_rate(ours, repeats),
        f"torch {torch.__version__} FlopCounterMode, building excluded": median_rate(torch_counter, repeats),
    }
    if importlib.util.find_spec("fvcore"):
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        real = [
            (copy.deepcopy(network).to_empty(device="cpu"), torch.zeros(example.shape))
            for network, example in zip(networks, examples, strict=True)
        ]

        def fvcore_counter() -> int:
            macs["fvcore"] = []
            for network, example in real:
                with torch.no_grad():
                    analysis = FlopCountAnalysis(network, example)
                    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
                    by_operator = analysis.by_operator()
                macs["fvcore"].append(int(sum(by_operator[name] for name in ("conv", "linear", "matmul"))))
            return count

        version = importlib.metadata.version("fvcore")
        rates[f"fvcore {version} FlopCountAnalysis, building excluded"] = median_rate(fvcore_counter, repeats)
    if len({tuple(found) for found in macs.values()}) != 1:
        raise SystemExit(f"the counters disagree: {macs}")
    return rates


def measure(name: str, repeats: int, counted: int) -> dict[str, object]:
    space = load_space(name)
    rates = peers(space, counted, repeats)
    pricer = Pricer(space)
    begin, processor = time.perf_counter(), time.process_time()
    pricer.compile()
    compile_s = {"wall": round(time.perf_counter() - begin, 2), "processor": round(time.process_time() - processor, 2)}
    rng = np.random.default_rng(1)
    rows = space.sample_encoded(rng, 100_000)
    architectures = space.decode_many(rows[:10_000])

    def encoded(*names: str) -> Callable[[], int]:
        return lambda: len(pricer.price_encoded(rows, names)[names[0]])

    begin = time.perf_counter()
    least, most = pricer.bounds("macs")
    bounds_s = time.perf_counter() - begin
    median = int(np.median(pricer.price_encoded(rows, ["macs"])["macs"]))
    window = {"macs": (round(0.99 * median), round(1.01 * median))}
    begin = time.perf_counter()
    sampler = pricer.within(window)
    window_s = time.perf_counter() - begin
    generator = np.random.default_rng(2)

    def verified() -> int:
        drawn = sampler.sample_many(generator, 4000)
        amounts = pricer.price_encoded(space.encode_many(drawn), ["macs"])["macs"]
        low, high = window["macs"]
        assert ((amounts >= low) & (amounts <= high)).all()
        return len(drawn)

    rates["priced encoded: macs"] = median_rate(encoded("macs"), repeats)
    rates["priced encoded: all five costs"] = median_rate(encoded(*COSTS), repeats)
    rates["priced objects: all five costs"] = median_rate(lambda: len(pricer.price_many(architectures)), repeats)
    rates["drawn in window of 2 %, as objects, priced again"] = median_rate(verified, repeats)
    draws = WindowedDraws(pricer.walk("macs"), *window["macs"])
    kept = float(sampler.contains(draws.draw(generator, 20_000)).mean())
    checked = space.sample_encoded(np.random.default_rng(3), counted)
    exact = [costs(space, architecture) for architecture in space.decode_many(checked)]
    equal = sum(a == b for a, b in zip(pricer.price_many(space.decode_many(checked)), exact, strict=True))
    return {
        "rates_per_s": {key: {"wall": wall, "processor": cpu} for key, (wall, cpu) in rates.items()},
        "compile_s": compile_s,
        "bounds_s": round(bounds_s, 3),
        "window_s": round(window_s, 3),
        "window_macs": window["macs"],
        "draws_kept": round(kept, 3),
        "macs_least_and_most": [least.amount, most.amount],
        "tables_equal_to_counting": f"{equal} of {counted}",
        "seeds": {"peers": 0, "rows": 1, "window": 2, "check": 3},
        "n": {"counted": counted, "encoded": len(rows), "objects": len(architectures), "window": 4000},
        "repeats": repeats,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--space", default="mobile_cnn")
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--counted", type=int, default=30, help="architectures that are counted one by one")
    arguments.add_argument("--to", type=Path, default=Path(__file__).parent / "results" / "costs.json")
    settings = arguments.parse_args()
    torch.set_num_threads(1)
    found = measure(settings.space, settings.repeats, settings.counted)
    rates = found["rates_per_s"]
    assert isinstance(rates, dict)
    print(f"{settings.space}, median of {settings.repeats}, one thread; a second on the wall, of the processor")
    for name, rate in rates.items():
        target = next((target for start, target in TARGETS.items() if name.startswith(start)), None)
        wall, cpu = rate["wall"], rate["processor"]
        print(f"  {name:<62}{wall:>12,.0f}{cpu:>14,.0f}" + (f"   target {target:,}" if target else ""))
    for name in ("compile_s", "bounds_s", "window_s", "draws_kept", "tables_equal_to_counting"):
        print(f"  {name:<62}   {found[name]}")
    record = {"space": settings.space, **found, "threads": 1, "machine": describe_machine()}
    settings.to.parent.mkdir(parents=True, exist_ok=True)
    settings.to.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
