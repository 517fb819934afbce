"""The rules that tools check: imports point down, types hold, the style is one."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(repository: Path, *command: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_down(repository: Path) -> None:
    run(repository, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")


def test_every_file_follows_the_style(repository: Path) -> None:
    run(repository, "-m", "ruff", "check", "--no-cache", ".")


def test_every_file_is_formatted(repository: Path) -> None:
    run(repository, "-m", "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
def test_types_hold(repository: Path) -> None:
    run(repository, "-m", "mypy")


def test_importing_nasengine_does_not_import_torch(repository: Path) -> None:
    run(repository, "-c", "import nasengine, sys; assert 'torch' not in sys.modules")
