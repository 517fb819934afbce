"""Rows of a benchmark of steps: measured with a limit of time, printed and written as they are done."""

from __future__ import annotations

import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine

Step = Callable[[], None]
BASELINE = "plain compiled"
WARM_UP = 6  # steps, as many as there are sets of architectures that a masked step takes in turn


@dataclass
class Report:
    """The rows, written to a file after each.

    Args:
        out: the file, or None.
        settings: what the run was asked for.
    """

    out: Path | None
    settings: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Print a row and write all."""
        self.rows.append(row)
        print(written(row), flush=True)
        if self.out:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            report = {**self.settings, "machine": describe_machine(), "rows": self.rows}
            self.out.write_text(json.dumps(report, indent=1) + "\n")


def written(row: dict[str, Any]) -> str:
    """A row as a line."""
    ratio = f"{row['ratio']:>8.3f}x {row['to']}" if "ratio" in row else ""
    said = f"{row['ms']:>10.2f} ms{ratio}" if "ms" in row else f"  {row.get('error') or row.get('skipped')}"
    k = f"K={row['k']}" if "k" in row else ""
    more = "  ".join(f"{key} {row[key]}" for key in ("launch_ms", "first_s", "gib", "graphs_while_timed") if key in row)
    return f"{row['group']:<18}{row['row']:<34}{k:<6}{said}   {more}"


@dataclass
class Group:
    """One row group: its time, and the row that the others are compared with.

    Args:
        name: as in the report.
        report: rows go to it.
        device: of everything.
        seconds: no row begins after so many.
    """

    name: str
    report: Report
    device: torch.device
    seconds: float
    began: float = field(default_factory=time.perf_counter)
    times: dict[str, float] = field(default_factory=dict)

    def row(
        self,
        name: str,
        make: Callable[[], Step],
        *,
        to: str = BASELINE,
        each: float = 1.5,
        late: bool = False,
        **more: Any,
    ) -> None:
        """Measure what `make` gives; a failure is a row too.

        Args:
            to: the row it is compared with.
            each: seconds of measuring.
            late: it is measured however late it is.
            more: beside the figures.
        """
        row: dict[str, Any] = {"group": self.name, "row": name, **more}
        if not late and time.perf_counter() - self.began > self.seconds:
            self.report.add({**row, "skipped": f"after the {self.seconds:.0f} s of its group"})
            return
        try:
            row |= self._measure(make, each)
            if to != name:
                row["to"] = to
            self.times[name] = row["ms"]
        except Exception as error:  # whatever one row meets, the others are measured
            row["error"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:300]
            if "--traces" in sys.argv:
                traceback.print_exc()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        for other in (*self.report.rows, row):  # also those that came before what they are compared with
            if other["group"] == self.name and other.get("to") in self.times:
                other["ratio"] = round(other["ms"] / self.times[other["to"]], 4)
        self.report.add(row)

    def _measure(self, make: Callable[[], Step], each: float) -> dict[str, Any]:
        """Median of steps after warm-up; steps are timed in blocks, so that launching ahead is possible.

        `launch_ms` is what the processor needs to put a step on its way: where it is no less than `ms`, the GPU waits.
        """
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        step = make()
        step()
        self._wait()
        first = time.perf_counter() - began
        for _ in range(WARM_UP if first < each else 2):  # every set of architectures once: none is new any more
            step()
        self._wait()
        graphs = _graphs()
        began = time.perf_counter()
        step()
        self._wait()
        block = max(1, min(5, int(each / 4 / max(1e-6, time.perf_counter() - began))))
        samples: list[float] = []
        started = time.perf_counter()
        while len(samples) < 5 or (time.perf_counter() - started < each and len(samples) < 40):
            began = time.perf_counter()
            for _ in range(block):
                step()
            self._wait()
            samples.append((time.perf_counter() - began) / block * 1e3)
            if time.perf_counter() - started > 6 * each and len(samples) >= 2:
                break
        launches: list[float] = []
        for _ in range(5):
            began = time.perf_counter()
            step()
            launches.append((time.perf_counter() - began) * 1e3)
            self._wait()
        found = {
            "ms": round(statistics.median(samples), 4),
            "launch_ms": round(statistics.median(launches), 4),
            "fastest_ms": round(min(samples), 4),
            "samples": len(samples),
            "steps_per_sample": block,
            "first_s": round(first, 2),
            "graphs_while_timed": _graphs() - graphs,
        }
        if cuda:
            found["gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        return found

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _graphs() -> int:
    """How many graphs the compiler has made so far."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
