"""Kill a search at random moments, resume it each time, and compare its canonical journal with an uninterrupted one.

Each kill is a `kill -9` of the main process on the local pool, or on a Ray cluster of its own: its workers must end by
themselves. The moment is drawn at random among the trials, and then at random within a trial or within the start of
the process.

    python benchmarks/kills.py --kills 20 --out benchmarks/results/kills.json
    python benchmarks/kills.py --kills 20 --executor ray --out benchmarks/results/kills_ray.json

Without a command it searches with a cheap evaluator whose trials end out of order, fail, repeat and break a
constraint. With one it does the same to any search; {run} stands for the run's folder:

    python benchmarks/kills.py --kills 20 --trials 20
        --search "nasengine search quickstart random_search --trials 20 --executor local --workers 2 --run {run}"
        --resume "nasengine resume {run}"
        --reference "nasengine search quickstart random_search --trials 20 --executor in_process --run {run}"
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from machine import describe_machine

from nasengine.algorithms import RegularizedEvolution
from nasengine.errors import RunError
from nasengine.execution import InProcess, LocalPool, RayCluster
from nasengine.objectives import Constraint, parse_objectives
from nasengine.records import Architecture, Job, Result
from nasengine.runs import Header, Journal, canonical_records, read_journal
from nasengine.search.loop import run_search
from nasengine.space.domain import Domain
from nasengine.space.loading import load_space

LAG = 8
START_S = {"local": 1.5, "ray": 6.0}  # a process is up after about that long; kills at once fall anywhere in it
TRIAL_S = {"local": "0.03", "ray": "0.35"}  # a mean trial; long enough that a search is not done within START_S
ORPHAN_PATIENCE_S = 10.0


def draw(architecture: Architecture) -> float:
    """A number between 0 and 1 that depends on the architecture alone."""
    return zlib.crc32(architecture.key.encode()) / 2**32


class Cheap:
    """Sleeps between nothing and twice the mean, so that trials end out of order; one in twelve raises."""

    def __init__(self) -> None:
        self.mean_s = float(os.environ.get("KILLS_TRIAL_S", "0.03"))

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        for job in jobs:
            number = draw(job.architecture)
            time.sleep(2 * self.mean_s * (number * 7919 % 1))
            if number * 12 % 1 < 1 / 12:
                raise ValueError(f"drew {number:.3f}")
            found = {"accuracy": number, "noise": np.random.default_rng(job.seed).random()}
            yield Result(job.trial, "completed", found)


def search(folder: str, executor: str, workers: int, trials: int, seed: int) -> None:
    """The search that is killed; goes on where the journal of `folder` ends."""
    space = load_space("quickstart")
    objectives = parse_objectives({"accuracy": "maximize", "noise": "minimize"})
    domain = Domain(space, lambda architecture: draw(architecture) * 31 % 1 < 0.3)  # few enough for repeats
    algorithm = RegularizedEvolution(domain, objectives, seed=seed, population=12, tournament=4)
    header = Header.of(space, objectives, seed=seed, lag=LAG)
    kinds = {"local": LocalPool, "ray": RayCluster}
    place = kinds[executor](Cheap, workers=workers) if executor in kinds else InProcess(Cheap)
    with Journal(folder, header) as journal, place:
        run_search(
            algorithm, place, journal, trials=trials, lag=LAG, seed=seed, budget={"epochs": 1}, objectives=objectives,
            price=lambda architecture: {"size": int(1000 * (draw(architecture) * 104729 % 1))},
            constraints=[Constraint("size", high=900)],
        )  # fmt: skip


def own_command(executor: str, workers: int, trials: int, seed: int) -> str:
    here = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).resolve()))}"
    return f"{here} --child {{run}} --executor {executor} --workers {workers} --trials {trials} --seed {seed}"


def start(command: str, run: Path) -> subprocess.Popen[bytes]:
    """The command in a session of its own, so that whatever it leaves behind can be found."""
    return subprocess.Popen(
        shlex.split(command.replace("{run}", shlex.quote(str(run)))),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def complete(command: str, run: Path) -> None:
    """Run the command to its end."""
    complete_all({run: command})


def complete_all(commands: Mapping[Path, str]) -> None:
    """Run the command of each run to its end, all at once."""
    children = [(command, start(command, run)) for run, command in commands.items()]
    ended = [(command, child, child.communicate()[1]) for command, child in children]
    for command, child, errors in ended:
        if child.returncode != 0:
            raise SystemExit(f"{command}\nended with {child.returncode}:\n{errors.decode(errors='replace')}")


def finished(run: Path) -> int:
    """How many trials have an outcome in the journal; -1 while there is no journal."""
    try:
        return sum(len(history.finished) for history in read_journal(run).phases.values())
    except RunError:
        return -1


def begun(run: Path) -> bool:
    """Whether the run has left anything to resume."""
    return run.is_dir() and any(entry.name != "lock" for entry in run.iterdir())


def alive_in(session: int) -> list[int]:
    """Processes of a session that still run (zombies and the resource tracker aside)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(state[3]) == session and state[0] not in "ZX" and "resource_tracker" not in command:
                found.append(int(entry.name))
    return found


