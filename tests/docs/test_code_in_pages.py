"""The code in the README and in the guides runs as it stands there."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.walkthrough import Block, blocks, follow, run

pytestmark = pytest.mark.pages
SHORT = "--trials 1 --epochs 1 --set data.limit=400 --set retrain.budget.epochs=1"


def page(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def python(name: str, holding: str) -> str:
    """The one Python block of a page that holds a text."""
    (found,) = [block.text for block in blocks(page(name)) if block.language == "python" and holding in block.text]
    return found


def execute(text: str, folder: Path, language: str = "python") -> str:
    """What it prints."""
    block = Block(language, "", text, 1)
    assert block.command is not None
    return run(block, block.command, folder, timeout=200)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make search` leaves in RUN/best, trained for a moment only."""
    folder = tmp_path_factory.mktemp("exported")
    execute(f"nasengine search quickstart random_search {SHORT} --run runs/quickstart", folder, "bash")
    return folder / "runs" / "quickstart" / "best"


def test_the_exported_network_is_used_as_the_readme_says(exported: Path) -> None:
    images = "import torch\nimages = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)\n"
    use = python("README.md", "from model import")
    printed = execute(f"{images}{use}\nprint(tuple(scores.shape), len(CLASS_NAMES))", exported)
    assert printed == "(3, 10) 10\n"


def test_the_exported_network_is_tried_on_the_test_images_as_the_page_on_data_says(exported: Path) -> None:
    assert 0 < float(execute(python("docs/data.md", "load_data"), exported)) < 1


def test_the_readme_s_session_in_python_runs(tmp_path: Path) -> None:
    session = python("README.md", "nas.search(")
    assert 'data="cifar10", data_dir="…"' in session
    brief = 'data="synthetic", trials=1, epochs=1, set=["retrain.budget.epochs=1", "data.limit=100"]'
    macs = "assert nas.costs(space, space.known['default'].architecture).macs == 40813184\n"
    execute(session.replace('data="cifar10", data_dir="…"', brief) + macs, tmp_path)
    assert (tmp_path / "best" / "model.py").is_file()


def test_the_readme_s_spaces_are_valid_and_its_layer_can_be_searched(tmp_path: Path) -> None:
    (space,) = [block.text for block in blocks(page("README.md")) if block.language == "yaml"]
    (tmp_path / "short.yaml").write_text(space)
    layer = "{type: my_layers:Noise, amount: {choice: [0.1, 0.3]}}"
    assert layer in page("README.md")
    (tmp_path / "my_layers.py").write_text(python("README.md", "class Noise"))
    head = "name: noisy\ntask: {kind: image_classification, input: [1, 8, 8], classes: 4}\n"
    rest = "{type: global_average_pool}, {type: linear_head}"
    (tmp_path / "noisy.yaml").write_text(f"{head}network: {{type: sequential, layers: [{layer}, {rest}]}}\n")
    printed = execute("nasengine check short.yaml noisy.yaml --plugin my_layers", tmp_path, "bash")
    assert printed == "short.yaml: a valid space\nnoisy.yaml: a valid space\n"


def test_the_page_on_python_runs(tmp_path: Path) -> None:
    follow(page("docs/python_api.md"), tmp_path)


def test_the_page_on_supernets_works_as_it_is_written(tmp_path: Path) -> None:
    follow(page("docs/supernets.md"), tmp_path)
    assert (tmp_path / "runs" / "mixture" / "best" / "model.py").is_file()


def test_the_page_on_tables_works_as_it_is_written(tmp_path: Path) -> None:
    follow(page("docs/tables.md"), tmp_path)
    assert (tmp_path / "runs" / "compare-pooling36" / "compare.html").is_file()
