"""Every example of the language reference is YAML that the language takes."""

from __future__ import annotations

import re
import textwrap

import pytest

from nasengine.space.holes import HOLE_WORDS
from nasengine.space.language.grammar_relations import ORDERS
from nasengine.space.language.parsing import parse_space
from nasengine.space.space import SearchSpace
from tests.conftest import REPOSITORY
from tests.space.grammar_helpers import HEAD

REFERENCE = (REPOSITORY / "docs" / "space_language.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)


def whole(block: str) -> str:
    """A block as a file: some are files, others one node, which becomes an argument of a network."""
    if re.match(r"(name|extends):", block):
        return block
    return f"{HEAD}network:\n  type: net\n  a:\n{textwrap.indent(block, '    ')}"


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0][:30] for block in BLOCKS])
def test_an_example_of_the_reference_parses(block):
    space = SearchSpace(parse_space(whole(block), str(REPOSITORY / "docs" / "example.yaml")))
    assert space.size(architecture_part=True) > 1


def test_the_reference_has_examples_and_names_every_hole_and_order():
    assert len(BLOCKS) >= 6
    assert [word for word in HOLE_WORDS if f"`{{{word}: " not in REFERENCE] == []
    assert [order for order in ORDERS if f"`{order}`" not in REFERENCE] == []
