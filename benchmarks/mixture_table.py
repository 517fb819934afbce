"""What `mixture.py` found, as lines to read: one for each search, then means over seeds."""

from __future__ import annotations

import statistics
from typing import Any


def show(records: list[dict[str, Any]]) -> None:
    """A line a search; then, for each M, means over seeds."""
    for record in records:
        own = record["compared"]["own"]
        line = (
            f"M {record['models']} seed {record['seed']}: {record['epochs']} epochs, {record['ms_per_step']} ms a step"
        )
        line += f", {record['seconds']['training']:.0f} s + {record['seconds']['scoring']:.0f} s"
        taus = [
            f"{way} {figure(figures, 'kendall'):.3f}"
            for way, figures in record["compared"].items()
            if "agreement" in figures
        ]
        if taus:
            line += f"; tau {', '.join(taus)}; winner {own['winner_truth']} at {own['winner_macs'] / 1e6:.1f} M MACs"
        print(line, flush=True)
    if len(records) < 2:
        return
    for models in sorted({record["models"] for record in records}):
        group = [record["compared"] for record in records if record["models"] == models]
        for way in (key for key in group[0] if key != "macs"):
            if all("agreement" in each.get(way, {}) for each in group):
                tau = statistics.fmean(figure(each[way], "kendall") for each in group)
                rho = statistics.fmean(figure(each[way], "spearman") for each in group)
                worth = statistics.fmean(each[way]["winner_truth"] for each in group)
                print(f"M {models} {way:<9} n {len(group)}: tau {tau:.3f}  spearman {rho:.3f}  winners {worth:.2f}")


def figure(compared: dict[str, Any], name: str) -> float:
    """A figure of an agreement; not a number where it has no value, as where all scores are equal."""
    value = compared["agreement"][name]["value"]
    return float("nan") if value is None else float(value)
