"""At which size of space and budget does a supernet pay? Shared weights against stand-alone trainings, in seconds.

`pooling_resnet20` (36 networks): all of them trained alone side by side, 2 to 20 epochs each, beside one set of shared
weights that scores them, without and with a few epochs of tuning; all on the same images and the same device. What
counts is how they rank, and what their winners are worth by the published accuracies (`supernet_pays_pooling.py`).

`mobile_cnn_cifar` (10^12 networks): evolution on shared weights beside random search that trains its candidates alone
for as many seconds; both winners are then trained for longer (`supernet_pays_mobile.py`).

The tables also say from how many candidates on shared weights cost less: `supernet_pays_table.py`. Every outcome is
written as it comes, and nothing is begun that would end after the limit; the next call goes on:

    python benchmarks/supernet_pays.py --data-dir DIR --gpus 2 --limit 540 --out DIR
    python benchmarks/supernet_pays.py --data-dir DIR --gpus 2 --limit 540 --resume DIR --out DIR2
    python benchmarks/supernet_pays.py --table benchmarks/results/supernet_pays.json
    python benchmarks/supernet_pays.py --table DIR/supernet_pays.json --truth benchmarks/results/brute_force.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import describe_machine
from supernet_pays_mobile import Mobile
from supernet_pays_pooling import Pooling, held_against
from supernet_pays_table import tables
from workers import on_every_gpu

from nasengine.errors import NasEngineError
from nasengine.runs.files import write_atomically

NAME = "supernet_pays.json"
ROWS = ("seeds", "shared", "alone", "mobile_epochs", "mobile_alone", "mobile_seeds", "truth_epochs")  # which there are
SETTINGS = ("tune", "batch", "scored", "side_by_side", "images")  # what they depend on beside
GUESSES = {  # seconds on an H200, by the first words of a key: what decides whether there is time for a row
    "pooling_resnet20/shared": lambda epochs: 8 + 0.45 * epochs + 10 + 12,
    "pooling_resnet20/alone": lambda epochs: 6 + 7 * epochs,
    "mobile_cnn_cifar/shared": lambda epochs: 50 + 6 * epochs,
    "mobile_cnn_cifar/alone": lambda epochs: 140,
    "mobile_cnn_cifar/truth": lambda epochs: 20 + 4 * epochs,
}


def main() -> int:
    arguments = read_arguments()
    if arguments.table:
        rows = json.loads(arguments.table.read_text())["rows"]
        print("\n".join(tables(held_against(rows, arguments.truth) if arguments.truth else rows)))
        return 0
    if arguments.out is None:
        raise SystemExit("where should the results go? --out DIR")
    if arguments.worker is not None:
        work_on(arguments)
        return 0
    before = arguments.resume / NAME if arguments.resume else arguments.out / NAME
    known = read(before, arguments) if before.is_file() else {}
    found: dict[str, dict[str, Any]] = {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "known.json").write_text(json.dumps(known))

        def collect() -> None:
            found.update(known)
            for part in work.glob("part-*.json"):
                found.update(json.loads(part.read_text()))
            report = {
                "data": arguments.data,
                "arguments": {key: getattr(arguments, key) for key in (*ROWS, *SETTINGS)},
                "machine": describe_machine(),
                "rows": dict(sorted(found.items())),
            }
            write_atomically(arguments.out / NAME, json.dumps(report, indent=1) + "\n")

        own = ["--work", str(work), "--began", str(time.time())]
        each = [[*own, "--worker", str(index)] for index in range(arguments.gpus)]
        on_every_gpu(each, work, "part-*.json", collect)
    print("\n".join(tables(found)), flush=True)
    missing = [key for chain in chains(arguments) for key in chain if key not in found]
    print(f"{len(missing)} of {len(missing) + len(found)} rows are missing: {', '.join(missing)}", flush=True)
    return 3 if missing else 0


def read(path: Path, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Rows of an earlier call.

    Raises:
        SystemExit: its settings were others.
    """
    earlier = json.loads(path.read_text())
    before = {"data": earlier["data"], **earlier["arguments"]}
    for key in ("data", *SETTINGS):
        if key in before and before[key] != getattr(arguments, key):
            raise SystemExit(f"{path} has {key} {before[key]}, not {getattr(arguments, key)}")
    rows: dict[str, dict[str, Any]] = earlier["rows"]
    return rows


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="default: $NASENGINE_DATA/cifar10")
    parser.add_argument("--data", default="cifar10", help="another one, such as synthetic, tries the script only")
    spaces = ["pooling_resnet20", "mobile_cnn_cifar"]
    parser.add_argument("--spaces", nargs="*", default=spaces, choices=spaces)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shared", type=int, nargs="+", default=[20, 60], help="epochs of shared weights (pooling)")
    parser.add_argument(
        "--tune", type=float, nargs="*", default=[1, 2], help="epochs of tuning: of each of --shared one"
    )
    parser.add_argument("--alone", type=int, nargs="+", default=[2, 5, 10, 20], help="epochs of each alone (pooling)")
    parser.add_argument("--batch", type=int, default=256, help="of stand-alone trainings")
    parser.add_argument("--mobile-epochs", type=int, default=12, help="of the shared weights of mobile_cnn_cifar")
    parser.add_argument("--mobile-alone", type=int, default=3, help="epochs of its candidates that are trained alone")
    parser.add_argument("--mobile-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--scored", type=int, default=150, help="its architectures that evolution scores")
    parser.add_argument("--side-by-side", type=int, default=12, help="its candidates that are trained together")
    parser.add_argument("--truth-epochs", type=int, default=20, help="of the winners of mobile_cnn_cifar")
    parser.add_argument("--images", type=int, help="use at most so many training images (to try things out)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--limit", type=float, default=540, help="seconds; nothing is begun that would end later")
    parser.add_argument("--patience", type=float, default=1, help="factor of the expected seconds of each row")
    parser.add_argument("--out", type=Path, help=f"folder of {NAME}")
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call; default: --out itself")
    parser.add_argument("--table", type=Path, help="print the tables of a file, nothing else")
    parser.add_argument("--truth", type=Path, help="for --table: what cohort.py --brute-force left, as the truth")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.data_dir is None and arguments.data == "cifar10" and "NASENGINE_DATA" in os.environ:
        arguments.data_dir = Path(os.environ["NASENGINE_DATA"]) / "cifar10"
    return arguments


