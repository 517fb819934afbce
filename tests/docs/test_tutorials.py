"""Every tutorial works as it is written: its files, its commands, what they print."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.docs.walkthrough import follow

TUTORIALS = REPOSITORY / "docs" / "tutorials"


def page(name: str) -> str:
    return (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")


def test_there_is_no_tutorial_that_is_not_followed_here() -> None:
    followed = {"search_your_images", "add_your_own_module", "run_on_a_cluster"}
    assert {path.stem for path in TUTORIALS.glob("*.md")} == followed


def test_searching_a_network_for_ones_own_images(tmp_path: Path) -> None:
    printed = follow(page("search_your_images"), tmp_path)
    assert printed[-1].splitlines() == ["my_images/circle/1.png circle", "my_images/square/1.png square"]
    assert (tmp_path / "runs" / "shapes" / "best" / "model.onnx").is_file()  # nor would it be there without a proof


@pytest.mark.pages
def test_adding_a_module_of_ones_own(tmp_path: Path) -> None:
    follow(page("add_your_own_module"), tmp_path)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # of Ray, when it is imported and started
def test_running_on_a_cluster(tmp_path: Path, ray_machines: Any) -> None:
    follow(page("run_on_a_cluster"), tmp_path, replace={"10.0.0.1:6379": ray_machines.address})
