"""docs/reference/ says what the checker knows: every key, every type, every argument, and nothing stale."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nasengine.algorithms import ALGORITHMS
from nasengine.costs import COSTS
from nasengine.evaluators import EVALUATORS
from nasengine.evaluators.tabular import keys as tabular
from nasengine.networks import NETWORK_TYPES
from nasengine.search.language.budgets import UNITS
from nasengine.search.language.components import strategy_arguments
from nasengine.search.language.grammar import DATA, EVALUATOR, KINDS, OBJECTIVE, PHASES, TOP
from nasengine.search.language.tables import built_tables
from nasengine.space.holes import HOLE_WORDS
from nasengine.space.language import keys
from nasengine.space.language.arguments import arguments_of
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "reference"
SPACE_KEYS = {name: value for name, value in vars(keys).items() if isinstance(value, keys.Keys)}


def ours(table: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of nasengine itself; other tests may have added some of plug-ins."""
    return {name: entry for name, entry in table.items() if entry.__module__.startswith("nasengine.")}


def page(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_the_pages_are_those_that_the_script_writes(tmp_path: Path) -> None:
    # In a process of its own: other tests add types to the tables of this one.
    subprocess.run([sys.executable, "docs/make_reference.py", str(tmp_path)], cwd=REPOSITORY, check=True)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(written) == {path.name for path in FOLDER.iterdir()}
    stale = [name for name, text in written.items() if text != page(name)]
    assert not stale, f"run `python docs/make_reference.py`: {', '.join(stale)} would change"


@pytest.mark.parametrize("kind", [*SPACE_KEYS, *keys.HOLES])
def test_every_key_of_a_space_is_in_a_table(kind: str) -> None:
    table = SPACE_KEYS.get(kind) or keys.HOLES[kind]
    prefix = "subset." if kind == "SUBSET" else ""
    assert [name for name in table.names if f"`{prefix}{name}`" not in page("space_language.md")] == []


def test_every_hole_has_a_row_in_the_table_of_keys_and_a_section() -> None:
    assert tuple(keys.HOLES) == HOLE_WORDS
    assert [word for word in HOLE_WORDS if f"\n## {word}\n" not in page("space_language.md")] == []


def test_every_key_of_a_strategy_is_in_a_table() -> None:
    known = {*TOP, *(f"data.{key}" for key in DATA.forms), *(f"objectives.NAME.{key}" for key in OBJECTIVE)}
    known |= {key for kind in KINDS for key in PHASES[kind]} | {f"evaluator.{key}" for key in EVALUATOR}
    assert [key for key in known if f"`{key}`" not in page("strategy_language.md")] == []
    assert [unit for unit in UNITS if f"budget.{unit}`" not in page("strategy_language.md")] == []


def test_every_key_of_a_table_is_in_a_table() -> None:
    tables = [value for value in vars(tabular).values() if isinstance(value, keys.Keys)]
    names = {name for table in tables for name in table.names}
    assert len(tables) == 6
    assert [name for name in names if f"`{name}`" not in page("table_descriptions.md")] == []


def test_every_type_and_every_cost_is_listed() -> None:
    types, networks = page("types.md"), page("network_types.md")
    assert [name for name in (*ours(ALGORITHMS), *ours(EVALUATORS)) if f"\n### {name}\n" not in types] == []
    assert [name for name in ours(NETWORK_TYPES) if f"\n### {name}\n" not in networks] == []
    assert [name for name in COSTS if f"| `{name}` |" not in page("types.md")] == []


def test_every_argument_that_a_person_may_write_is_described_in_its_docstring() -> None:
    tables = {kind: ours(table) for kind, table in built_tables().items()}
    named = {
        f"{kind} {name}": strategy_arguments(kind, type_) for kind in tables for name, type_ in tables[kind].items()
    }
    named |= {f"network {name}": arguments_of(type_) for name, type_ in ours(NETWORK_TYPES).items()}
    assert [f"{thing}: {a.name}" for thing, arguments in named.items() for a in arguments if not a.about] == []
