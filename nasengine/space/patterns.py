"""Patterns over dotted paths, as in the `at:` of a quantization rule.

`**` stands for any number of segments (none included), `*` within a segment for any text without a dot. Matching
takes time in proportion to pattern times path, whatever they hold.
"""

from __future__ import annotations

import fnmatch


def matches(pattern: str, path: str) -> bool:
    """Whether a dotted path matches a pattern as a whole."""
    segments = path.split(".")
    reached = {0}  # how many segments of the path the pattern read so far may have taken
    for part in pattern.split("."):
        if part == "**":
            reached = set(range(min(reached), len(segments) + 1)) if reached else reached
        else:
            reached = {i + 1 for i in reached if i < len(segments) and fnmatch.fnmatchcase(segments[i], part)}
    return len(segments) in reached
