"""Where in a strategy stands what a constructor refuses: constructors know names of arguments and no files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from nasengine.search.language.settings import OVERRIDE, Plain, Strategy


def place_of(strategy: Strategy, place: str, settings: Mapping[str, Plain], message: str) -> str:
    """The path of the argument that a message names; `place` itself where it names none, or several alike.

    "momentum of optimizer 'sgd' is 1.5" is about `optimizer.momentum`, though a sampler has a momentum too. Of several
    arguments that do not go together, the one that `--set` brought in is the one to look at.

    Args:
        strategy: whose marks say what was written.
        place: path of the component that was to be made.
        settings: its arguments.
        message: what its constructor, or that of one of its own components, says.
    """
    named = dict(_named(place, settings, message, 0))
    most = max(named.values(), default=0)
    found = [path for path, score in named.items() if score == most and path in strategy.marks]
    if len(found) > 1:
        found = [path for path in found if strategy.marks[path].file.startswith(OVERRIDE)]
    return found[0] if len(found) == 1 else place


def _named(place: str, settings: Mapping[str, Plain], message: str, above: int) -> Iterator[tuple[str, int]]:
    """Arguments that a message names, and how many of the words on the way to each it has."""
    for key, value in settings.items():
        if key == "type":
            continue
        component = value.get("type") if isinstance(value, Mapping) else value
        about = isinstance(component, str) and message.startswith(f"{component} ")
        named = about or re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", message) is not None
        path, score = f"{place}.{key}", above + named
        if named:
            yield path, score
        if isinstance(value, Mapping):
            yield from _named(path, value, message, score)
