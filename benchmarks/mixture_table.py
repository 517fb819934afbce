"""What `mixture.py` found: a line a search while it works, and a markdown table of all results in one file.

    python benchmarks/mixture_table.py --merge DIR/mixture.json …            # into benchmarks/results/mixture.json
    python benchmarks/mixture_table.py                                       # prints its table
    python benchmarks/mixture_table.py --space pooling_resnet18 --truth DIR/truth.json   # compared anew with a truth

A record of the same space, settings, number of models and seed replaces the one before it, and says so; one of the same
training (its scores are the same) keeps the tunings that only the one before it has.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixture_truth import compare, read_truth, tuned_way

from nasengine.runs.files import write_atomically

RESULTS = Path(__file__).parent / "results" / "mixture.json"
# arXiv 2306.11982, recomputed from the scores that its authors published; the winner that they report is another one.
PUBLISHED = {1: (0.143, "90.34"), 2: (0.312, "90.52"), 4: (0.597, "90.96 (reported 91.55)"), 8: (0.530, "90.96")}
PUBLISHED_MACS = 0.494
WITHOUT_EFFECT = ("device", "data_dir", "gpus", "side_by_side", "eager", "fine_tune", "fine_tune_rate")
WITHOUT_EFFECT += ("fine_tune_decay", "last", "space")
AS_PUBLISHED: dict[str, Any] = {
    "per_model_epochs": 100,
    "total_epochs": None,
    "statistics": "batch",
    "norms": "shared",
    "affine": False,
    "nesterov": False,
    "smoothing": 0.0,
    "ema": None,
    "augmentation": "crop_flip",
    "share_scores": None,
    "assignment": "balanced",
    "together": 0.0,
    "last_width": None,
    "precision": "auto",
    "images": None,
    "data": "cifar10",
}
OF_SPACE: dict[str, dict[str, Any]] = {
    "pooling_resnet20": {"batch": 128, "rate": 0.1, "decay": 0.0, "temperature": [1.0, 100.0], "momentum": 0.9},
    "pooling_resnet18": {"batch": 256, "rate": 0.05, "decay": 1e-4, "temperature": [1.0, 200.0], "momentum": 0.95},
}
WORDS = {  # of what differs
    "total_epochs": "equal budget: {:g} epochs in all",
    "per_model_epochs": "{:g} epochs a model",
    "norms": "{} norms",
    "assignment": "assigned {}",
    "ema": "average of weights, {}",
    "together": "together for {:.0%} of the epochs",
    "last_width": "last block {} wide",
    "smoothing": "label smoothing {}",
    "share_scores": "scores shared over {:g}",
    "momentum": "momentum of scores {}",
    "decay": "weight decay {}",
    "images": "{} images only",
    "data": "{} images",
}

Record = Mapping[str, Any]


def label(settings: Record) -> str:
    """What is not as published, in words."""
    usual = AS_PUBLISHED | OF_SPACE[settings["space"]]
    said = []
    for key, value in settings.items():
        if key in WITHOUT_EFFECT or value == usual.get(key):
            continue
        if key == "per_model_epochs" and settings.get("total_epochs"):
            continue
        name = key.replace("_", " ")
        said.append(WORDS[key].format(value) if key in WORDS else name if value is True else f"{name} {value}")
    return ", ".join(said).replace("_", " ") or "as published"


def key_of(record: Record) -> tuple[str, str, int, int]:
    return record["settings"]["space"], label(record["settings"]), record["models"], record["seed"]


def merged(*reports: Iterable[Record]) -> list[dict[str, Any]]:
    """Records of several files; of two with the same key the later, which says what it replaces."""
    found: dict[tuple[str, str, int, int], dict[str, Any]] = {}
    for record in (renewed(record) for records in reports for record in records):
        key = key_of(record)
        before = found.get(key)
        if before is not None and before["scores"] == record["scores"]:
            record = joined(before, record)
        elif before is not None:
            tuned = ", ".join(map(tuned_way, before["tuned"])) or "nothing"
            print(f"replaced by another training: {', '.join(map(str, key))}, with {tuned} tuned", flush=True)
        found[key] = record
    return [found[key] for key in sorted(found)]


def joined(before: Record, record: Record) -> dict[str, Any]:
    """Two records of one training: the later, and of the tunings that it does not have those of the earlier."""
    have = {tuned_way(tuned) for tuned in record["tuned"]}
    more = [tuned for tuned in before["tuned"] if tuned_way(tuned) not in have]
    return {
        **record,
        "tuned": [*more, *record["tuned"]],
        "compared": {**before["compared"], **record["compared"]},
        "tau": {**before["tau"], **record["tau"]},
    }


def renewed(record: Record) -> dict[str, Any]:
    """A record as it is written now, from one whose tunings were bare scores by name."""
    made = dict(record)
    if isinstance(made["tuned"], Mapping):
        seconds, settings = dict(made["seconds"]), made["settings"]
        spent = seconds.pop("tuning")
        made["seconds"] = seconds
        made["tuned"] = [
            {
                "epochs": float(name.removeprefix("tuned_")),
                "rate": settings["fine_tune_rate"],
                "decay": 5e-4,
                "seconds": spent[name.removeprefix("tuned_")],
                "accuracies": accuracies,
            }
            for name, accuracies in made["tuned"].items()
        ]
        agreed = made["compared"]
        made["tau"] = {way: found["agreement"]["kendall"]["value"] for way, found in agreed.items()}
        made["to_do"] = []
    return made


def table(records: Sequence[Record]) -> list[str]:
    """A markdown table for each space: setting, models and way of scoring, means and deviations over seeds."""
    lines: list[str] = []
    for space in sorted({record["settings"]["space"] for record in records}):
        here = [record for record in records if record["settings"]["space"] == space]
        lines += [
            "" if lines else f"{space}:",
            *([f"{space}:"] if lines else []),
            "",
            "| setting | M | scored by | n | Kendall τ | true accuracy of winners, % | seconds a search |",
            "|---|---|---|---|---|---|---|",
        ]
        if space == "pooling_resnet20":
            for models, (tau, winner) in PUBLISHED.items():
                lines.append(f"| published (arXiv 2306.11982) | {models} | own | 1 | {tau:.3f} | {winner} | |")
            lines.append(f"| published accuracies | | MACs alone | 1 | {PUBLISHED_MACS:.3f} | | |")
        ours = [tau for record in here if (tau := record["tau"].get("macs")) is not None]
        if ours:
            lines.append(f"| counted here | | MACs alone | 1 | {ours[-1]:.3f} | | |")
        groups: dict[tuple[str, int], list[Record]] = {}
        for record in here:
            groups.setdefault((label(record["settings"]), record["models"]), []).append(record)
        for (setting, models), group in sorted(groups.items(), key=_order):
            lines += _rows(setting, models, group)
    return lines


def _order(group: tuple[tuple[str, int], Any]) -> tuple[bool, str, int]:
    setting, models = group[0]
    return setting != "as published", setting, models


def _rows(setting: str, models: int, group: Sequence[Record]) -> Iterable[str]:
    ways = ["own", *(["best"] if models > 1 else [])]
    tuned = sorted({(one["epochs"], tuned_way(one)) for record in group for one in record["tuned"]})
    for way in (*ways, *(name for _, name in tuned)):
        having = [record for record in group if way in record["compared"]]
        taus = [tau for record in having if (tau := record["tau"].get(way)) is not None]
        worth = [value for each in having if (value := each["compared"][way]["winner_truth"]) is not None]
        seconds = [_seconds(record, way) for record in having]
        yield (
            f"| {setting} | {models} | {way.replace('_', ' ')} | {len(having)} | {_spread(taus, 3)} "
            f"| {_spread(worth, 2)} | {statistics.fmean(seconds):.0f}{_in_turn(having)} |"
        )


def _seconds(record: Record, way: str) -> float:
    """Of training and scoring; of tuning in place of scoring, where that is the way."""
    tuning = [one["seconds"] for one in record["tuned"] if tuned_way(one) == way]
    training: float = record["seconds"]["training"]
    return training + (tuning[0] if tuning else record["seconds"]["scoring"])


def _in_turn(group: Sequence[Record]) -> str:
    """How many searches took turns on a GPU, where it was not one."""
    most = {record.get("in_turn", record["settings"]["side_by_side"]) for record in group}
    return f" ({max(most)} in turn)" if max(most) > 1 else ""


def _spread(values: Sequence[float], digits: int) -> str:
    """Mean, and standard deviation where there are several."""
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"


def show(records: Sequence[Record]) -> None:
    """A line a search; where there are several, the table."""
    for record in records:
        seconds, own = record["seconds"], record["compared"]["own"]
        line = (
            f"M {record['models']} seed {record['seed']}: {record['epochs']} epochs, {record['ms_per_step']} ms a step"
        )
        line += f", {seconds['training']:.0f} s + {seconds['scoring']:.0f} s"
        taus = [f"{way} {tau:.3f}" for way, tau in record["tau"].items() if tau is not None]
        if taus:
            line += f"; tau {', '.join(taus)}; winner {own['winner_truth']} at {own['winner_macs'] / 1e6:.1f} M MACs"
        print(line, flush=True)
    if len(records) > 1:
        print("\n".join(table(records)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merge", type=Path, nargs="*", default=[], help="files that mixture.py left; later ones win")
    parser.add_argument("--into", type=Path, default=RESULTS)
    parser.add_argument("--space", default="pooling_resnet18", help="whose records are compared anew with --truth")
    parser.add_argument("--truth", type=Path, help="what stand_alone_truth.py or cohort.py --brute-force left")
    parser.add_argument("--print-only", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    paths = [*([arguments.into] if arguments.into.is_file() else []), *arguments.merge]
    reports = [json.loads(path.read_text()) for path in paths]
    records = merged(*(report["records"] for report in reports))
    if arguments.truth:
        known = read_truth(arguments.space, arguments.truth)
        for record in records:
            if record["settings"]["space"] == arguments.space:
                record.update(compare(record, known))
    if (arguments.merge or arguments.truth) and not arguments.print_only:
        report = {**reports[-1], "records": records}
        write_atomically(arguments.into, json.dumps(report) + "\n")
    print("\n".join(table(records)))


if __name__ == "__main__":
    main()