def chains(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Rows to measure, SPACE/METHOD/EPOCHS/SEED, the most telling first; those of a chain need the ones before them."""
    if "mobile_cnn_cifar" in arguments.spaces:
        for seed in arguments.mobile_seeds:
            methods = {
                "shared": arguments.mobile_epochs,
                "alone": arguments.mobile_alone,
                "truth": arguments.truth_epochs,
            }
            yield [f"mobile_cnn_cifar/{method}/{epochs}/{seed}" for method, epochs in methods.items()]
    if "pooling_resnet20" in arguments.spaces:
        *others, longest = sorted(arguments.alone)
        for seed in arguments.seeds:
            yield from ([f"pooling_resnet20/shared/{epochs}/{seed}"] for epochs in arguments.shared)
            yield from ([f"pooling_resnet20/alone/{epochs}/{seed}"] for epochs in others)
        yield from ([f"pooling_resnet20/alone/{longest}/{seed}"] for seed in arguments.seeds)


def expected(key: str) -> float:
    """Seconds that a row should take."""
    space, method, epochs, _ = key.split("/")
    return GUESSES[f"{space}/{method}"](int(epochs))


def work_on(arguments: argparse.Namespace) -> None:
    """The rows of one process, as long as there is time for another."""
    rows: dict[str, dict[str, Any]] = json.loads((arguments.work / "known.json").read_text())
    own: dict[str, dict[str, Any]] = {}
    shares: list[list[str]] = [[] for _ in range(arguments.gpus)]
    for chain in chains(arguments):
        missing = [key for key in chain if key not in rows]
        min(shares, key=lambda share: sum(map(expected, share))).extend(missing)
    foretold = sum(map(expected, shares[arguments.worker])) * arguments.patience
    print(f"GPU {arguments.worker}: {len(shares[arguments.worker])} rows, about {foretold:.0f} s", flush=True)
    until, benches = arguments.began + arguments.limit, dict[str, Pooling | Mobile]()
    for key in shares[arguments.worker]:
        space, method, epochs, seed = key.split("/")
        if time.time() + expected(key) * arguments.patience > until:
            print(f"{key}: no time is left", flush=True)
            continue
        if space not in benches:
            benches[space] = (Pooling if space == "pooling_resnet20" else Mobile)(arguments)
        before = {other: row for other, row in rows.items() if other.startswith(f"{space}/")}
        began = time.perf_counter()
        try:
            row = benches[space].measure(method, int(epochs), int(seed), before)
        except NasEngineError as error:
            print(f"{key} failed: {error}", flush=True)
            continue
        if row is None:
            print(f"{key}: something before it is missing", flush=True)
            continue
        rows[key] = own[key] = {**row, "machine": describe_machine()}
        write_atomically(arguments.work / f"part-{arguments.worker}.json", json.dumps(own) + "\n")
        spent = time.perf_counter() - began
        said = "; ".join(f"{way}: {_shown(found)}" for way, found in row["ways"].items())
        print(f"{key}: {spent:.0f} s ({expected(key):.0f} expected), {row['seconds']}; {said}", flush=True)


def _shown(found: dict[str, Any]) -> str:
    """The figures of a way."""
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items() if isinstance(value, (int, float)))


if __name__ == "__main__":
    sys.exit(main())
