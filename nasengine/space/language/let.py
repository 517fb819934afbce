"""`let:` and `{use: name}`: a plain value is substituted where it is used, one with holes stays a shared decision.

Works on marked YAML before any hole is read, so a substituted list may stand wherever a list may
(`choice: {use: inputs}`) and its marks keep pointing to where it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nasengine.errors import Mark, nearest, one_of
from nasengine.space.holes import HOLE_WORDS
from nasengine.space.language.checks import NAME, Checks
from nasengine.space.language.yaml import MAX_DEPTH, MAX_NODES, YamlMapping, YamlNode, YamlScalar, YamlSequence, walk
from nasengine.space.problems import Problems

MAX_SHOWN = 8  # names of a circle in a message


def used_name(node: YamlNode) -> str | None:
    """The name in `{use: name}`, or None for any other node."""
    if isinstance(node, YamlMapping) and len(node.entries) == 1 and "use" in node.entries:
        target = node.entries["use"]
        if isinstance(target, YamlScalar) and isinstance(target.value, str):
            return target.value
    return None


def _uses(node: YamlNode) -> Iterable[str]:
    for below in walk(node):
        name = used_name(below)
        if name is not None:
            yield name


def _is_hole(node: YamlNode) -> bool:
    return isinstance(node, YamlMapping) and any(key in HOLE_WORDS and key != "use" for key in node.entries)


@dataclass(slots=True)
class LetEntries:
    """The entries of one `let:` mapping.

    Args:
        plain: name -> value without holes, all uses in it substituted.
        shared: name -> value with holes, in the order of the file; uses of plain entries in it substituted.
        marks: name -> where it is written.
        order: the names of `shared`, each after those it uses.
        used: names met in a `use` so far.
    """

    plain: dict[str, YamlNode] = field(default_factory=dict)
    shared: dict[str, YamlNode] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    used: set[str] = field(default_factory=set)

    def substitute(self, node: YamlNode, problems: Problems) -> YamlNode:
        """The node with every use of a plain entry replaced by its value; unknown names are noted."""
        done: dict[int, YamlNode] = {}

        def replaced(node: YamlNode) -> YamlNode:
            if id(node) in done:
                return done[id(node)]
            made = node
            name = used_name(node)
            if name is not None:
                self.used.add(name)
                if name in self.plain:
                    made = self.plain[name]
                elif name not in self.shared:
                    known = self.marks
                    there = f"expected {one_of(known)}{nearest(name, known)}" if known else "this file has no let:"
                    problems.add(f"no entry {name!r} under let", node.mark, there)
                    made = YamlScalar(None, node.mark)
            elif isinstance(node, YamlSequence):
                items = tuple(replaced(item) for item in node.items)
                if any(new is not old for new, old in zip(items, node.items, strict=True)):
                    made = YamlSequence(items, node.mark)
            elif isinstance(node, YamlMapping):
                entries = {key: replaced(value) for key, value in node.entries.items()}
                if any(new is not old for new, old in zip(entries.values(), node.entries.values(), strict=True)):
                    made = YamlMapping(entries, node.mark, node.key_marks)
            if made is not node and (made.depth > MAX_DEPTH or made.size > MAX_NODES):
                problems.add(
                    f"with its uses of let substituted, this value is nested deeper than {MAX_DEPTH} "
                    f"or has more than {MAX_NODES:,} values",
                    node.mark,
                )
                made = YamlScalar(None, node.mark)
            done[id(node)] = made
            return made

        return replaced(node)

    def note_unused(self, problems: Problems) -> None:
        """An entry that nothing uses is nearly always a misspelt name."""
        for name, mark in self.marks.items():
            if name not in self.used:
                problems.add(
                    f"nothing uses let.{name}",
                    mark,
                    f"expected {{use: {name}}} somewhere; delete the entry if it is not needed",
                )


def read_let(node: YamlNode, problems: Problems) -> LetEntries:
    """Sort the entries of `let:` into plain and shared ones, and substitute plain ones in each other.

    Notes: a name that is not a name, a use of itself through any number of others.
    """
    entries = LetEntries()
    mapping = Checks(problems).mapping(node, "let", "a mapping of names to values")
    if mapping is None:
        return entries
    entries.marks = mapping.key_marks
    for name, mark in mapping.key_marks.items():
        if not NAME.fullmatch(name):
            problems.add(f"{name!r} is no name for an entry of let", mark, "expected letters, digits, _ and -")
    uses = {name: tuple(_uses(value)) for name, value in mapping.entries.items()}
    order = _in_order(uses, mapping, problems)
    shared = {name for name, value in mapping.entries.items() if any(_is_hole(below) for below in walk(value))}
    for name in order:
        if name in shared or any(used in shared for used in uses[name]):
            shared.add(name)
    for name, value in mapping.entries.items():
        if name not in order:  # part of a circle, which is noted: read as nothing
            entries.plain[name] = YamlScalar(None, value.mark)
            entries.used.add(name)
        elif name in shared:
            entries.shared[name] = value
    for name in order:
        value = entries.substitute(mapping.entries[name], problems)
        (entries.shared if name in shared else entries.plain)[name] = value
    entries.order = tuple(name for name in order if name in shared)
    return entries


def _in_order(uses: Mapping[str, tuple[str, ...]], mapping: YamlMapping, problems: Problems) -> dict[str, None]:
    """The names, each after those it uses; what is part of a cycle, or uses one, is left out and noted."""
    waiting_for = {name: {used for used in used_names if used in uses} for name, used_names in uses.items()}
    users: dict[str, list[str]] = {name: [] for name in uses}
    for name, used_names in waiting_for.items():
        for used in used_names:
            users[used].append(name)
    ready = [name for name, used_names in waiting_for.items() if not used_names]
    order: dict[str, None] = {}
    while ready:
        name = ready.pop()
        order[name] = None
        for user in users[name]:
            waiting_for[user].discard(name)
            if not waiting_for[user]:
                ready.append(user)
    seen: dict[str, None] = {}
    for name in uses:
        if name not in order:
            circle = _circle(name, waiting_for, seen)
            shown = " uses ".join([*circle[:MAX_SHOWN], *(["…"] if len(circle) > MAX_SHOWN else []), *circle[:1]])
            if circle:
                problems.add(f"entries of let use each other in a circle: {shown}", mapping.key_marks[circle[0]])
    return order


def _circle(start: str, waiting_for: Mapping[str, set[str]], seen: dict[str, None]) -> list[str]:
    """Follow what is waited for until a name comes again; nothing if that is one `seen` on an earlier way."""
    path: dict[str, None] = {}
    name = start
    while name not in path and name not in seen:
        path[name] = None
        name = min(waiting_for[name])
    seen.update(path)
    names = list(path)
    return names[names.index(name) :] if name in path else []
