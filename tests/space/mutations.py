"""Breaks YAML files at random, from a seed, the way people and hostile strangers do."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable
from typing import Any

import yaml

ODD = (
    "null", "true", "-1", "0", "1e999", ".nan", "2026-01-01", "'", '"', "[]", "{}", "[[]]", "{a: 1}", "[1, 1]", "- ",
    "? ", ": ", "*b1", "*nobody", "&x ", "!!python/object:os.system ", "<<: ", "{use: nobody}", "{choice: []}",
    "{choice: [1, true]}", "{range: [1, 2, 3, 4]}", "{range: [5, 1]}", "{subset: {of: [1], size: 9}}", "{repeat: 3}",
    "{optional: }", "{same_as: .x}", "{same_as: ..}", "{type: cell}", "|", ">", "---", "...", "#", "%", "@", "`", "\t",
    "\x00", "\ufeff", "\u2028", "é", "😀", "9" * 400, "a" * 300, "[" * 80, "{a: " * 70, ",", "]", "}", "extends: x",
    "weights", "of", "choise", "network", "type", "99999999999", "0o17", "0-1", "same", "**",
)  # fmt: skip
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TOKEN = re.compile(r"[A-Za-z0-9_.]+|\s+|.", re.DOTALL)


def mutate(text: str, seed: int) -> str:
    """The text with one to three random changes."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        text = rng.choice(MUTATIONS)(text, rng)
    return text


def _tokens(text: str, rng: random.Random, change: Callable[[list[str], int], None]) -> str:
    tokens = TOKEN.findall(text)
    if tokens:
        change(tokens, rng.randrange(len(tokens)))
    return "".join(tokens)


def delete_token(text: str, rng: random.Random) -> str:
    return _tokens(text, rng, lambda tokens, at: tokens.__delitem__(at))


def duplicate_token(text: str, rng: random.Random) -> str:
    return _tokens(text, rng, lambda tokens, at: tokens.insert(at, tokens[at]))


def replace_token(text: str, rng: random.Random) -> str:
    return _tokens(text, rng, lambda tokens, at: tokens.__setitem__(at, rng.choice((*ODD, *tokens))))


def replace_word(text: str, rng: random.Random) -> str:
    """Changes a key or value, where a blind change would mostly hit punctuation."""
    words = list(re.finditer(r"[A-Za-z0-9_.*-]+", text))
    if not words:
        return text
    there = rng.choice(words)
    return text[: there.start()] + rng.choice((*ODD, rng.choice(words).group())) + text[there.end() :]


def misspell(text: str, rng: random.Random) -> str:
    words = list(re.finditer(r"[a-z_]{3,}", text))
    if not words:
        return text
    there = rng.choice(words)
    letters = list(there.group())
    at = rng.randrange(len(letters) - 1)
    letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return text[: there.start()] + "".join(letters) + text[there.end() :]


def insert(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(ODD) + text[at:]


def cut(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text) + 1)
    return text[:start] + text[start + rng.choice((1, 1, 3, 20, 500)) :]


def change_character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + text[at + 1 :]


def _lines(text: str, rng: random.Random, change: Callable[[list[str], int], None]) -> str:
    lines = text.split("\n")
    change(lines, rng.randrange(len(lines)))
    return "\n".join(lines)


def delete_line(text: str, rng: random.Random) -> str:
    return _lines(text, rng, lambda lines, at: lines.__delitem__(at))


def duplicate_line(text: str, rng: random.Random) -> str:
    return _lines(text, rng, lambda lines, at: lines.insert(rng.randrange(len(lines)), lines[at]))


def indent_line(text: str, rng: random.Random) -> str:
    return _lines(text, rng, lambda lines, at: lines.__setitem__(at, " " * rng.randint(1, 3) + lines[at]))


def unindent_line(text: str, rng: random.Random) -> str:
    return _lines(text, rng, lambda lines, at: lines.__setitem__(at, lines[at].removeprefix(" " * rng.randint(1, 4))))


def change_tree(text: str, rng: random.Random) -> str:
    """Changes what the YAML means rather than its text: drops, renames, wraps or replaces a value somewhere."""
    try:
        documents = [copy.deepcopy(document) for document in yaml.load_all(text, Loader=LOADER)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return insert(text, rng)
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = list(documents)
    while waiting and len(places) < 5000:
        value = waiting.pop()
        below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in below:
            places.append((value, key))
            waiting.append(item)
    if not places:
        return text
    parent, key = rng.choice(places)
    value = parent[key]
    match rng.randrange(6):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[str(key) + rng.choice(("x", "_", ".y", " z"))] = parent.pop(key)
        case 2:
            parent[key] = rng.choice((None, True, -3, 2.5, "word", "", [], {}, [1], {"a": 1}, [[None]], 10**30))
        case 3:
            parent[key] = rng.choice(
                ([value], {"choice": [value]}, {"optional": value}, {"choice": {"a": value, "b": value}},
                 {"repeat": {"choice": [1, 2]}, "of": value}, {"subset": {"of": [value], "size": 1}}, {"use": value})
            )  # fmt: skip
        case 4:
            other, name = rng.choice(places)
            parent[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else value)
        case _ if isinstance(parent, list):
            parent.append(copy.deepcopy(value))
        case _:
            parent[key] = str(value)
    try:
        return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, RecursionError):
        return insert(text, rng)


MUTATIONS: tuple[Callable[[str, random.Random], str], ...] = (
    delete_token, duplicate_token, replace_token, replace_word, replace_word, misspell, misspell, insert, cut,
    change_character, delete_line, duplicate_line, indent_line, unindent_line, change_tree, change_tree, change_tree,
)  # fmt: skip
