"""The front page of the command line: quick, complete, and a teacher."""

import resource
import subprocess
import sys

import pytest
from typer.testing import Result

from nasengine.cli.main import COMMANDS

NAMES = (
    "search", "resume", "status", "report", "dashboard", "retrain", "export", "compare", "rank", "check",
    "spaces", "strategies", "describe", "sample", "cost", "schema",
)  # fmt: skip


def test_the_commands_are_those_of_the_design() -> None:
    assert tuple(command.__name__ for command in COMMANDS) == NAMES


def test_the_help_page_takes_less_than_half_a_second_and_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['nasengine', '--help']\n"
        "from nasengine.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'torch', 'ray', 'optuna', 'onnx'} & set(sys.modules)\n"
    )
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        # Processor time: the wall clock of a test machine that runs other tests says nothing.
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_command_teaches_by_an_example(nasengine, name: str) -> None:
    page = nasengine(name, "--help")
    assert page.exit_code == 0
    assert f"  nasengine {name}" in page.stdout
    assert f"  {name} " in nasengine("--help").stdout


@pytest.mark.parametrize(
    "arguments", [["desribe"], ["sample"], ["sample", "quickstart", "-n", "0"], ["search", "quickstart", "--nosuch"]]
)
def test_wrong_usage_ends_in_exit_code_2(nasengine, arguments: list[str]) -> None:
    result: Result = nasengine(*arguments)
    assert result.exit_code == 2
    assert "Error:" in result.stderr
    assert result.stdout == ""


def test_a_misspelt_command_is_answered_with_the_nearest(nasengine) -> None:
    assert "describe" in nasengine("desribe").stderr


@pytest.mark.parametrize("module", ["nasengine", "nasengine.cli.main"])
def test_the_modules_can_be_run(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("nasengine "), done.stderr


def test_the_version_is_that_of_the_package(nasengine) -> None:
    import nasengine as package

    assert nasengine("--version").stdout == f"nasengine {package.__version__}\n"