def kill_when(child: subprocess.Popen[bytes], run: Path, target: int, delay_s: float) -> list[psutil.Process] | None:
    """Wait until `target` trials have ended and then `delay_s`; kill.

    Returns: the processes it had started; None if the search was done before that.
    """
    while child.poll() is None and finished(run) < target:
        time.sleep(0.03)
    end = time.monotonic() + delay_s
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    if child.poll() is not None:
        return None
    started = psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    return started


def left_of(session: int, started: list[psutil.Process]) -> set[int]:
    """What still runs of a process that was killed."""
    return {*alive_in(session), *(process.pid for process in started if works(process))}


def works(process: psutil.Process) -> bool:
    """Whether it still runs (zombies and the resource tracker aside)."""
    try:
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return process.is_running() and not zombie and "resource_tracker" not in " ".join(process.cmdline())
    except psutil.Error:
        return False


def killed_run(
    run: Path, search_command: str, resume_command: str, kills: int, trials: int, seed: int, start_s: float
) -> dict[str, Any]:
    """A run killed `kills` times and then left to end."""
    rng = np.random.default_rng(seed)
    last = max(1, int(0.8 * trials))  # later ones would often come when the search is done
    targets = sorted(int(target) for target in rng.integers(-1, last, size=kills))
    moments, orphans = [], 0
    for target in targets:
        at_once = finished(run) >= target
        child = start(resume_command if begun(run) else search_command, run)
        started = kill_when(child, run, target, float(rng.random()) * (start_s if at_once else 0.1))
        if started is None:
            _, errors = child.communicate()
            if child.returncode != 0:
                raise SystemExit(f"resuming ended with {child.returncode}:\n{errors.decode(errors='replace')}")
            break
        moments.append(finished(run))
        end = time.monotonic() + ORPHAN_PATIENCE_S
        while left_of(child.pid, started) and time.monotonic() < end:
            time.sleep(0.05)
        orphans += len(left_of(child.pid, started))
    complete(resume_command if begun(run) else search_command, run)
    return {"kills": len(moments), "trials_ended_at_each_kill": moments, "workers_that_outlived_it": orphans}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--search", help="command that begins the run {run}")
    parser.add_argument("--resume", help="command that resumes {run}")
    parser.add_argument("--reference", help="command of the uninterrupted run, in process")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--executor", default="local", help="local, or ray: of the run that is killed")
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        Path(arguments.child).mkdir(exist_ok=True)
        search(arguments.child, arguments.executor, arguments.workers, arguments.trials, arguments.seed)
        return 0
    settings = (arguments.trials, arguments.seed)
    os.environ.setdefault("KILLS_TRIAL_S", TRIAL_S[arguments.executor])  # read by the cheap evaluator
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        whole = {runs / "reference": arguments.reference or own_command("in_process", 1, *settings)}
        if not arguments.search:
            whole[runs / "workers_1"] = own_command(arguments.executor, 1, *settings)
            whole[runs / "workers_2"] = own_command(arguments.executor, 2, *settings)
        if arguments.executor == "local":  # their trials sleep, and nothing is measured
            complete_all(whole)
        else:  # one cluster at a time
            for run, command in whole.items():
                complete(command, run)
        expected = canonical_records(runs / "reference")
        report: dict[str, Any] = {
            "executor": arguments.executor,
            "trials": arguments.trials,
            **({} if arguments.search else {"mean_trial_s": float(os.environ["KILLS_TRIAL_S"])}),
            "outcomes": dict(Counter(record["status"] for record in expected if record["record"] == "told")),
            "reused": sum(record["same_as"] is not None for record in expected if record["record"] == "told"),
        }
        if not arguments.search:
            for workers in (1, 2):
                same = canonical_records(runs / f"workers_{workers}") == expected
                report[f"identical_with_{workers}_worker{'s' if workers > 1 else ''}"] = same
        command = arguments.search or own_command(arguments.executor, 2, *settings)
        start_s = START_S[arguments.executor]
        report |= killed_run(runs / "killed", command, arguments.resume or command, arguments.kills, *settings, start_s)
        report["identical_after_kills"] = canonical_records(runs / "killed") == expected
        report |= {"seed": arguments.seed, "machine": describe_machine()}
        report["commands"] = [arguments.search, arguments.resume, arguments.reference] if arguments.search else None
    print(json.dumps(report, indent=1))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    good = all(value for name, value in report.items() if name.startswith("identical"))
    return 0 if good and not report["workers_that_outlived_it"] else 1


if __name__ == "__main__":
    sys.exit(main())
