"""How the rankings of a mixture agree with the truth: what its networks are worth, each trained alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasengine.agreement import agreement
from nasengine.records import Architecture

PUBLISHED = Path(__file__).parents[1] / "search_spaces" / "tables" / "pooling36.csv"


def read_truth(space: str, file: Path | None = None) -> dict[str, float]:
    """Accuracy of architectures trained alone, in percent, by their keys; nothing where nobody knows.

    Args:
        space: of which the published table is read, if there is one and no file.
        file: what benchmarks/stand_alone_truth.py left, or benchmarks/cohort.py --brute-force: then the validation
            accuracies of its longest training of the networks as they are searched.
    """
    if file is not None:
        content = json.loads(file.read_text())
        if "truth" in content:
            return dict(content["truth"])
        alone = [row for row in content["rows"] if row["space"] == space and row["last_width"] is None]
        found = max(alone, key=lambda row: row["epochs"])["validation_accuracy"]
        return {key: 100 * accuracy for key, accuracy in found.items()}
    if space != "pooling_resnet20":
        return {}
    with PUBLISHED.open(encoding="utf-8", newline="") as rows:
        return {
            Architecture({"network.downsample_at": json.loads(row["network.downsample_at"])}).key: float(
                row["accuracy"]
            )
            for row in csv.DictReader(rows)
        }


def compare(record: Mapping[str, Any], known: Mapping[str, float]) -> dict[str, Any]:
    """What a record gains by the truth: the truth itself, winners and agreement of every way of scoring, and of MACs.

    Args:
        record: of a search, with its configurations, MACs and scores.
        known: see `read_truth`.
    """
    keys = [Architecture(options).key for options in record["configurations"]]
    truth, macs = [known.get(key) for key in keys], record["macs"]
    places = [index for index, value in enumerate(truth) if value is not None]
    compared: dict[str, Any] = {}
    for way, scores in ways(record).items():
        winner = max(range(len(scores)), key=scores.__getitem__)
        compared[way] = {"winner": winner, "winner_macs": macs[winner], "winner_truth": truth[winner]}
        if len(places) > 2:
            compared[way]["agreement"] = _agreement(scores, truth, places)
            if truth[winner] is None:  # then the best of those that are known
                winner = max(places, key=scores.__getitem__)
                compared[way] |= {"winner_of_known": winner, "winner_truth": truth[winner]}
    if len(places) > 2:
        compared["macs"] = {"agreement": _agreement([float(value) for value in macs], truth, places)}
    taus = {way: found["agreement"]["kendall"]["value"] for way, found in compared.items() if "agreement" in found}
    return {"truth": truth, "compared": compared, "tau": taus}


def ways(record: Mapping[str, Any]) -> dict[str, list[float]]:
    """Every way of scoring: by an architecture's own model, by its best, by all alike, by all as they own it, tuned."""
    scores, own = record["scores"], record["assignment"]
    by = {
        "own": [row[model] for row, model in zip(scores, own, strict=True)],
        "best": [max(row) for row in scores],
        "mean": [sum(row) / len(row) for row in scores],
    }
    if "probabilities" in record:
        by["weighted"] = [
            sum(score * share for score, share in zip(row, shares, strict=True))
            for row, shares in zip(scores, record["probabilities"], strict=True)
        ]
    return by | {tuned_way(tuned): tuned["accuracies"] for tuned in record["tuned"]}


def tuned_way(tuned: Mapping[str, Any]) -> str:
    """The name of a tuning: its epochs, and what is not as usual."""
    name = f"tuned_{tuned['epochs']:g}"
    if tuned.get("rate", 0.05) != 0.05:
        name += f"_rate_{tuned['rate']:g}"
    if tuned.get("decay", 5e-4) != 5e-4:
        name += f"_decay_{tuned['decay']:g}"
    return name


def _agreement(scores: Sequence[float], truth: Sequence[float | None], places: Sequence[int]) -> dict[str, Any]:
    right = [value for value in truth if value is not None]
    return agreement([scores[place] for place in places], right).to_json()
