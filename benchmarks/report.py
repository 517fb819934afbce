"""What a report takes: seconds to make it, bytes of the file, memory, for 100 to 100,000 trials of 40 choices.

Two objectives, a measured cost, learning curves; runs written by the helper of the tests, their journals read like
any other. `read` is reading the journal, `page` everything after it, on one core; each size in a process of its own.

    python benchmarks/report.py --out benchmarks/results/report.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZES = (100, 1_000, 10_000, 100_000)
OBJECTIVES = "{accuracy: maximize, macs: minimize}"


def measure(trials: int, folder: Path) -> dict[str, Any]:
    """One report, of a run written beforehand."""
    from nasengine.search.reporting import report
    from nasengine.search.run_view import Run
    from tests.report.written import space_of, write_run

    write_run(folder / "run", trials, space=space_of(20), objectives=OBJECTIVES)
    write_run(folder / "first", 30, space=space_of(20), objectives=OBJECTIVES)
    report(folder / "first")  # what is imported once, and found out about layers once
    run = Run(folder / "run")
    began, spent = time.perf_counter(), time.process_time()
    run.history_of("search")
    read, middle = time.perf_counter() - began, time.process_time()
    page = report(run)
    return {
        "trials": trials,
        "journal_bytes": (folder / "run" / "journal.jsonl").stat().st_size,
        "read_s": round(read, 3),
        "read_cpu_s": round(middle - spent, 3),
        "page_s": round(time.perf_counter() - began - read, 3),
        "page_cpu_s": round(time.process_time() - middle, 3),
        "file_bytes": page.stat().st_size,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure every size, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--trials", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as temporary:
            print(json.dumps(measure(arguments.one, Path(temporary))))
        return
    rows = []
    head = ("trials", "journal MB", "read s", "page s", "page CPU s", "file MB", "memory MB")
    print("  ".join(f"{name:>10}" for name in head))
    for trials in arguments.trials:
        command = [sys.executable, __file__, "--one", str(trials)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        cells = (
            f"{trials:,}",
            f"{row['journal_bytes'] / 1e6:.1f}",
            f"{row['read_s']:.2f}",
            f"{row['page_s']:.2f}",
            f"{row['page_cpu_s']:.2f}",
            f"{row['file_bytes'] / 1e6:.2f}",
            f"{row['memory_mb']:,}",
        )
        print("  ".join(f"{cell:>10}" for cell in cells), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
