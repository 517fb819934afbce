"""The source of a class comes with exactly what it needs, whatever its modules call things."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from nasengine.errors import ExportError
from nasengine.export.model_file import join_statements
from nasengine.export.source import SourceCollector

Make = Callable[[dict[str, str]], ModuleType]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Write modules of a package `plugged` and import its module `main`."""

    def make(files: dict[str, str]) -> ModuleType:
        folder = tmp_path / "plugged"
        folder.mkdir()
        for name, text in {"__init__": "", **files}.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("plugged.main")

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == "plugged"]:
        del sys.modules[name]


def collect(*targets: type, used: tuple[type, ...] = ()) -> tuple[str, dict[str, object], list[str]]:
    """The text of a file that holds the targets, what it defines when run, and the targets' names in it."""
    collector = SourceCollector(own=["plugged"], used=[*used, *targets], reserved=["load"])
    names = [collector.add(target) for target in targets]
    text = join_statements([collector.imports(), *collector.definitions()])
    namespace: dict[str, object] = {"__name__": "exported"}
    exec(compile("from __future__ import annotations\n" + text, "exported.py", "exec"), namespace)
    return text, namespace, names


def test_helpers_constants_and_bases_come_along_and_nothing_else(package: Make) -> None:
    main = package(
        {
            "base": "import math\nSCALE = 3\nUNUSED = 4\n\n\ndef double(x):\n    return 2 * x * SCALE\n\n\n"
            "class Base:\n    size = double(1)\n\n    def half(self):\n        return math.pi / later()\n\n\n"
            "def later():\n    return 2\n\n\ndef unused():\n    pass\n",
            "main": "from plugged.base import Base\n\n\nclass Thing(Base):\n    pass\n",
        }
    )
    text, namespace, _ = collect(main.Thing)
    thing = namespace["Thing"]()
    assert thing.size == 6
    assert thing.half() == pytest.approx(1.5707963)
    assert "unused" not in text.lower()


def test_two_things_of_one_name_are_told_apart(package: Make) -> None:
    main = package(
        {
            "one": "WIDTH = 1\n\n\nclass Block:\n    def width(self):\n        return WIDTH\n",
            "two": "WIDTH = 2\n\n\nclass Block:\n    def width(self):\n        return WIDTH, Block.__name__\n",
            "main": "from plugged.one import Block as First\nfrom plugged.two import Block\n\n\n"
            "class Both:\n    def widths(self, WIDTH=0):\n        return First().width(), Block().width(), WIDTH\n",
        }
    )
    text, namespace, _ = collect(main.Both)
    assert namespace["Both"]().widths() == (1, (2, "Block_two"), 0)
    assert text.count("class Block") == 2


def test_a_local_name_is_not_taken_for_the_global_of_its_name(package: Make) -> None:
    main = package(
        {
            "main": "import os\nx = 1\n\n\nclass Local:\n    x = 2\n\n    def run(self, os):\n"
            "        y = [x for x in (3, 4)]\n        return os, y, x, (lambda x: x)(5), {k: x for k in y}\n",
        }
    )
    text, namespace, _ = collect(main.Local)
    assert namespace["Local"]().run(0) == (0, [3, 4], 1, 5, {3: 1, 4: 1})
    assert "import os" not in text


def test_tables_lose_the_classes_that_the_network_has_none_of(package: Make) -> None:
    main = package(
        {
            "main": "from torch import nn\n\n\nclass A(nn.Module):\n    pass\n\n\nclass B(nn.Module):\n    pass\n\n\n"
            'TABLE: dict[str, type[A] | type[B]] = {"a": A, "b": B, "relu": nn.ReLU}\n\n\n'
            "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            '        self.part = TABLE["a"]()\n',
        }
    )
    text, namespace, _ = collect(main.Net, used=(main.A,))
    assert 'TABLE = {"a": A, "relu": nn.ReLU}' in text
    assert "class B" not in text
    assert type(namespace["Net"]().part).__name__ == "A"


def test_comments_above_and_decorators_and_everything_on_the_lines_is_kept(package: Make) -> None:
    main = package(
        {
            "main": "import functools\n\n# Why three:\n# because.\nTHREE = 3  # exactly\n\n\n@functools.cache\n"
            "def three():\n    return THREE\n\n\nclass Uses:\n    value = three()\n",
        }
    )
    text, namespace, _ = collect(main.Uses)
    assert "# Why three:\n# because.\nTHREE = 3  # exactly\n" in text
    assert namespace["Uses"].value == 3


def test_classes_of_torch_are_imported_not_copied(package: Make) -> None:
    main = package({"main": "from torch.nn import Conv2d as C, functional as F\n\n\nclass Mine(C):\n    f = F.relu\n"})
    text, _, names = collect(main.Mine, nn.Linear)
    assert names == ["Mine", "nn.Linear"]
    assert "from torch.nn import Conv2d as C\nfrom torch.nn import functional as F" in text


def test_names_that_the_file_defines_itself_are_left_to_it(package: Make) -> None:
    main = package({"main": "def load():\n    return 7\n\n\nclass Loads:\n    value = load()\n"})
    text, namespace, _ = collect(main.Loads)
    assert "def load_main()" in text
    assert namespace["Loads"].value == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from math import *\n\n\nclass Bad:\n    value = pi\n", "'pi'"),
        ("from plugged import other\n\n\nclass Bad:\n    value = other.x\n", "imports the module plugged.other"),
        ("def make():\n    class Bad:\n        pass\n    return Bad\n\n\nBad = make()\n", "not a top-level class"),
    ],
)
def test_what_cannot_be_copied_is_named(package: Make, text: str, message: str) -> None:
    main = package({"main": text, "other": "x = 1\n"})
    with pytest.raises(ExportError, match=message):
        collect(main.Bad)
