"""At which size of space and budget does a supernet pay? Shared weights against stand-alone trainings at equal seconds.

For every length of the supernet's training: shared weights are trained, architectures are scored with them, and the
seconds of both phases are taken. Then random search trains candidates alone, E epochs each, for the same number of
seconds on the same device. What counts is what the winners are worth when they are trained properly: for
`pooling_resnet20` the published accuracy of all 36, for other spaces their test accuracy after a longer training on
all training images. Beside it stands what a candidate costs either way, and the number of candidates from which on
shared weights cost less.

Every outcome is written as it comes and read again by the next call, so a benchmark that was cut off goes on:

    python benchmarks/supernet_pays.py --data-dir DIR --out DIR --limit 420
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine

import nasengine as nas
from nasengine.data import load_data
from nasengine.search.events import Event, PhaseEnded
from nasengine.search.language.strategy import strategy_from_mapping

NAME = "supernet_pays.json"
PUBLISHED = Path(__file__).parents[1] / "search_spaces" / "tables" / "pooling36.csv"
SGD = {"type": "sgd", "rate": 0.1, "momentum": 0.9}
DECAYED = {**SGD, "weight_decay": 5.0e-4, "nesterov": True}
BATCH_NORM = {"affine": False, "statistics": "batch"}


@dataclass(frozen=True)
class Setting:
    """How a space is searched either way.

    Args:
        space: its name.
        prepare: of the supernet's phase, without its length.
        search: of the phase that scores with shared weights.
        lengths: of the supernet's training, in epochs.
        alone: epochs that stand-alone candidates are trained.
    """

    space: str
    prepare: Mapping[str, Any]
    search: Mapping[str, Any]
    lengths: tuple[int, ...]
    alone: tuple[int, ...]


SETTINGS = {
    "pooling_resnet20": Setting(
        "pooling_resnet20",
        {
            "sampler": {"type": "balanced_mixture", "models": 4},
            "network": {"norm": BATCH_NORM},
            "optimizer": SGD,
            "schedule": {"type": "cosine", "last": 0.001},
        },
        {"algorithm": "exhaustive", "evaluator": {"type": "supernet", "statistics": "batch"}},
        lengths=(40, 160),
        alone=(1, 4, 16),
    ),
    "mobile_cnn_cifar": Setting(
        "mobile_cnn_cifar",
        {"sampler": {"type": "single_path"}, "optimizer": DECAYED, "schedule": "cosine"},
        {
            "algorithm": {"type": "regularized_evolution", "population": 50, "tournament": 10},
            "evaluator": {"type": "supernet", "statistics": "recalibrate", "images": 2048},
        },
        lengths=(15,),
        alone=(1, 4),
    ),
}


class Book:
    """Outcomes by key, in a file that is written after each one.

    Args:
        out: the folder of the file.
        earlier: a file of outcomes that are taken as they are, if it is there.
    """

    def __init__(self, out: Path, earlier: Path, arguments: Mapping[str, Any]) -> None:
        self.path = out / NAME
        source = self.path if self.path.exists() else earlier
        known = json.loads(source.read_text()) if source.exists() else {}
        self.rows: dict[str, dict[str, Any]] = known.get("rows", {})
        self.truths: dict[str, dict[str, Any]] = known.get("truths", {})
        self.arguments = dict(arguments)

    def write(self) -> None:
        report = {
            "data": "CIFAR-10 (99.83 % bit-exact copy)",
            "arguments": self.arguments,
            "machine": describe_machine(),
            "rows": self.rows,
            "truths": self.truths,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(report, indent=1) + "\n")


@dataclass(frozen=True)
class Bench:
    """What every run of the benchmark shares.

    Args:
        data, folder: the data set and where it lies.
        device: where everything is measured.
        batch: of stand-alone trainings.
        lag: of random search: so many train side by side at most.
        truth_epochs: of the longer training.
        scored: architectures that are scored with shared weights in a space too large to score them all.
        loading_s: that reading the data set takes, which every phase does anew: taken off each.
    """

    data: str
    folder: Path | None
    device: str
    batch: int
    lag: int
    truth_epochs: int
    scored: int
    loading_s: float

    def run(self, space: str, content: dict[str, Any], seed: int) -> tuple[nas.Run, dict[str, float]]:
        """A whole run in a folder of its own, and the seconds of its phases."""
        seconds: dict[str, float] = {}

        def watch(event: Event) -> None:
            if isinstance(event, PhaseEnded):
                seconds[event.phase] = max(0.0, event.seconds - self.loading_s)

        data = {"validation": 0.2, "batch": 128, "augmentation": "crop_flip", **content.pop("data", {})}
        strategy = strategy_from_mapping(
            {"name": "pays", "data": data, "objectives": {"accuracy": "maximize"}, **content}, "supernet_pays"
        )
        folder = Path(tempfile.mkdtemp(prefix="supernet_pays-")) / "run"
        found = nas.search(
            space, strategy, data=self.data, data_dir=self.folder, run=folder, seed=seed, device=self.device,
            on_event=watch,
        )  # fmt: skip
        return found, seconds


def outcome(found: nas.Run, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What a search came to: its winner, and what it cost."""
    best = found.best
    assert best.trial is not None
    return {
        "winner": best.architecture.to_json(),
        "validation_accuracy": best.trial.measurements["accuracy"],
        "trials": len(found.trials),
        "failed": sum(trial.status == "failed" for trial in found.trials),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }


def shared(bench: Bench, setting: Setting, epochs: int, seed: int) -> dict[str, Any]:
    """Shared weights trained for some epochs, then architectures scored with them."""
    prepare = {"trainer": "shared_weights", **setting.prepare, "budget": {"epochs": epochs}}
    search = dict(setting.search)
    if search["algorithm"] != "exhaustive":
        search["budget"] = {"trials": bench.scored}
    phases = [{"prepare": prepare}, {"search": search}]
    return outcome(*bench.run(setting.space, {"phases": phases}, seed))


def alone(
    bench: Bench, setting: Setting, epochs: int, seconds: float, candidate_epoch_s: float | None, seed: int
) -> dict[str, Any]:
    """Random search with stand-alone trainings of some epochs, for about so many seconds.

    Where it is known what an epoch of a candidate costs, as many are trained as fit; else until the seconds are over.
    """
    evaluator = {"type": "standalone", "optimizer": DECAYED, "schedule": "cosine", "budget": {"epochs": epochs}}
    most = nas.load_space(setting.space).size()
    budget = {"seconds": seconds + bench.loading_s, "trials": int(min(most, 100_000))}
    if candidate_epoch_s is not None:
        budget = {"trials": int(min(most, max(1, round(seconds / (epochs * candidate_epoch_s)))))}
    search = {"algorithm": "random_search", "evaluator": evaluator, "budget": budget}
    content = {"lag": bench.lag, "data": {"batch": bench.batch}, "phases": [{"search": search}]}
    return outcome(*bench.run(setting.space, content, seed))


