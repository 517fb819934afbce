"""A search from the command line: watched, ranked, exported, interrupted and gone on with."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nasengine.data import load_data
from nasengine.export import exporting
from nasengine.export.proof import Proof
from nasengine.runs import Header, Journal
from nasengine.search.api import open_run

SMALL = ("--trials", 3, "--epochs", 1, "--set", "retrain.budget.epochs=1", "--set", "data.limit=400", "--device", "cpu")
SEARCH = ("search", "quickstart", "random_search", *SMALL)


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof of an export takes seconds and has its own tests."""
    monkeypatch.setattr(exporting, "prove", lambda *_, **__: Proof(params=1, macs=1, difference=0.0))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is done, and exported with its proof; model.onnx is proved where a tutorial is followed."""
    from typer.testing import CliRunner

    from nasengine.cli.main import app

    run = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exporting, "ONNX_MODULES", ("not_installed",))
        result = CliRunner().invoke(app, [str(argument) for argument in (*SEARCH, "--run", run)])
    assert result.exit_code == 0, result.output
    (run.parent / "printed.txt").write_text(result.stdout)
    return run


def test_a_search_ends_with_a_ranking_and_says_where_the_best_is(finished: Path) -> None:
    printed = (finished.parent / "printed.txt").read_text()
    rows = re.findall(r"^ +(\d+) +(\d+) +([\d.]+) ", printed, flags=re.MULTILINE)
    assert [int(rank) for rank, _, _ in rows] == [1, 2, 3]
    accuracies = [float(accuracy) for _, _, accuracy in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert str(finished / "best") in printed
    assert "3/3" in printed
    assert "best accuracy" in printed
    assert " left" in printed
    assert "\x1b" not in printed


def test_the_exported_model_gives_the_accuracy_that_the_run_reports(finished: Path) -> None:
    dataset = load_data("fashion")
    np.savez(finished.parent / "test.npz", images=dataset.test_images.numpy(), labels=dataset.test_labels.numpy())
    code = (
        "import sys; sys.modules['nasengine'] = None; sys.path.insert(0, '.')\n"
        "import numpy, torch\nfrom model import load, normalize\n"
        "part = numpy.load('../../test.npz'); network = load()\n"
        "with torch.no_grad():\n"
        "    pieces = torch.tensor(part['images']).split(500)\n"
        "    found = torch.cat([network(normalize(images)).argmax(1) for images in pieces])\n"
        "print((found == torch.tensor(part['labels'])).double().mean().item())\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code], cwd=finished / "best", capture_output=True, text=True, check=True
    )
    reported = open_run(finished).best.measurements["test_accuracy"]
    assert float(done.stdout) == pytest.approx(reported, abs=1e-9)
    shown = f"{reported:.6g}"
    assert shown in (finished / "best" / "README.md").read_text()


def test_status_ranks_and_says_that_nobody_writes(nasengine, finished: Path) -> None:
    page = nasengine("status", finished).stdout
    for text in ("3 completed", "not running", "trial-", f"done; best network: {finished / 'best'}"):
        assert text in page
    assert "to go on" not in page
    facts = json.loads(nasengine("status", finished, "--json").stdout)
    assert facts["phases"][0]["counts"]["completed"] == 3
    assert facts["retrained"]["retrain"][0]["status"] == "completed"
    assert facts["unfinished"] == []


def test_status_of_a_run_that_is_not_done_says_what_is_left(nasengine, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "retrain" / "results.jsonl").unlink()
    assert f"to go on: nasengine resume {run}; not done: retrain" in nasengine("status", run).stdout
    assert json.loads(nasengine("status", run, "--json").stdout)["unfinished"] == ["retrain"]


def test_status_says_where_a_trial_failed(nasengine, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    trace = '  File "/code/x.py", line 7, in f\n    g()\nValueError: no number\n'
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    for line in lines:
        if line["record"] == "finished" and line["trial"] == 1:
            line.update(status="failed", reason="no number", details={"traceback": trace}, measurements={})
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines if line["record"] != "told"))
    page = nasengine("status", run).stdout
    assert "/code/x.py:7: ValueError: no number" in page
    assert str(run / "journal.jsonl") in page
    failed = json.loads(nasengine("status", run, "--json").stdout)["phases"][0]["failed"]
    assert failed == [{"trial": 1, "reason": "no number", "traceback": trace}]


def test_status_needs_no_torch(finished: Path) -> None:
    code = (
        f"import sys; sys.argv = ['nasengine', 'status', {str(finished)!r}]\nfrom nasengine.cli.main import run\n"
        "try:\n    run()\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_finished_run_is_resumed_without_being_changed(nasengine, finished: Path, believed: None) -> None:
    journal = (finished / "journal.jsonl").read_bytes()
    result = nasengine("resume", finished)
    assert result.exit_code == 0
    assert "finished before" in result.stdout
    assert (finished / "journal.jsonl").read_bytes() == journal


def test_json_is_one_object_a_line_and_ends_with_the_result(nasengine, tmp_path: Path, believed: None) -> None:
    result = nasengine(*SEARCH, "--run", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] != "note"][:2] == ["run_started", "phase_started"]
    assert sum(event["event"] == "search_ended" for event in events) == 3
    assert events[-1]["event"] == "result"
    assert events[-1]["exported"]["folder"] == str(tmp_path / "run" / "best")
    best = open_run(tmp_path / "run").best
    assert events[-1]["best"]["architecture"] == best.architecture.to_json()


def test_a_trial_is_retrained_and_exported_by_its_number(
    nasengine, tmp_path: Path, finished: Path, believed: None
) -> None:
    last = open_run(finished).ranked[-1].number
    refused = nasengine("export", finished, "--to", tmp_path / "out", "--architecture", last)
    assert refused.exit_code == 2
    assert "retrain" in refused.stderr
    trained = nasengine("retrain", finished, "--architecture", last)
    assert trained.exit_code == 0, trained.output
    assert "test_accuracy" in trained.stdout
    exported = nasengine("export", finished, "--to", tmp_path / "out", "--architecture", last, "--json")
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["files"][0] == "architecture.json"
    found = json.loads((tmp_path / "out" / "architecture.json").read_text())
    assert found == open_run(finished).ranked[-1].architecture.to_json()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("search", "quickstrat", "random_search"), 2, "did you mean 'quickstart'"),
        (("search", "quickstart", "random_serch"), 2, "did you mean 'random_search'"),
        (("search", "quickstart", "random_search", "--data", "cifar"), 2, "cifar10"),
        (("search", "quickstart", "random_search", "--data", "cifar10", "--data-dir", "nowhere"), 2, "nowhere"),
        (("search", "quickstart", "random_search", "--set", "search.budgt.trials=3"), 2, "budget"),
        (("search", "quickstart", "random_search", "--device", "tpu"), 2, "tpu"),
        (("search", "quickstart", "random_search", "--executor", "lokal"), 2, "local"),
        (("search", "quickstart", "random_search", "--executor", "local", "--address", "auto"), 2, "joins no cluster"),
        (("search", "quickstart", "random_search", "--gpus", "1.5"), 2, "a part of one, such as 0.5"),
        (("search", "quickstart", "random_search", "--time", "soon"), 2, "soon"),
        (
            ("search", "quickstart", "random_search", "--time", "2"),
            2,
            "--time 2 has no unit\n  expected 2h, 30m or 90s",
        ),
        (("search", "quickstart", "random_search", "--trial-time", "1h30"), 2, "--trial-time 1h30 has no unit"),
        (("search", "quickstart", "random_search", "--epochs", "-1"), 2, "--epochs is -1"),
        (("search", "random_search", "quickstart"), 2, "SPACE STRATEGY: nasengine search quickstart random_search"),
        (("search", "random_search", "random_search"), 2, "random_search is a strategy, not a space"),
        (("search", "quickstart", "mobile_cnn"), 2, "mobile_cnn is a space, not a strategy"),
        (("search", "quickstart", "random_search", "--data", "/"), 2, "--data image_folder --data-dir /"),
        (("search", "quickstart", "random_search", "--plugin", "no_such_module"), 2, "no_such_module"),
        (("resume", "no_such_run"), 2, "no_such_run"),
        (("status", "no_such_run"), 2, "no_such_run"),
        (("export", "no_such_run", "--to", "out"), 2, "no_such_run"),
        (("retrain", "no_such_run", "--architecture", 3), 2, "no_such_run"),
    ],
)
def test_what_a_person_gets_wrong_is_said_and_leaves_nothing(
    nasengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = nasengine(*arguments)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_files_in_the_wrong_order_are_recognized(nasengine, tmp_path: Path) -> None:
    space, strategy = tmp_path / "space.yaml", tmp_path / "strategy.yaml"
    space.write_text("extends: quickstart\n")
    strategy.write_text("name: mine\nphases: []\n")
    result = nasengine("search", strategy, space)
    assert result.exit_code == 2
    assert f"nasengine search {space} {strategy}" in result.stderr


def test_architectures_that_are_not_there_are_bad_input(nasengine, finished: Path, tmp_path: Path) -> None:
    for wanted, says in (("99", "trial 99"), ("known.nosuch", "known.default"), ("absent.json", "absent.json")):
        for command in (("retrain", finished), ("export", finished, "--to", tmp_path / "out")):
            result = nasengine(*command, "--architecture", wanted)
            assert result.exit_code == 2, result.output
            assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_is_taken_is_bad_input_and_the_way_to_go_on_is_said(nasengine, finished: Path) -> None:
    result = nasengine(*SEARCH, "--run", finished)
    assert result.exit_code == 2
    assert f"nasengine resume {finished}" in result.stderr


def test_a_search_in_which_every_trial_fails_ends_in_exit_code_1(nasengine, tmp_path: Path) -> None:
    explode = ("--set", "search.evaluator.optimizer={type: sgd, rate: 1.0e+30}")
    result = nasengine(*SEARCH, *explode, "--run", tmp_path / "run")
    assert result.exit_code == 1, result.output
    assert f"nasengine status {tmp_path / 'run'}" in result.stderr
    reasons = json.loads(nasengine("status", tmp_path / "run", "--json").stdout)["phases"][0]["failed"]
    assert len(reasons) == 3
    assert all(reason["reason"] for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("executor", [("--executor", "in_process"), ("--executor", "local", "--workers", "2")])
def test_an_interrupted_search_says_how_to_go_on_and_is_gone_on_with(tmp_path: Path, executor: tuple[str, ...]) -> None:
    run = tmp_path / "a run"
    program = [sys.executable, "-c", "from nasengine.cli.main import run; run()"]
    arguments = [*map(str, SEARCH), "--trials", "12", *executor]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    search = subprocess.Popen(
        [*program, *arguments, "--run", str(run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip
    assert search.stdout is not None
    for line in search.stdout:
        if "trial 1," in line:
            break
    os.killpg(search.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    printed, complained = search.communicate(timeout=120)
    assert search.returncode == 130, (printed, complained)
    assert f"nasengine resume '{run}'" in complained
    assert "Traceback" not in complained
    resumed = subprocess.run(
        [*program, "resume", str(run)], capture_output=True, text=True, check=False, env=environment
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "going on with" in resumed.stdout
    whole = subprocess.run(
        [*program, *arguments, "--run", str(tmp_path / "whole")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert whole.returncode == 0, whole.stderr
    trials = [open_run(folder).trials for folder in (run, tmp_path / "whole")]
    assert trials[0] == trials[1]


@pytest.mark.slow
def test_on_a_terminal_a_bar_shows_the_best_so_far(tmp_path: Path) -> None:
    import pty

    reader, writer = pty.openpty()
    program = [sys.executable, "-c", "from nasengine.cli.main import run; run()"]
    search = subprocess.Popen(
        [*program, *map(str, SEARCH), "--run", str(tmp_path / "run")], stdin=writer, stdout=writer, stderr=writer,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(writer)
    seen = b""
    began = time.monotonic()
    while time.monotonic() - began < 120:
        try:
            part = os.read(reader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(reader)
    assert search.wait(60) == 0, seen.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert "3/3" in text
    assert "best accuracy" in text
    assert "━" in text
    assert "Traceback" not in text


def test_status_tells_which_trainings_have_begun(nasengine, tmp_path: Path) -> None:
    header = Header("toy", "abc", {}, {"accuracy": "maximize"}, seed=5, lag=2)
    (tmp_path / "retrain" / "trial-3-seed-0" / "checkpoints").mkdir(parents=True)
    with Journal(tmp_path, header):
        assert "in training: retrain/trial-3-seed-0" in nasengine("status", tmp_path).stdout
    assert "to be trained on from a checkpoint: retrain/trial-3-seed-0" in nasengine("status", tmp_path).stdout
    assert json.loads(nasengine("status", tmp_path, "--json").stdout)["training"] == ["retrain/trial-3-seed-0"]


def test_status_says_what_a_preparation_that_was_killed_goes_on_from(nasengine, tmp_path: Path) -> None:
    """Epochs beyond the last checkpoint are trained again, so they are not what a resumption begins with."""
    checkpoints = tmp_path / "prepare" / "checkpoints"
    checkpoints.mkdir(parents=True)
    line = {"loss": 2.0, "seconds": 4.0}
    (tmp_path / "prepare" / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for _ in range(5)))
    header = Header("toy", "abc", {}, {"accuracy": "maximize"}, seed=5, lag=2)

    def says() -> str:
        page: str = nasengine("status", tmp_path).stdout
        return page.split("prepare: ")[1].split("\n\n")[0]

    with Journal(tmp_path, header):
        assert says().splitlines() == ["going on, 5 epochs, training loss 2 in 20.0 s"]
    stopped, begins = says().splitlines()
    assert stopped.startswith("stopped, 5 epochs")
    assert begins == "  begins anew: it has no checkpoint yet"
    for epoch in (2, 3):
        (checkpoints / f"checkpoint_{epoch:06d}.safetensors").touch()
    assert says().splitlines()[1] == "  goes on after epoch 3, its last checkpoint"
    assert json.loads(nasengine("status", tmp_path, "--json").stdout)["prepared"]["prepare"]["checkpoint"] == 3
    (checkpoints / "checkpoint_000005.safetensors").touch()
    assert len(says().splitlines()) == 1
