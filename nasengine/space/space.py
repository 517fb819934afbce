"""The search space: what a parsed file means, with every function on its architectures."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError, Problem
from nasengine.records import Architecture, canonical_json
from nasengine.space import counting, description, enumeration, filling
from nasengine.space.breeding import Breeding
from nasengine.space.decisions import Decision
from nasengine.space.encoding import Encoding, Rows
from nasengine.space.holes import Bound, QuantizationRule, Relation, SpaceTree, Task, holds_type
from nasengine.space.known import Known, checked_row, known_architectures
from nasengine.space.locating import Located, targets_of
from nasengine.space.mutation import Variation
from nasengine.space.options import followed
from nasengine.space.problems import Problems
from nasengine.space.relations import CompiledRelation, compile_relations
from nasengine.space.sampling import By, Sampler
from nasengine.space.unrolling import unroll

MOST_IDENTITIES = 100_000  # kept; some hundred bytes each


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
    def resolution(self) -> Decision | None:
        """What decides the height of the input, if anything does: `task.resolution`, or an entry of `let`."""
        return (
            None
            if self.task is None
            else self.choices.get(followed(self.task.height, "task.resolution", self.tree.let)[1])
        )

    @property
    def constraints(self) -> tuple[Bound, ...]:
        return self.tree.constraints

    @property
    def relations(self) -> tuple[Relation, ...]:
        return self.tree.relations

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the resolved file as JSON, keys in the order of the file: rows and draws follow that order."""
        text = json.dumps(self.tree.resolved, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

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

    def size(
        self,
        *,
        feasible: bool = False,
        architecture_part: bool = False,
        accepts: Callable[[Architecture], bool] | None = None,
    ) -> int:
        """The number of distinct architectures, exactly.

        Args:
            feasible: count only what satisfies the relations and the constraints.
            architecture_part: leave out the formats of layers that only a built network can spell out
                (`unexpanded`); without it, a space that has some has no size yet.
            accepts: whether an architecture keeps the constraints, whose costs a space cannot price by itself;
                needed for `feasible` where there are constraints.

        Raises:
            InputError: the size is not known yet, or cannot be found without listing too many architectures.
        """
        if self.unexpanded and not architecture_part:
            raise InputError(
                [
                    Problem(
                        f"the size of {self.name} is not known before a network is built: "
                        f"a quantization rule (at: {rule.at}) decides per {rule.per}",
                        rule.mark,
                        "expected per: choice or per: network, or ask for the size of the architecture part alone",
                    )
                    for rule in self.unexpanded
                ]
            )
        if not feasible:
            return counting.count_all(self.decisions)
        if self.constraints and accepts is None:
            costs = ", ".join(bound.cost for bound in self.constraints)
            raise InputError(
                Problem(
                    f"the feasible size of {self.name} depends on costs: {costs}",
                    self.constraints[0].mark,
                    "expected a function that prices an architecture (size(feasible=True, accepts=…))",
                )
            )
        return counting.count_feasible(self.encoding, self.compiled_relations, accepts)

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture that satisfies the relations, once each.

        The order never changes: that of the decisions, the first varying slowest; options as in the file.
        """
        return map(self.encoding.architecture, enumeration.enumerate_rows(self.encoding, self.compiled_relations))

    def sample(self, rng: np.random.Generator, *, by: By = "uniform") -> Architecture:
        """An architecture that satisfies the relations; the first row of `sample_encoded(rng, 1)`, decoded.

        Args:
            by: `uniform` over distinct architectures, times the weights of the options taken; or `choice`: each
                active choice on its own, which favours what stands in small branches.

        Raises:
            InputError: nothing satisfies the relations, or too little to find it.
        """
        return self.encoding.architecture(self._sampler(by).row(rng))

    def sample_encoded(self, rng: np.random.Generator, n: int, *, by: By = "uniform") -> Rows:
        """(N, D) int16: the rows of n architectures, drawn independently as by `sample`."""
        return self._sampler(by).rows(rng, n)

    def _sampler(self, by: By) -> Sampler:
        match by:
            case "uniform":
                return self._uniform_sampler
            case "choice":
                return self._choice_sampler
        raise InputError(Problem(f"unknown way to sample {by!r}", expected="expected 'uniform' or 'choice'"))

    @functools.cached_property
    def _uniform_sampler(self) -> Sampler:
        return Sampler(self.decisions, self.compiled_relations)

    @functools.cached_property
    def _choice_sampler(self) -> Sampler:
        return Sampler(self.decisions, self.compiled_relations, "choice")

    @functools.cached_property
    def _variation(self) -> Variation:
        return Variation(self.decisions, self.compiled_relations)

    @functools.cached_property
    def _breeding(self) -> Breeding:
        return Breeding(self.encoding, self._variation)

    def mutate(self, architecture: Mapping[str, Any], rng: np.random.Generator) -> Architecture:
        """One active decision takes another option (a subset swaps, adds or removes one item).

        What becomes active is drawn by its weights; the relations hold.

        Raises:
            InputError: there is nothing to change, or no change was found that satisfies the relations.
        """
        return self.encoding.architecture(self._variation.mutate(self.encoding.row(architecture), rng))

    def crossover(self, first: Mapping[str, Any], second: Mapping[str, Any], rng: np.random.Generator) -> Architecture:
        """Each decision comes from either parent with equal probability; repaired until the relations hold.

        What neither parent has (a copy whose slot comes from one and whose shared count from the other) is drawn.
        """
        rows = self.encoding.row(first), self.encoding.row(second)
        return self.encoding.architecture(self._variation.crossover(*rows, rng))

    def children_encoded(self, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
        """(N, D) canonical rows: a child of each pair of parents (N, D) by crossover and mutation at once.

        Each active choice mutates with chance 1 / active choices, and at least one does where the child would equal
        a parent. Nothing looks at relations: for spaces that have none.
        """
        return self._breeding.children(first, second, rng)

    def neighbours(self, architecture: Mapping[str, Any]) -> Iterator[Architecture]:
        """Every architecture that differs by one decision; what becomes active takes its first option."""
        return map(self.encoding.architecture, self._variation.neighbours(self.encoding.row(architecture)))

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

    def satisfies_encoded(self, rows: Rows) -> NDArray[np.bool_]:
        """(N,) which of (N, D) canonical rows satisfy the relations."""
        result = np.ones(len(rows), dtype=np.bool_)
        for relation in self.compiled_relations:
            result &= relation.holds_many(rows)
        return result

    def canonical(self, rows: Rows) -> Rows:
        """(N, D) the same architectures with -1 in every inactive column."""
        return self.encoding.canonical(rows)

    def fill(self, architecture: Mapping[str, Any]) -> filling.Filled:
        """The constructor call that an architecture stands for, without holes."""
        return filling.fill(self.tree, self._targets, architecture)

    def identity(self, architecture: Architecture) -> Hashable:
        """Equal for architectures that are one network: itself, or where there are cells, a key of what they compute.

        Costs may still differ: a cell pays for parts that its output does not need.
        """
        if not self.has_cells:
            return architecture
        if architecture not in self._identities:
            from nasengine.space.isomorphism import network_key  # with networkx: 0.1 s that most commands do not need

            formats = {path: option for path, option in architecture.items() if path.startswith("quantization.")}
            if len(self._identities) >= MOST_IDENTITIES:
                self._identities.clear()
            key = network_key(self.fill(architecture))
            self._identities[architecture] = (key, canonical_json(formats)) if formats else key
        return self._identities[architecture]

    @functools.cached_property
    def has_cells(self) -> bool:
        """Whether a cell stands anywhere, so that different architectures may be one network."""
        return holds_type(self.tree.resolved, "cell")

    @functools.cached_property
    def _identities(self) -> dict[Architecture, Hashable]:
        return {}

    def describe(self) -> dict[str, Any]:
        """The space as plain JSON values, for people and scripts.

        `size` counts all architectures (the part known so far, if `unexpanded` names rules that add formats);
        `feasible_size` those that satisfy the relations, None where constraints or the effort forbid counting.
        """
        feasible: int | str | None
        try:
            feasible = description.describe_size(self.size(feasible=True, architecture_part=True))
        except InputError:
            feasible = None
        return {
            "name": self.name,
            "about": self.about,
            "source": self.source,
            "hash": self.hash,
            "root": self.tree.root_key,
            "task": None if self.task is None else description.describe_task(self.task, self.tree.let),
            "size": description.describe_size(self.size(architecture_part=True)),
            "feasible_size": feasible,
            "choices": description.describe_decisions(self.decisions),
            "constraints": description.describe_bounds(self.constraints),
            "relations": [description.describe_relation(relation) for relation in self.relations],
            "known": description.describe_known(self.known),
            "unexpanded": description.describe_rules(self.unexpanded),
        }
