"""The tables of `supernet_pays.py`: what each way cost and found, and from where on shared weights cost less.

Shared weights cost P seconds to train, then s for each of n candidates; alone a candidate costs a. P + n s < n a from

    n > P / (a - s)

on, and never where s >= a. P belongs to the space: it is the training after which the ranking is good enough.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SIZES = (36, 200, 1_000, 10_000)
Rows = Mapping[str, Mapping[str, Any]]


def tables(rows: Rows) -> list[str]:
    """Both tables of every space, in markdown."""
    lines: list[str] = []
    for space in sorted({key.split("/")[0] for key in rows}):
        here = {key: rows[key] for key in sorted(rows, key=_order) if key.startswith(f"{space}/")}
        lines += [f"{space}:", "", *ways_table(here), "", *break_even(here), ""]
    return lines


def _order(key: str) -> tuple[bool, int, int]:
    """Alone first, then shared; by epochs and seed."""
    _, method, epochs, seed = key.split("/")
    return method != "alone", int(epochs), int(seed)


def ways_table(rows: Rows) -> list[str]:
    """A line for each way, seeds together."""
    ways: dict[str, list[Mapping[str, Any]]] = {}
    candidates: dict[str, list[int]] = {}
    truths = {
        (key.rpartition("/")[2], way): found["truth"]
        for key, row in rows.items()
        if "/truth/" in key
        for way, found in row["ways"].items()
    }
    for key, row in rows.items():
        if "/truth/" in key:
            continue
        for way, found in row["ways"].items():
            truth = found.get("truth", truths.get((key.rpartition("/")[2], way)))
            ways.setdefault(way, []).append({**found, "truth": truth})
            candidates.setdefault(way, []).append(row["candidates"])
    lines = [
        "| way | seconds | candidates | Kendall τ | true accuracy of winners, % | n |",
        "|---|---|---|---|---|---|",
    ]
    for way, found in ways.items():
        seconds = statistics.fmean(one["seconds"] for one in found)
        count = statistics.fmean(candidates[way])
        taus = [one["tau"] for one in found if one.get("tau") is not None]
        worth = [one["truth"] for one in found if one["truth"] is not None]
        lines.append(f"| {way} | {seconds:.0f} | {count:.0f} | {spread(taus, 2)} | {spread(worth, 2)} | {len(found)} |")
    default = [value for (_, way), value in truths.items() if way == "default" and value is not None]
    if default:
        lines.append(f"| the space's default | 0 | 0 | | {spread(default, 2)} | {len(default)} |")
    return lines


def break_even(rows: Rows) -> list[str]:
    """Seconds for spaces of several sizes, and the number of candidates from which on shared weights cost less."""
    shared, alone = list(shared_costs(rows)), list(alone_costs(rows))
    lines = [
        "| way | preparing, s | a candidate, s | " + " | ".join(f"{size:,} candidates, s" for size in SIZES) + " |",
        "|---|---|---|" + "---|" * len(SIZES),
    ]
    for way, prepare, each in (*shared, *((way, 0.0, each) for way, each in alone)):
        whole = " | ".join(f"{prepare + size * each:,.0f}" for size in SIZES)
        lines.append(f"| {way} | {prepare:.1f} | {each:.3f} | {whole} |")
    lines += ["", "| pays from so many candidates | " + " | ".join(f"against {way}" for way, _ in alone) + " |"]
    lines.append("|---|" + "---|" * len(alone))
    for way, prepare, each in shared:
        cells = [f"{math.ceil(prepare / (other - each)):,}" if other > each else "never" for _, other in alone]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def shared_costs(rows: Rows) -> Iterator[tuple[str, float, float]]:
    """(way, seconds of preparation, seconds of a candidate), seeds together."""
    found: dict[str, list[tuple[float, float]]] = {}
    for key, row in rows.items():
        if "/shared/" not in key:
            continue
        scoring = {"score", "search"} & set(row["seconds"])
        tuning = [name for name in row["seconds"] if name.startswith("tune")]
        for way, name in zip(row["ways"], (*scoring, *tuning), strict=True):
            found.setdefault(way, []).append((row["seconds"]["prepare"], row["seconds"][name] / row["candidates"]))
    for way, values in found.items():
        yield way, statistics.fmean(one for one, _ in values), statistics.fmean(one for _, one in values)


def alone_costs(rows: Rows) -> Iterator[tuple[str, float]]:
    """(way, seconds of a candidate), seeds together; of candidates that were trained side by side."""
    found: dict[str, list[float]] = {}
    for key, row in rows.items():
        if "/alone/" in key:
            (way,) = row["ways"]
            found.setdefault(way, []).append(sum(row["seconds"].values()) / max(1, row["candidates"]))
    for way, values in found.items():
        yield way, statistics.fmean(values)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and standard deviation where there are several."""
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"
