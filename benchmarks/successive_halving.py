"""Successive halving beside random search at equal epochs of training: how good is the best that each finds?

Both search the same space with the same training. ASHA (reduction 3, rungs of 1, 3 and 9 epochs, going on from
checkpoints) runs first; random search, which trains every candidate for 9 epochs, then gets as many epochs as that
took, rounded up to a whole training. The best by validation accuracy is trained anew with a seed of its own and tested.

    python benchmarks/successive_halving.py --out benchmarks/results/successive_halving.json
    python benchmarks/successive_halving.py --device cuda --limit 12000 --trials 60 --seeds 5       # minutes on a GPU
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine

import nasengine as nas
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.run_view import Run

STRATEGY = """
name: {name}
data: {{name: {data}, validation: 0.25, batch: 64, limit: {limit}}}
objectives: {{accuracy: maximize}}
lag: 4
phases:
  - search:
      algorithm: random_search
      {scheduler}
      evaluator:
        type: standalone
        optimizer: {{type: sgd, rate: 0.1, momentum: 0.9, weight_decay: 5.0e-4, nesterov: true}}
        schedule: cosine
        budget: {{epochs: {epochs}}}
      budget: {{trials: {trials}}}
  - retrain:
      best: 1
      seeds: 1
      optimizer: {{type: sgd, rate: 0.1, momentum: 0.9, weight_decay: 5.0e-4, nesterov: true}}
      schedule: cosine
      budget: {{epochs: {epochs}}}
"""
SCHEDULER = "scheduler: {type: successive_halving, reduction: 3, rungs: 3}"


def search(arguments: argparse.Namespace, folder: Path, name: str, scheduler: str, trials: int, seed: int) -> Run:
    """One whole run."""
    text = STRATEGY.format(
        name=name, scheduler=scheduler, trials=trials,
        data=arguments.data, limit=arguments.limit, epochs=arguments.epochs,
    )  # fmt: skip
    run: Run = nas.search(
        arguments.space,
        parse_strategy(text, f"{name}.yaml"),
        run=folder,
        seed=seed,
        device=arguments.device,
        data_dir=arguments.data_dir,
    )
    return run


def epochs_spent(run: Run, whole: float) -> float:
    """Epochs trained in the search: what a trial adds to the one it goes on with; a copy adds none."""
    trials = {trial.number: trial.candidate for trial in run.trials}
    seen: set[tuple[str, float]] = set()
    spent = 0.0
    for candidate in trials.values():
        epochs = whole if candidate.budget is None else candidate.budget["epochs"]
        key = (candidate.architecture.key, epochs)
        if key in seen:
            continue
        seen.add(key)
        before = None if candidate.resumes is None else trials[candidate.resumes].budget
        spent += epochs - (0 if before is None else before["epochs"])
    return spent


def outcome(run: Run, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    best = run.ranked[0]
    if not best.completed:
        raise SystemExit("no candidate was trained to the end: more trials are needed")
    return {
        "trials": len(run.trials),
        "architectures": len({trial.architecture for trial in run.trials}),
        "epochs": epochs_spent(run, arguments.epochs),
        "seconds": round(seconds, 1),
        "validation_accuracy": best.measurements["accuracy"],
        "test_accuracy": run.retrained[0].measurements["test_accuracy"],
    }


def compare(arguments: argparse.Namespace, seed: int) -> dict[str, dict[str, Any]]:
    """Both, with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        halved = search(arguments, Path(folder) / "halving", "halving", SCHEDULER, arguments.trials, seed)
        ours = outcome(halved, arguments, time.perf_counter() - began)
        began = time.perf_counter()
        trials = int(-(-ours["epochs"] // arguments.epochs))
        plain = search(arguments, Path(folder) / "random", "random", "", trials, seed)
        return {"successive_halving": ours, "random_search": outcome(plain, arguments, time.perf_counter() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="quickstart")
    parser.add_argument("--data", default="fashion")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, default=800, help="training images, held out ones included")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--trials", type=int, default=36, help="of successive halving")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {}
    print(
        f"{'seed':<6}{'method':<22}{'trials':>8}{'networks':>10}{'epochs':>8}{'seconds':>9}{'validation':>12}{'test':>8}"
    )
    for seed in range(arguments.seeds):
        for method, row in compare(arguments, seed).items():
            runs.setdefault(method, []).append({"seed": seed, **row})
            print(
                f"{seed:<6}{method:<22}{row['trials']:>8}{row['architectures']:>10}{row['epochs']:>8.0f}"
                f"{row['seconds']:>9.1f}{row['validation_accuracy']:>12.4f}{row['test_accuracy']:>8.4f}",
                flush=True,
            )
    summary = {}
    for method, rows in runs.items():
        for key in ("validation_accuracy", "test_accuracy"):
            values = [row[key] for row in rows]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            summary[f"{method} {key}"] = {"mean": round(statistics.mean(values), 4), "deviation": round(deviation, 4)}
            print(f"{method:<22}{key:<22}{statistics.mean(values):.4f} ± {deviation:.4f}  (n = {len(values)})")
    if arguments.out:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
        settings.pop("out"), settings.pop("data_dir")
        report = {"settings": settings, "machine": describe_machine(), "summary": summary, "runs": runs}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
