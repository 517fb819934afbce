"""Runs whose algorithm and evaluator are a plug-in's: found again wherever they are resumed."""

import json
import os
import subprocess
import sys

from typer.testing import CliRunner

from nasengine.cli.main import app
from nasengine.search.run_file import read_run_file
from tests.search.small import SPACE

PLUGIN = """
from dataclasses import dataclass

from nasengine.algorithms import Algorithm
from nasengine.records import Candidate, Result


class Last(Algorithm):
    \"\"\"Proposes the last architectures of a space first.\"\"\"

    def ask(self, trial_number):
        rows = list(self.domain.enumerate())
        return Candidate(rows[-1 - trial_number]) if trial_number < len(rows) else None


class Counter:
    metrics = {"accuracy": "maximize"}

    def evaluate(self, jobs):
        for job in jobs:
            yield Result(job.trial, "completed", {"accuracy": 1 - job.trial / 10})


@dataclass(frozen=True)
class Counting:
    needs_budget = False

    def evaluator(self, inputs):
        return Counter()


NASENGINE = {"algorithm": {"last": Last}, "evaluator": {"counting": Counting}}
"""


def test_a_plug_in_brings_an_algorithm_and_an_evaluator_and_is_loaded_again_on_resuming(tmp_path):
    (tmp_path / "my_search.py").write_text(PLUGIN)
    code = f"""
import json
import sys
import nasengine as nas
from nasengine.runs import read_journal
from tests.search.small import small_space

strategy = {{
    "objectives": {{"accuracy": "maximize"}},
    "data": {{"name": "synthetic"}},
    "phases": [{{"search": {{"algorithm": "last", "evaluator": "counting"}}}}],
}}
path = {str(tmp_path)!r}
if sys.argv[1] == "begin":
    open(path + "/mine.yaml", "w").write(json.dumps(strategy))

    def stop(event):
        if event.to_json().get("ended") == 3:
            raise KeyboardInterrupt

    try:
        nas.search(small_space(), path + "/mine.yaml", run=path + "/run", plugins=["my_search"], on_event=stop)
    except KeyboardInterrupt:
        print("interrupted")
else:
    run = nas.resume(path + "/run")
    print(len(run.trials), run.best.trial.number, list(run.trials[0].measurements))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    said = [
        subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=False, env=environment)
        for word in ("begin", "resume")
    ]
    assert [done.stdout.strip() for done in said] == ["interrupted", "8 0 ['accuracy']"], (
        said[0].stderr + said[1].stderr
    )


def test_a_run_is_opened_elsewhere_with_the_plug_in_it_was_begun_with(tmp_path, monkeypatch):
    """From another folder, in another process; and the folder is named when the plug-in is no longer there."""
    code = (tmp_path / "code").resolve()
    code.mkdir()
    (code / "my_search.py").write_text(PLUGIN)
    plain = {
        "objectives": {"accuracy": "maximize"},
        "phases": [{"search": {"algorithm": "last", "evaluator": "counting"}}],
    }
    (code / "mine.json").write_text(json.dumps(plain))
    (code / "small.json").write_text(json.dumps(SPACE))
    command = ["search", "small.json", "mine.json", "--plugin", "my_search", "--data", "synthetic", "--run", "run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def call(*arguments, folder):
        line = [sys.executable, "-m", "nasengine", *arguments]
        return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, env=environment)

    begun = call(*command, folder=code)
    assert begun.returncode == 0, begun.stderr
    assert read_run_file(code / "run")["plugin_folders"] == [str(code)]
    resumed = call("resume", str(code / "run"), folder=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    (code / "my_search.py").unlink()
    monkeypatch.setattr(sys, "path", [*sys.path])
    lost = CliRunner().invoke(app, ["resume", str(code / "run")])  # this process has never had it
    assert lost.exit_code == 2
    assert f"was begun with --plugin my_search, found in {code}" in lost.stderr
