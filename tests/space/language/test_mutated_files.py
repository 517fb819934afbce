"""A thousand broken space and strategy files: an answer with places, never a traceback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
import pytest

from nasengine.errors import InputError, Problem
from nasengine.search.language.strategy import parse_strategy
from nasengine.space.language.parsing import parse_space
from nasengine.space.language.schema import space_schema
from nasengine.space.language.yaml import parse_document, plain
from nasengine.space.loading import shipped, space_from_mapping
from nasengine.space.space import SearchSpace
from tests.space.mutations import mutate

SPACES = [*sorted((Path(__file__).parent.parent / "examples").glob("*.yaml")), *shipped("search_spaces").values()]
STRATEGIES = list(shipped("strategies").values())
SPACE_FILES, STRATEGY_FILES = 800, 200
PARTS = 8
SLOWEST_SECONDS = 2.0
VALIDATOR = jsonschema.Draft202012Validator(space_schema())


def load_space_text(text: str, path: Path) -> None:
    tree = parse_space(text, str(path))
    assert space_from_mapping(tree.resolved).hash == SearchSpace(tree).hash


def load_and_validate(text: str, path: Path) -> None:
    """The schema accepts what loads; validating takes longer than loading, so few of the files go this way."""
    load_space_text(text, path)
    tree = parse_space(text, str(path))
    assert VALIDATOR.is_valid(plain(parse_document(text, "f").documents[0]))
    assert VALIDATOR.is_valid(tree.resolved)


def load_strategy_text(text: str, path: Path) -> None:
    parse_strategy(text, str(path))


def answers(
    paths: Sequence[Path], seeds: range, load: Callable[[str, Path], None]
) -> list[tuple[int, str, tuple[Problem, ...]]]:
    """For each seed: the broken text and its problems, none if it still loads."""
    found = []
    for seed in seeds:
        path = paths[seed % len(paths)]
        text = mutate(path.read_text(), seed)
        start = time.process_time()
        problems: tuple[Problem, ...] = ()
        try:
            load(text, path)
        except InputError as error:
            problems = error.problems
            assert problems
        except Exception as error:
            raise AssertionError(f"seed {seed} of {path.name} gives a traceback:\n{text}") from error
        assert time.process_time() - start < SLOWEST_SECONDS, f"seed {seed} of {path.name}"
        found.append((seed, text, problems))
    return found


def assert_placed(seed: int, text: str, problems: Sequence[Problem]) -> None:
    """Every problem points at a character of a line, or just behind one."""
    for problem in problems:
        if problem.message.startswith("… and "):
            continue
        assert problem.message, f"seed {seed}"
        assert problem.mark is not None, f"seed {seed}: {problem}\n{text}"
        assert problem.mark.line >= 1, f"seed {seed}"
        assert 1 <= problem.mark.column <= max(len(problem.line_text), 1) + 1, f"seed {seed}: {problem}"
        assert problem.line_text or problem.mark.column == 1, f"seed {seed}: {problem}\n{text}"


@pytest.mark.parametrize("part", range(PARTS))
def test_a_broken_space_is_answered_with_places(part):
    seeds = range(part * SPACE_FILES // PARTS, (part + 1) * SPACE_FILES // PARTS)
    found = answers(SPACES, seeds, load_and_validate if part == 0 else load_space_text)
    for seed, text, problems in found:
        assert_placed(seed, text, problems)
    refused = sum(bool(problems) for _, _, problems in found)
    assert refused > len(found) / 2  # the mutations do break files


def test_a_broken_strategy_is_answered_with_places():
    found = answers(STRATEGIES, range(10_000, 10_000 + STRATEGY_FILES), load_strategy_text)
    for seed, text, problems in found:
        assert_placed(seed, text, problems)
    assert sum(bool(problems) for _, _, problems in found) > len(found) / 2


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_twenty_thousand_broken_spaces_are_answered_with_places(part):
    for seed, text, problems in answers(SPACES, range(100_000 + part * 1000, 101_000 + part * 1000), load_and_validate):
        assert_placed(seed, text, problems)
