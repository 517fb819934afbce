"""Recognises a hole whose word is misspelt, which would otherwise pass as a group of settings."""

from __future__ import annotations

import difflib

from nasengine.space.language.keys import HOLES
from nasengine.space.language.yaml import YamlMapping, YamlSequence

_BY_VALUE = ("choice", "range", "subset", "optional")  # their value is a list or a mapping
_LIKENESS = 0.82  # above "options" and "optional"


def misspelt_hole(node: YamlMapping) -> tuple[str, str] | None:
    """The key that is nearly a hole word, and that word; None if the mapping does not have the shape of a hole.

    A group of settings may well have a key such as `ranges`, so the whole mapping must look like the hole:
    nothing else in it than what may stand beside that hole, and a value of the right kind.
    """
    if not 1 <= len(node.entries) <= 2 or "type" in node.entries:
        return None
    for key, value in node.entries.items():
        others = set(node.entries) - {key}
        spelt = key.lower().replace("-", "_")
        for hole, keys in HOLES.items():
            if hole == "use" or not set(keys.required) - {hole} <= others <= set(keys.names) - {hole}:
                continue
            if hole in _BY_VALUE and not isinstance(value, (YamlSequence, YamlMapping)):
                continue
            if sorted(spelt) == sorted(hole) or difflib.SequenceMatcher(None, spelt, hole).ratio() >= _LIKENESS:
                return key, hole
    return None
