"""Balanced mixture of supernets on CIFAR-10: how well M sets of shared weights rank where to pool, against the truth.

For every M and seed: shared weights are trained by the preparation of a search (trainer shared_weights, sampler
balanced_mixture), every architecture is scored by every model on the held-out half, and the ranking is compared with
the published accuracies of all 36 networks trained alone (pooling_resnet20), or with those of a file (--truth).

    python benchmarks/mixture.py --data-dir DIR --out DIR                       # M = 1, 2, 4, 8 and three seeds
    python benchmarks/mixture.py --models 4 --seeds 0 --limit 550 --out DIR     # one search, at most 550 s
    python benchmarks/mixture.py --models 4 --resume DIR --out DIR2             # goes on with what DIR has not finished
    python benchmarks/mixture.py --fine-tune 1 3 10 --out DIR                   # then each network alone, some epochs
    python benchmarks/mixture_table.py --merge DIR/mixture.json DIR2/mixture.json    # into the results of this folder

--out holds mixture.json, a record a search, written anew with every one that is finished or tuned, and, if time ran
out, state.tar.NN with the checkpoints of the others (seven files of 15 MiB at most).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from mixture_files import Job, pack, unpack, write_records
from mixture_jobs import settings_of, work_on
from mixture_table import label, show
from workers import on_every_gpu

SPACES = {  # the authors' settings: methods differ between the two networks
    "pooling_resnet20": {
        "batch": 128,
        "rate": 0.1,
        "last": 0.001,
        "decay": 0.0,
        "temperature": [1.0, 100.0],
        "momentum": 0.9,
    },
    "pooling_resnet18": {
        "batch": 256,
        "rate": 0.05,
        "last": 1e-4,
        "decay": 1e-4,
        "temperature": [1.0, 200.0],
        "momentum": 0.95,
    },
}


def main() -> int:
    arguments = read_arguments()
    deadline = time.perf_counter() + arguments.limit
    if arguments.jobs is not None:  # a worker
        jobs = [Job(*map(int, job.split("/"))) for job in arguments.jobs]
        work_on(jobs, arguments, arguments.work, deadline, lambda: None)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    jobs = [Job(models, seed) for models in sorted(arguments.models, reverse=True) for seed in arguments.seeds]
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        if arguments.resume:
            unpack(arguments.resume, work)
            refuse_others(jobs, arguments, work)

        def write() -> None:
            write_records(jobs, arguments.data, work, arguments.out)

        write()
        left = [job for job in jobs if not job.is_done(work)]
        if arguments.gpus <= 1:
            work_on(left, arguments, work, deadline, write)
        else:
            limit = str(max(1.0, deadline - time.perf_counter()))
            own = [
                ["--work", str(work), "--limit", limit, "--jobs", *(f"{job.models}/{job.seed}" for job in share)]
                for share in divide(left, arguments.gpus)
            ]
            on_every_gpu(own, work, "m*-seed*.json", write)
        pack(left, work, arguments.out)
        records = write_records(jobs, arguments.data, work, arguments.out)
        done = sum(job.is_done(work) for job in jobs)
    show(records)
    return 0 if done == len(jobs) else 3  # 3: not all are done; go on with --resume


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="pooling_resnet20", choices=list(SPACES))
    parser.add_argument("--last-width", type=int, help="channels of the last block, searched and tuned; default: 64")
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--per-model-epochs", type=float, default=100)
    parser.add_argument("--total-epochs", type=float, help="the same budget for every M, instead of so much a model")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path, help="default: $NASENGINE_DATA/cifar10")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=int, default=1, help="processes, one for each GPU; searches are divided")
    parser.add_argument("--side-by-side", type=int, default=2, help="searches that take turns on one GPU")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds; what is not done then leaves its state")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call")
    parser.add_argument("--work", type=Path, help="folder of the checkpoints; default: a temporary one")
    parser.add_argument("--truth", type=Path, help="what benchmarks/stand_alone_truth.py left")
    parser.add_argument("--statistics", default="batch", choices=["batch"], help="of norms: those of the batch")
    parser.add_argument("--norms", default="shared", choices=["shared", "own"], help="own: of every architecture")
    parser.add_argument("--affine", action="store_true", help="norms with a scale and a shift")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--decay", type=float, help="weight decay")
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--smoothing", type=float, default=0.0, help="of labels")
    parser.add_argument("--ema", type=float, help="decay of a running average of the weights, which is then scored")
    parser.add_argument("--fine-tune", type=float, nargs="*", default=[], metavar="EPOCHS")
    parser.add_argument("--fine-tune-rate", type=float, default=0.05)
    parser.add_argument("--fine-tune-decay", type=float, default=5e-4)
    parser.add_argument("--augmentation", default="crop_flip")
    parser.add_argument("--temperature", type=float, nargs="+", help="as the sampler's; default: the authors'")
    parser.add_argument("--momentum", type=float, help="of the scores")
    parser.add_argument("--share-scores", type=float, help="the sampler's smoothing; default: none, as published")
    parser.add_argument("--together", type=float, default=0.0, help="share of the epochs that have one model only")
    parser.add_argument("--assignment", default="balanced", choices=["balanced", "unbalanced", "fixed", "in_order"])
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs")
    parser.add_argument("--images", type=int, help="use at most so many training images (to try things out)")
    parser.add_argument("--jobs", nargs="*", help=argparse.SUPPRESS)  # of a worker process
    parser.add_argument("--steps", type=int, help="measure the speed of so many steps of each search, nothing else")
    arguments = parser.parse_args()
    for key, value in SPACES[arguments.space].items():
        if getattr(arguments, key, None) is None:
            setattr(arguments, key, value)
    return arguments


def refuse_others(jobs: list[Job], arguments: argparse.Namespace, work: Path) -> None:
    """Records of an earlier call must be of the same settings.

    Raises:
        SystemExit: one is of others.
    """
    own = settings_of(arguments)
    for record in filter(None, (job.record(work) for job in jobs)):
        before = record["settings"]
        if (before["space"], label(before)) != (own["space"], label(own)):
            found = f"{arguments.resume} has searched {before['space']} ({label(before)})"
            raise SystemExit(f"{found}, not {own['space']} ({label(own)})")


def divide(jobs: list[Job], parts: int) -> list[list[Job]]:
    """Shares of about the same number of models; the longest first."""
    shares: list[list[Job]] = [[] for _ in range(max(1, parts))]
    for job in jobs:
        min(shares, key=lambda share: sum(each.models for each in share)).append(job)
    return shares


if __name__ == "__main__":
    sys.exit(main())
