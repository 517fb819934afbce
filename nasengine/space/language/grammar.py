"""The first pass over a space file: marked YAML to a `SpaceTree`, every breach of the language noted.

What needs torch or the paths of choices (types and arguments, shapes, known architectures, the targets of
`same_as` and of relations) is checked later, with the marks kept here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from nasengine.errors import Mark
from nasengine.space.holes import Choice, MapOf, Node, SpaceTree, Use, Value
from nasengine.space.language.checks import Checks
from nasengine.space.language.expansion import check_expansion
from nasengine.space.language.grammar_counts import check_shared_counts
from nasengine.space.language.grammar_known import read_known
from nasengine.space.language.grammar_nodes import NodeReader
from nasengine.space.language.grammar_proxy import check_proxy
from nasengine.space.language.grammar_quantization import read_quantization
from nasengine.space.language.grammar_relations import read_constraints, read_relations
from nasengine.space.language.grammar_task import read_task
from nasengine.space.language.keys import SPACE
from nasengine.space.language.let import LetEntries, read_let
from nasengine.space.language.yaml import YamlMapping, YamlNode, plain
from nasengine.space.problems import Problems

ROOTS = ("network", "proxy")


def read_space(root: YamlNode, file: str, lines: Mapping[str, tuple[str, ...]]) -> SpaceTree:
    """The tree of a space whose `extends` is already merged.

    Args:
        root: the document.
        file: its name, for messages.
        lines: file name -> source lines, of every file the marks point into.

    Raises:
        InputError: every problem of the file.
    """
    problems = Problems(lines)
    checks = Checks(problems)
    mapping = checks.mapping(root, "the top level", "a mapping with name, task and network")
    problems.check()
    assert mapping is not None
    checks.keys(mapping, "a space", SPACE.names)
    name = _text(mapping, "name", checks, required=True)
    about, source = _text(mapping, "about", checks), _text(mapping, "source", checks)

    let = read_let(mapping.entries["let"], problems) if "let" in mapping.entries else LetEntries()
    entries = {
        key: let.substitute(value, problems)
        for key, value in mapping.entries.items()
        if key not in ("name", "about", "source", "extends", "let", "known")
    }
    let.note_unused(problems)
    reader = NodeReader(problems, let.shared)
    shared = {key: reader.read(value, f"let.{key}") for key, value in let.shared.items()}

    task = read_task(entries["task"], reader) if "task" in entries else None
    root_key = _root(mapping, problems)
    root_node = None if root_key is None else _read_root(root_key, entries[root_key], reader, shared)
    if root_key == "network" and "task" not in entries:
        problems.add("the space has no 'task'", mapping.mark, "expected task: {kind: …, input: [3, 32, 32], …}")
    quantization = read_quantization(entries["quantization"], reader) if "quantization" in entries else ()
    constraints = read_constraints(entries["constraints"], checks) if "constraints" in entries else ()
    relations = read_relations(entries["relations"], checks) if "relations" in entries else ()
    known = read_known(mapping.entries["known"], checks) if "known" in mapping.entries else {}
    check_shared_counts(reader, shared)
    problems.check()
    assert root_key is not None
    assert root_node is not None

    tree = SpaceTree(
        name=name,
        about=about,
        source=source,
        file=file,
        lines=lines,
        root_key=root_key,
        root=root_node,
        task=task,
        let=shared,
        quantization=quantization,
        constraints=constraints,
        relations=relations,
        known=known,
        resolved={key: plain(value) for key, value in mapping.entries.items() if key != "extends"},
    )
    check_expansion(tree, let.order, problems)
    problems.check()
    return tree


def _text(mapping: YamlMapping, key: str, checks: Checks, required: bool = False) -> str:
    if key not in mapping.entries:
        if required:
            checks.has(mapping, "the space", (key,), SPACE.names)
        return ""
    read = checks.name if key == "name" else checks.word
    return read(mapping.entries[key], key) or ""


def _root(mapping: YamlMapping, problems: Problems) -> str | None:
    found = [key for key in ROOTS if key in mapping.entries]
    if len(found) == 2:
        mark: Mark = mapping.key_marks["proxy"]
        problems.add("the space has a network and a proxy", mark, "expected one of the two")
    if not found:
        unknown = [key for key in mapping.entries if key not in SPACE.table]
        if not any(difflib.get_close_matches(root, unknown, n=1) for root in ROOTS):
            problems.add("the space has no 'network'", mapping.mark, "expected a key 'network' (or 'proxy')")
        return None
    return found[0]


def _read_root(key: str, node: YamlNode, reader: NodeReader, shared: Mapping[str, Node]) -> Node:
    read = reader.read(node, key)
    check = check_proxy if key == "proxy" else _check_network
    check(read, shared, reader.problems)
    return read


def _check_network(node: Node, shared: Mapping[str, Node], problems: Problems) -> None:
    """Whatever can come to stand at the root must be a constructor call."""
    match node:
        case MapOf(entries=entries) if "type" in entries:
            pass
        case Choice(options=options, named=True):
            for option in options:
                _check_network(option.node, shared, problems)
        case Use(name=name) if name in shared:
            _check_network(shared[name], shared, problems)
        case Value(value=None):  # a null is written here, or stands for something that is noted already
            if not problems:
                problems.add("the network is empty", node.mark, "expected {type: name, argument: value, …}")
        case MapOf():
            problems.add("the network has no type", node.mark, "expected {type: name, argument: value, …}")
        case _:
            problems.add("the network is no node with a type", node.mark, "expected {type: name, argument: value, …}")
