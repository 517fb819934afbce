"""The search space: what a parsed file means, with every function on its architectures."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nasengine.errors import InputError
from nasengine.records import Architecture, canonical_json
from nasengine.space import filling, sampling
from nasengine.space.decisions import Decision, unroll
from nasengine.space.encoding import Encoding, Rows
from nasengine.space.holes import Bound, QuantizationRule, Relation, SpaceTree, Task
from nasengine.space.known import Known, checked_row, known_architectures
from nasengine.space.locating import Located, targets_of
from nasengine.space.problems import Problems
from nasengine.space.relations import CompiledRelation, compile_relations


class SearchSpace:
    """A search space: immutable, picklable, free of torch.

    Args:
        tree: a parsed file.

    Raises:
        InputError: everything about the file that parses but makes no sense: relations over choices that do not
            exist, known architectures that are incomplete, a `same_as` that reaches nothing.
    """

    tree: SpaceTree
    decisions: tuple[Decision, ...]
    choices: Mapping[str, Decision]
    unexpanded: tuple[QuantizationRule, ...]
    known: Mapping[str, Known]
    encoding: Encoding
    compiled_relations: tuple[CompiledRelation, ...]
    _targets: Mapping[str, Located]

    def __init__(self, tree: SpaceTree) -> None:
        problems = Problems(tree.lines)
        unrolled = unroll(tree, problems)
        problems.check()
        encoding = Encoding(unrolled.decisions)
        targets = targets_of(tree, unrolled, problems)
        relations = compile_relations(tree, unrolled.decisions, problems)
        known = known_architectures(tree, encoding, bool(unrolled.unexpanded), problems)
        problems.check()
        self.__dict__.update(
            tree=tree,
            decisions=unrolled.decisions,
            choices=MappingProxyType({decision.path: decision for decision in unrolled.decisions}),
            unexpanded=unrolled.unexpanded,
            known=MappingProxyType(known),
            encoding=encoding,
            compiled_relations=relations,
            _targets=targets,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a search space is immutable; {name} cannot be set")

    def __reduce__(self) -> tuple[type[SearchSpace], tuple[SpaceTree]]:
        return SearchSpace, (self.tree,)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {len(self.decisions)} choices)"

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, SearchSpace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def name(self) -> str:
        return self.tree.name

    @property
    def about(self) -> str:
        return self.tree.about

    @property
    def source(self) -> str:
        return self.tree.source

    @property
    def task(self) -> Task | None:
        return self.tree.task

    @property
    def constraints(self) -> tuple[Bound, ...]:
        return self.tree.constraints

    @property
    def relations(self) -> tuple[Relation, ...]:
        return self.tree.relations

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the resolved file as canonical JSON."""
        return hashlib.sha256(canonical_json(self.tree.resolved).encode()).hexdigest()

    def architecture(self, options: Mapping[str, Any]) -> Architecture:
        """The architecture with these options; lists are taken for tuples.

        Raises:
            InputError: every option that is missing, inactive, unknown or invalid.
        """
        problems = Problems(self.tree.lines)
        row = checked_row(self.encoding, options, problems)
        problems.check()
        return self.encoding.architecture(row)

    def satisfies(self, architecture: Mapping[str, Any]) -> bool:
        """Whether an architecture satisfies the relations."""
        row = self.encoding.row(architecture)
        return all(relation.holds(row) for relation in self.compiled_relations)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """One architecture."""
        for _ in range(1000):
            row = sampling.sample_by_choice(self.encoding, rng)
            if all(relation.holds(row) for relation in self.compiled_relations):
                return self.encoding.architecture(row)
        raise InputError("none of 1000 draws satisfied the relations")

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture that satisfies the relations."""

        def rows(row: list[int]) -> Iterator[list[int]]:
            if len(row) == len(self.decisions):
                yield row
            elif not self.encoding.is_active(len(row), row):
                yield from rows([*row, -1])
            else:
                for option in range(len(self.decisions[len(row)].options)):
                    yield from rows([*row, option])

        for row in rows([]):
            if all(relation.holds(row) for relation in self.compiled_relations):
                yield self.encoding.architecture(row)

    def encode(self, architecture: Mapping[str, Any]) -> Rows:
        """(D,) int16 indices of the options taken, -1 where a decision is inactive."""
        return self.encoding.encode(architecture)

    def encode_many(self, architectures: Iterable[Mapping[str, Any]]) -> Rows:
        """(N, D) the rows of N architectures."""
        return self.encoding.encode_many(architectures)

    def decode(self, row: Rows) -> Architecture:
        """The architecture of a row (D,); inactive columns may hold anything."""
        return self.encoding.decode(row)

    def decode_many(self, rows: Rows) -> list[Architecture]:
        """The architectures of (N, D) rows."""
        return self.encoding.decode_many(rows)

    def canonical(self, rows: Rows) -> Rows:
        """(N, D) the same architectures with -1 in every inactive column."""
        return self.encoding.canonical(rows)

    def fill(self, architecture: Mapping[str, Any]) -> filling.Filled:
        """The constructor call that an architecture stands for, without holes."""
        return filling.fill(self.tree, self._targets, architecture)
