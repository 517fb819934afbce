"""Patterns over dotted paths, as in the `at:` of a quantization rule.

`**` stands for any number of segments (none included). Within a segment `*`, `?` and `[…]` mean what they mean for
file names, and `{a,b}` is either word. Matching takes time in proportion to pattern times path, whatever they hold.
"""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re

from nasengine.errors import InputError

MOST_WORDS = 256


def matches(pattern: str, path: str) -> bool:
    """Whether a dotted path matches a pattern as a whole.

    Raises:
        InputError: the braces of one segment stand for more than 256 words.
    """
    reached = {0}  # how many segments of the path the pattern read so far may have taken
    segments = path.split(".")
    for part in pattern.split("."):
        if part == "**":
            reached = set(range(min(reached), len(segments) + 1)) if reached else reached
        else:
            reached = {i + 1 for i in reached if i < len(segments) and _fits(part, segments[i])}
    return len(segments) in reached


def _fits(part: str, segment: str) -> bool:
    return any(fnmatch.fnmatchcase(segment, word) for word in _words(part))


@functools.lru_cache(maxsize=1024)
def _words(part: str) -> tuple[str, ...]:
    """The words that braces stand for."""
    pieces = re.split(r"\{([^{}]*)\}", part)  # what stood between braces is at odd places
    alternatives = [piece.split(",") if place % 2 else [piece] for place, piece in enumerate(pieces)]
    words = tuple("".join(chosen) for chosen in itertools.islice(itertools.product(*alternatives), MOST_WORDS + 1))
    if len(words) > MOST_WORDS:
        raise InputError(f"the braces in {part!r} stand for more than {MOST_WORDS} words")
    return words
