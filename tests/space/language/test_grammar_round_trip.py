"""Any space that can be written is read as what was written, and is a space one can draw from."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasengine.records import canonical_json
from nasengine.space.holes import (
    HOLE_WORDS,
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    Option,
    Range,
    Repeat,
    SameAs,
    Subset,
    Use,
    Value,
)
from nasengine.space.language.parsing import parse_space
from nasengine.space.language.schema import space_schema
from nasengine.space.space import SearchSpace

# A large space drawn by chance is no fault; the warning is about how long Hypothesis takes to print it.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

VALIDATOR = jsonschema.Draft202012Validator(space_schema())

names = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True).filter(
    lambda name: name not in (*HOLE_WORDS, "type", "present", "weights", "of")
)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=5)
scalars = st.none() | st.booleans() | st.integers(-99, 99) | words | st.floats(-9, 9, width=16)
labels = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,4}", fullmatch=True).filter(lambda label: label not in HOLE_WORDS)
labels = labels.filter(lambda label: label != "present")
options = st.lists(scalars, min_size=1, max_size=4, unique_by=lambda value: value)
ranges = st.builds(
    lambda low, step, count: {"range": [low, low + step * count, step]},
    st.integers(-9, 9),
    st.integers(1, 5),
    st.integers(0, 5),
)
counts = st.integers(1, 3) | st.just({"choice": [0, 2]}) | st.just({"range": [1, 3, 2]})


def holes(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    nodes = st.dictionaries(labels, below, min_size=1, max_size=3)
    chosen = st.builds(lambda of: {"choice": of}, options | nodes)
    weighed = nodes.flatmap(
        lambda of: st.builds(
            lambda weights: {"choice": of, "weights": dict(zip(of, weights, strict=True))},
            st.lists(st.integers(1, 9), min_size=len(of), max_size=len(of)),
        )
    )
    subsets = (options | nodes).flatmap(
        lambda of: st.builds(
            lambda a, b: {"subset": {"of": of, "size": [min(a, b), max(a, b)]}},
            st.integers(0, len(of)),
            st.integers(1, len(of)),
        )
    )
    repeats = st.builds(lambda count, of: {"repeat": count, "of": of}, counts, below)
    optional = st.builds(
        lambda of: {"optional": of}, below.filter(lambda node: node is not None and "optional" not in str(node))
    )
    settings_ = st.dictionaries(names, below, max_size=3)
    calls = st.builds(lambda kind, rest: {"type": kind, **rest}, names.filter(lambda name: name != "cell"), settings_)
    return ranges | chosen | weighed | subsets | repeats | optional | calls | st.lists(below, max_size=3)


nodes = st.recursive(scalars, holes, max_leaves=12)


def written(node: Node) -> Any:
    """The plain values that a node is read from."""
    match node:
        case Value(value=value):
            return value
        case ListOf(items=items):
            return [written(item) for item in items]
        case MapOf(entries=entries):
            return {key: written(entry) for key, entry in entries.items()}
        case Choice(options=options, named=named):
            weights = {str(o.label): int(o.weight) for o in options}
            beside = {} if set(weights.values()) <= {1} else {"weights": weights}
            return {"choice": _listed(options, named), **beside}
        case Range():
            return {"range": [node.low, node.high, node.step]}
        case Subset():
            return {"subset": {"of": _listed(node.items, node.named), "size": [node.low, node.high]}}
        case Repeat(count=count, of=of):
            return {"repeat": written(count), "of": written(of)}
        case Maybe(of=of):
            return {"optional": written(of)}
        case Use(name=name):
            return {"use": name}
        case SameAs():
            return {"same_as": "." * node.up + node.path}


def _listed(options: tuple[Option, ...], named: bool) -> Any:
    if named:
        return {option.label: written(option.node) for option in options}
    return [written(option.node) for option in options]


def without_idle_weights(value: Any) -> Any:
    """Weights that are all one say nothing."""
    if isinstance(value, dict):
        kept = {key: without_idle_weights(below) for key, below in value.items()}
        if "choice" in kept and set(kept.get("weights", {"": 1}).values()) == {1}:
            kept.pop("weights", None)
        return kept
    return [without_idle_weights(below) for below in value] if isinstance(value, list) else value


def in_block_style(value: dict[str, Any]) -> str:
    """YAML with words in double quotes, which PyYAML would leave bare where YAML 1.2 reads numbers."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_representer(str, lambda d, text: d.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True)


@given(nodes)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_space_is_read_as_it_was_written(node):
    space = {
        "name": "drawn",
        "task": {"kind": "image_classification", "input": [3, 8, 8]},
        "network": {"type": "net", "a": node},
    }
    assert VALIDATOR.is_valid(space)
    for text in (json.dumps(space, ensure_ascii=False), in_block_style(space)):
        tree = parse_space(text, "drawn.yaml")
        assert canonical_json(tree.resolved) == canonical_json(space)
        assert canonical_json(written(tree.root)) == canonical_json(without_idle_weights(space["network"]))


@given(nodes, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_whatever_the_grammar_accepts_is_a_space_to_draw_from(node, seed):
    space = {
        "name": "drawn",
        "task": {"kind": "image_classification", "input": [3, 8, 8]},
        "network": {"type": "net", "a": node},
    }
    loaded = SearchSpace(parse_space(json.dumps(space, ensure_ascii=False), "drawn.yaml"))
    architecture = loaded.sample(np.random.default_rng(seed))
    assert loaded.architecture(architecture.to_json()) == architecture
    assert loaded.size() >= 1
