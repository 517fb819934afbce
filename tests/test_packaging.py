"""What `pip install` of the built wheel brings: everything that is needed to search by name, outside the checkout."""

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHIPPED = ("search_spaces", "strategies")
COPIED = ("pyproject.toml", "README.md", "LICENSE", "nasengine", *SHIPPED)
MAIN = """
import sys, nasengine
assert nasengine.__file__.startswith(sys.prefix), nasengine.__file__
from nasengine.cli.main import run
run()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The wheel, built from a copy of the checkout as a release would be."""
    source = tmp_path_factory.mktemp("source")
    for name in COPIED:
        part = repository / name
        if part.is_dir():
            shutil.copytree(part, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(part, source / name)
    output = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output), str(source)],
        check=True,
        capture_output=True,
    )
    return next(output.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A new environment that holds the wheel; its dependencies are those of this one, by a .pth file."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(packages), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *install], check=True)
    here = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (packages / "dependencies.pth").write_text("".join(f"import sys; sys.path.append({path!r})\n" for path in here))
    return folder


def run(environment: Path, folder: Path, *arguments: str) -> str:
    """Run nasengine as installed in that environment, in a folder outside the checkout."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    program = [str(environment / "bin" / "python"), "-c", MAIN]
    done = subprocess.run(
        [*program, *arguments], cwd=folder, capture_output=True, text=True, check=False, env=variables
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_spaces_strategies_data_and_notices_travel_in_the_wheel(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind in SHIPPED:
        for file in (repository / kind).glob("*.yaml"):
            assert f"nasengine/shipped/{kind}/{file.name}" in names
    for file in (repository / "search_spaces" / "tables").iterdir():
        assert f"nasengine/shipped/search_spaces/tables/{file.name}" in names
    embedded = {f"nasengine/data/embedded/{file.name}" for file in (repository / "nasengine/data/embedded").iterdir()}
    assert embedded <= names | {"nasengine/data/embedded/__pycache__"}
    assert any(name.endswith("embedded/NOTICE") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "benchmarks")) for name in names)
    assert "nasengine/py.typed" in names


def test_the_entry_point_is_the_command_line(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    entry_points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "nasengine = nasengine.cli.main:run" in archive.read(entry_points).decode()


def test_the_installed_wheel_searches_by_name_outside_the_checkout(environment: Path, tmp_path: Path) -> None:
    listed = run(environment, tmp_path, "spaces", "--json")
    assert "quickstart" in {json.loads(line)["name"] for line in listed.splitlines()}
    assert not {"pooling36", "tables"} & {json.loads(line)["name"] for line in listed.splitlines()}
    compared = run(environment, tmp_path, "compare", "exhaustive", "--table", "pooling36", "--seeds", "1", "--json")
    assert json.loads(compared)["strategies"][0]["merit"]["mean"] == 0
    arguments = ["search", "quickstart", "random_search", "--trials", "2", "--epochs", "1"]
    arguments += ["--set", "retrain.budget.epochs=1", "--set", "data.limit=400", "--device", "cpu"]
    printed = run(environment, tmp_path, *arguments)
    best = tmp_path / "runs" / "quickstart-random_search-1" / "best"
    assert f"best network: {best.relative_to(tmp_path)}" in printed
    assert {"model.py", "weights.safetensors", "README.md"} <= {path.name for path in best.iterdir()}


def test_the_constraints_pin_every_package_exactly_and_nothing_else(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text().splitlines()
    assert len(lines) > 50
    for line in lines:
        name, equals, version = line.partition("==")
        assert equals
        assert name == name.lower()
        assert version
        assert not set("+@/:; ") & set(line)
    assert "torch==2.13.0" in lines
