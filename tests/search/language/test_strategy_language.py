"""The reference page agrees with the reader: its example, its overrides and its keys."""

import re

from nasengine.search.language.components import settings_of
from nasengine.search.language.grammar import DATA, KINDS, PHASES
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.language.tables import built_tables


def page(repository) -> str:
    return (repository / "docs" / "strategy_language.md").read_text(encoding="utf-8")


def example(repository) -> str:
    return re.search(r"```yaml\n(.*?)```", page(repository), re.DOTALL).group(1)


def test_the_example_is_a_strategy(repository):
    strategy = parse_strategy(example(repository), "example.yaml")
    assert [phase.kind for phase in strategy.phases] == ["search", "retrain"]


def test_every_override_of_the_page_can_be_given(repository):
    overrides = re.findall(r"^--set (\S+='.*?'|\S+)", page(repository), re.MULTILINE)
    assert len(overrides) == 5
    parse_strategy(example(repository), "example.yaml", overrides=[text.replace("'", "") for text in overrides])


def test_every_key_of_the_language_is_on_the_page(repository):
    text = page(repository)
    keys = {*DATA.forms, *KINDS, *(key for kind in ("search", "retrain") for key in PHASES[kind])}
    keys |= set(settings_of("retrain trainer", built_tables()["retrain trainer"]["standalone"]))
    missing = {key for key in keys if f"`{key}" not in text and f"**{key}" not in text}
    assert missing == {"when", "quantization"}  # of phases and rules that cannot run yet
