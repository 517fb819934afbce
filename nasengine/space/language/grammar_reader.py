"""What every reader of a part of the grammar is handed: the checks, and a way to read the nodes below."""

from __future__ import annotations

import abc
import re
from collections.abc import Collection
from dataclasses import dataclass

from nasengine.records import canonical_json
from nasengine.space.holes import Node, Use
from nasengine.space.language.checks import Checks
from nasengine.space.language.yaml import YamlNode
from nasengine.space.problems import Problems

PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")


@dataclass(frozen=True, slots=True)
class SharedCount:
    """A `use` where a count stands, to be checked when all entries of `let` are read: `low` is the least it may be."""

    use: Use
    where: str
    low: int
    high: int | None


class Reader(Checks, abc.ABC):
    """Checks that can also read a node of the space.

    Args:
        problems: where to note what is wrong.
        shared: names under `let` whose values hold holes.

    Attributes:
        counts: shared decisions met where a count stands.
    """

    def __init__(self, problems: Problems, shared: Collection[str]) -> None:
        super().__init__(problems)
        self.shared = shared
        self.counts: list[SharedCount] = []

    @abc.abstractmethod
    def read(self, node: YamlNode, where: str) -> Node:
        """The node as a tree of values and holes; a null stands where something is wrong (and noted)."""


def label_text(label: object) -> str:
    """How a label is written as a key: a word as it is, anything else as JSON."""
    return label if isinstance(label, str) else canonical_json(label)