def truth(bench: Bench, space: str, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """What an architecture is worth: published, or measured by a longer training."""
    if space == "pooling_resnet20" and bench.data == "cifar10":
        with PUBLISHED.open(newline="") as file:
            for row in csv.DictReader(file):
                if json.loads(row["network.downsample_at"]) == architecture["network.downsample_at"]:
                    return {"test_accuracy": float(row["accuracy"]) / 100, "source": "published"}
    training = {"optimizer": DECAYED, "schedule": "cosine", "budget": {"epochs": bench.truth_epochs}}
    retrain = {"architecture": dict(architecture), "data": {"validation": 0.0, "batch": bench.batch}, **training}
    found, _ = bench.run(space, {"phases": [{"retrain": retrain}]}, seed=0)
    (record,) = found.retrained
    return {
        "test_accuracy": record.measurements["test_accuracy"],
        "macs": nas.costs(found.space, record.architecture).macs,
        "seconds": round(record.seconds, 1),
        "source": f"{bench.truth_epochs} epochs, 1 seed",
    }


def work(arguments: argparse.Namespace, bench: Bench, book: Book) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is to be measured, in order: (key, how). Keys are SPACE/SUPERNET EPOCHS/METHOD/SEED."""
    for index in range(max(len(arguments.lengths or SETTINGS[name].lengths) for name in arguments.spaces)):
        for seed in range(arguments.seeds):
            for name in arguments.spaces:
                setting = SETTINGS[name]
                lengths = arguments.lengths or setting.lengths
                if index < len(lengths):
                    yield from _rows(bench, book, setting, lengths[index], arguments.alone or setting.alone, seed)


def _rows(
    bench: Bench, book: Book, setting: Setting, length: int, alones: Sequence[int], seed: int
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """One length of shared weights, and stand-alone trainings for as long; each row is in the book when it goes on."""
    key = f"{setting.space}/{length}/shared/{seed}"
    yield key, functools.partial(shared, bench, setting, length, seed)
    spent = sum(book.rows[key]["seconds"].values())
    known: float | None = None
    for epochs in alones:
        key = f"{setting.space}/{length}/alone {epochs}/{seed}"
        yield key, functools.partial(alone, bench, setting, epochs, spent, known, seed)
        row = book.rows[key]
        known = row["seconds"]["search"] / max(1, row["trials"]) / epochs


def truth_key(space: str, winner: Mapping[str, Any]) -> str:
    return f"{space} {json.dumps(winner, sort_keys=True)}"


def table(book: Book) -> list[str]:
    """The rows that were measured, seeds together; then what a candidate costs, and from where on a supernet pays."""
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}  # 0 epochs alone: shared weights
    for key, row in book.rows.items():
        space, length, method, _ = key.split("/")
        groups.setdefault((space, int(length), int(method.removeprefix("alone ").replace("shared", "0"))), []).append(
            row
        )
    lines = [
        "| space | supernet epochs | method | seconds | candidates | true accuracy of the winners |",
        "|---|---|---|---|---|---|",
    ]
    for (space, length, alone_epochs), rows in sorted(groups.items()):
        spent = statistics.mean(sum(row["seconds"].values()) for row in rows)
        trials = statistics.mean(row["trials"] for row in rows)
        found = [book.truths.get(truth_key(space, row["winner"])) for row in rows]
        values = [100 * truth["test_accuracy"] for truth in found if truth is not None]
        deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        shown = f"{statistics.mean(values):.2f}{deviation} % (n={len(values)})" if values else ""
        method = f"alone, {alone_epochs} epochs each" if alone_epochs else "shared weights"
        lines.append(f"| {space} | {length} | {method} | {spent:.1f} | {trials:.0f} | {shown} |")
    lines += [
        "",
        "| space | supernet epochs | preparing, s | scoring one, s | alone, epochs | training one, s | pays from |",
        "|---|---|---|---|---|---|---|",
    ]
    for (space, length, alone_epochs), rows in sorted(groups.items()):
        base = groups.get((space, length, 0))
        if not alone_epochs or not base:
            continue
        prepared = statistics.mean(row["seconds"]["prepare"] for row in base)
        score = statistics.mean(row["seconds"]["search"] / row["trials"] for row in base)
        each = statistics.mean(row["seconds"]["search"] / max(1, row["trials"]) for row in rows)
        pays = f"{math.ceil(prepared / (each - score))} candidates" if each > score else "never"
        lines.append(f"| {space} | {length} | {prepared:.1f} | {score:.3f} | {alone_epochs} | {each:.2f} | {pays} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--data", default="cifar10", help="another one, such as synthetic, tries the script only")
    parser.add_argument("--spaces", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lengths", type=int, nargs="*", help="epochs of shared weights; default: by space")
    parser.add_argument("--alone", type=int, nargs="*", help="epochs of stand-alone candidates; default: by space")
    parser.add_argument("--batch", type=int, default=256, help="of stand-alone trainings")
    parser.add_argument("--lag", type=int, default=36, help="of the random search: how many train side by side at most")
    parser.add_argument("--scored", type=int, default=300, help="architectures, where there are too many for all")
    parser.add_argument("--truth-epochs", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=float, default=420, help="seconds after which nothing more is begun")
    parser.add_argument("--out", type=Path, required=True, help=f"folder of {NAME}")
    parser.add_argument("--earlier", type=Path, default=Path(__file__).parent / "results" / NAME)
    arguments = parser.parse_args()

    began = time.perf_counter()
    load_data(arguments.data, arguments.data_dir, shape=(3, 32, 32), classes=10)
    bench = Bench(
        data=arguments.data, folder=arguments.data_dir, device=arguments.device, batch=arguments.batch,
        lag=arguments.lag, truth_epochs=arguments.truth_epochs, scored=arguments.scored,
        loading_s=time.perf_counter() - began,
    )  # fmt: skip
    kept = ("spaces", "seeds", "lengths", "alone", "batch", "lag", "scored", "truth_epochs", "data", "device")
    book = Book(arguments.out, arguments.earlier, {key: getattr(arguments, key) for key in kept})
    for key, measure in work(arguments, bench, book):
        if key not in book.rows:
            if time.perf_counter() - began > arguments.limit:
                print("time is up; call again to go on", flush=True)
                break
            book.rows[key] = measure()
            book.write()
            row = book.rows[key]
            print(f"{key}: {row['trials']} trials, {row['seconds']}, {row['validation_accuracy']:.4f}", flush=True)
        space, winner = key.split("/")[0], book.rows[key]["winner"]
        if truth_key(space, winner) not in book.truths and time.perf_counter() - began < arguments.limit:
            book.truths[truth_key(space, winner)] = truth(bench, space, winner)
            book.write()
    for line in table(book):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
