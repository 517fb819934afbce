"""`extends:`: a JSON merge patch (RFC 7396) on another space, with every mark pointing into the file it came from.

Mappings merge, lists and scalars replace, null deletes. The base is a file of the same folder, or a shipped space.
Stricter than the RFC: a null that has nothing to delete is refused, since it is a misspelt key, or was meant to be the
value null, which a patch cannot express.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

from nasengine.errors import InputError, Mark, nearest, one_of
from nasengine.space.language.yaml import (
    MAX_DEPTH,
    MAX_NODES,
    YamlMapping,
    YamlNode,
    YamlScalar,
    parse_document,
    read_text,
)
from nasengine.space.problems import Problems

MAX_CHAIN = 16


def merge(base: YamlNode | None, patch: YamlNode) -> YamlNode:
    """Apply a merge patch (RFC 7396, section 2)."""
    if not isinstance(patch, YamlMapping):
        return patch
    entries: dict[str, YamlNode] = dict(base.entries) if isinstance(base, YamlMapping) else {}
    marks: dict[str, Mark] = dict(base.key_marks) if isinstance(base, YamlMapping) else {}
    for key, value in patch.entries.items():
        if isinstance(value, YamlScalar) and value.value is None:
            entries.pop(key, None)
            marks.pop(key, None)
        else:
            entries[key] = merge(entries.get(key), value)
            marks[key] = patch.key_marks[key]
    return YamlMapping(entries, patch.mark, marks)


def note_idle_deletions(base: YamlNode | None, patch: YamlNode, problems: Problems) -> None:
    """Note each null of a patch below whose key the base has nothing."""
    if not isinstance(patch, YamlMapping):
        return
    there = base.entries if isinstance(base, YamlMapping) else {}
    for key, value in patch.entries.items():
        if not (isinstance(value, YamlScalar) and value.value is None):
            note_idle_deletions(there.get(key), value, problems)
        elif key not in there:
            hint = f"in a file that extends another, null deletes what it inherits{nearest(key, there)}"
            problems.add(f"there is no {key!r} to delete", patch.key_marks[key], hint)


def resolve_extends(
    root: YamlNode, file: str, lines: dict[str, tuple[str, ...]], shipped: Callable[[], Mapping[str, Path]]
) -> YamlNode:
    """The document with everything it extends merged in, and without the key `extends`.

    Args:
        root: the document of `file`.
        file: its path; bases are looked for in its folder.
        lines: file name -> source lines; the lines of each base are added.
        shipped: gives name -> path of the shipped spaces.

    Raises:
        InputError: a base that is missing, outside the folder, broken, or extends its own descendant.
    """
    if not isinstance(root, YamlMapping) or "extends" not in root.entries:
        return root
    problems = Problems(lines)
    chain = _read_chain(root, Path(file), lines, shipped, problems)
    merged: YamlNode = chain[-1]
    for patch in map(_without_extends, reversed(chain[:-1])):
        note_idle_deletions(merged, patch, problems)
        merged = merge(merged, patch)
        if merged.size > MAX_NODES or merged.depth > MAX_DEPTH:
            problems.add(f"with what it extends, the space is larger than {MAX_NODES:,} values", patch.mark)
            problems.check()
    problems.check()
    return merged


def _without_extends(node: YamlMapping) -> YamlMapping:
    entries = {key: value for key, value in node.entries.items() if key != "extends"}
    return YamlMapping(entries, node.mark, {key: node.key_marks[key] for key in entries})


def _read_chain(
    root: YamlMapping,
    path: Path,
    lines: dict[str, tuple[str, ...]],
    shipped: Callable[[], Mapping[str, Path]],
    problems: Problems,
) -> list[YamlMapping]:
    """The document and all that it extends, nearest first; what goes wrong on the way ends it."""
    chain = [root]
    seen = [_identity(path)]
    while "extends" in chain[-1].entries:
        target = chain[-1].entries["extends"]
        base = _find(target, path, shipped, problems)
        problems.check()
        assert base is not None
        identity = _identity(base)
        if identity in seen:
            names = [Path(other).name for other in (*seen[seen.index(identity) :], identity)]
            problems.add(f"spaces extend each other in a circle: {' extends '.join(names)}", target.mark)
        elif len(seen) > MAX_CHAIN:
            problems.add(f"more than {MAX_CHAIN} spaces extend one another", target.mark)
        problems.check()
        document = _read_base(base, target, lines, problems)
        if not isinstance(document, YamlMapping):
            problems.add("the space that is extended is no mapping", document.mark, "expected name, task and network")
            problems.check()
        assert isinstance(document, YamlMapping)
        chain.append(document)
        seen.append(identity)
        path = base
    return chain


def _read_base(base: Path, target: YamlNode, lines: dict[str, tuple[str, ...]], problems: Problems) -> YamlNode:
    """The document of a base; a problem without a place (an unreadable file) is one of the line that names it."""
    try:
        parsed = parse_document(read_text(base), str(base))
    except InputError as error:
        placed = [problem for problem in error.problems if problem.mark is not None]
        for problem in error.problems:
            if problem.mark is None:
                problems.add(problem.message, target.mark, problem.expected)
        raise InputError([*placed, *problems.found]) from error
    lines[str(base)] = parsed.lines
    return parsed.documents[0]


def _identity(path: Path) -> str:
    try:
        return str(path.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of symbolic links, a name no file system takes
        return str(path)


def _find(target: YamlNode, path: Path, shipped: Callable[[], Mapping[str, Path]], problems: Problems) -> Path | None:
    """The file that `extends` names, or None after noting why there is none."""
    expected = "expected the name of a shipped space, or of a file in the same folder"
    word = target.value if isinstance(target, YamlScalar) else None
    if not isinstance(word, str) or not word:
        problems.add("extends is no name", target.mark, expected)
        return None
    if any(character in word for character in "/\\:~\0") or word.startswith(".") or len(word) > 200:
        problems.add(f"extends {word!r} leads out of the file's folder", target.mark, expected)
        return None
    folder = path.parent
    candidates = [word] if word.endswith((".yaml", ".yml")) else [f"{word}.yaml", f"{word}.yml"]
    for candidate in candidates:
        found = folder / candidate
        try:
            if not found.is_file():
                continue
            inside = found.resolve().parent == folder.resolve()
        except (OSError, RuntimeError, ValueError):
            continue
        if not inside:
            problems.add(f"extends {word!r} is a link out of the file's folder", target.mark, expected)
            return None
        return found
    known = shipped()
    if word in known:
        return known[word]
    names = {*known, *_neighbours(folder, path)}
    hint = f"{expected}: {one_of(names)}{nearest(word, names)}" if names else expected
    problems.add(f"there is no space {word!r} to extend", target.mark, hint)
    return None


def _neighbours(folder: Path, path: Path) -> list[str]:
    try:
        found = itertools.islice((other for other in folder.glob("*.y*ml") if other.name != path.name), 200)
        return sorted(other.stem for other in found)
    except OSError:
        return []
