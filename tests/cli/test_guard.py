"""Every end of a command has its exit code and its message, and none has a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from nasengine.cli.guard import guarded
from nasengine.errors import BuildError, ExportError, InputError, Mark, Problem, RunError, UnknownNameError
from tests.search.small import SPACE, STRATEGY

PLACED = Problem("unknown key 'x'", Mark("a.yaml", 3, 5), "expected one of y, z", "    x: 1")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError(PLACED), 2, "a.yaml:3:5: unknown key 'x'"),
        (InputError([PLACED, Problem("second")]), 2, "second"),
        (UnknownNameError("no such thing"), 2, "no such thing"),
        (RunError("locked"), 1, "locked"),
        (ExportError("differs"), 1, "differs"),
        (BuildError("cannot be built"), 1, "cannot be built"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "runs/x"), 1, "[Errno 13] Permission denied: 'runs/x'"),
    ],
)
def test_what_is_raised_becomes_an_exit_code_and_a_message(
    error: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @guarded
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_error_of_ours_is_one_line_that_names_the_file_with_the_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    @guarded
    def command() -> None:
        raise ZeroDivisionError("of ours\nand more")

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "internal error: ZeroDivisionError: of ours"
    assert "raise ZeroDivisionError" in Path(second.partition("traceback: ")[2]).read_text()


# Bytes a file: the journal breaks, or the files after it.
@pytest.mark.parametrize("allowed", [2_000, pytest.param(6_000, marks=pytest.mark.thorough)])
def test_a_full_disk_ends_a_run_with_its_reason(tmp_path: Path, allowed: int) -> None:
    (tmp_path / "space.yaml").write_text(json.dumps(SPACE))
    (tmp_path / "strategy.yaml").write_text(STRATEGY)
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({allowed}, {allowed}))\n"
        "sys.argv = 'nasengine search space.yaml strategy.yaml --run run --trials 8'.split()\n"
        "from nasengine.cli.main import run\nrun()"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stderr


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    code = (
        "import sys; sys.argv = ['nasengine', 'sample', 'quickstart', '-n', '20000']\n"
        "from nasengine.cli.main import run\nrun()"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == ""
    assert writer.wait(60) == 0
    writer.stderr.close()
