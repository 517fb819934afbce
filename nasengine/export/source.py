"""The source of classes, and of exactly what they need: imports, constants, helper functions and base classes.

Starting from the classes that a network is made of, every global name in their source is followed to the
statement that binds it. Statements of our own modules (and of a user's plug-ins) are copied with the comment
above them; anything else is imported as the original module imports it. Two things of one name, or one thing
under two names, are renamed at the places where the syntax tree says that the name stands.
"""

from __future__ import annotations

import ast
import builtins
import heapq
import importlib
import importlib.abc
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import nn

from nasengine.errors import ExportError
from nasengine.export.literals import INDENT, LINE_LENGTH
from nasengine.export.names import bound_names, global_references


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import name`, or `import module` where name is empty; `alias` is the name it binds."""

    module: str
    name: str
    alias: str

    def write_plain(self) -> str:
        """`import a.b` (which binds a) or `import a.b as alias`."""
        binds_package = self.alias == self.module.partition(".")[0]
        return f"import {self.module}" if binds_package else f"import {self.module} as {self.alias}"

    def write_member(self) -> str:
        """What stands after `from module import`."""
        return self.name if self.alias == self.name else f"{self.name} as {self.alias}"


@dataclass(frozen=True, slots=True)
class _Place:
    """A top-level name of a module of ours."""

    module: str
    name: str


@dataclass(slots=True)
class _Definition:
    """A statement to copy: its text with names replaced, and the definitions that must come before it."""

    text: str
    first: set[_Place] = field(default_factory=set)
    later: set[_Place] = field(default_factory=set)


class _Module:
    """A module's source as lines and as the statements that bind each of its top-level names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: ModuleType = importlib.import_module(name)
        loader = getattr(self.module, "__loader__", None)
        text = loader.get_source(name) if isinstance(loader, importlib.abc.InspectLoader) else None
        if text is None:
            raise ExportError(f"the source of {name} cannot be read, so it cannot be written to model.py")
        self.text = text
        self.lines = [line.encode() for line in self.text.splitlines()]
        self.statements: dict[str, list[ast.stmt]] = {}
        for statement in ast.parse(self.text).body:
            for bound in bound_names(statement):
                self.statements.setdefault(bound, []).append(statement)


class SourceCollector:
    """Gathers what a file must hold so that some classes work in it.

    Args:
        own: the packages whose source is copied; everything else is imported.
        used: the classes of the modules in the network. Entries of a table such as {"basic": BasicBlock}
            are dropped when their class is a module that is not among them.
        reserved: names that the file itself defines.
    """

    def __init__(self, *, own: Iterable[str], used: Iterable[type], reserved: Iterable[str]) -> None:
        self._own = frozenset(own)
        self._used = frozenset(ancestor for cls in used for ancestor in cls.__mro__)
        self._modules: dict[str, _Module] = {}
        self._taken: dict[str, object] = {name: name for name in reserved}  # exported name -> what it stands for
        self._names: dict[_Place, str] = {}
        self._definitions: dict[_Place, _Definition] = {}
        self._imports: dict[Import, None] = {}
        self._copied: set[tuple[str, int]] = set()

    def require(self, statement: Import) -> None:
        """Have the file import something, under this very name.

        Raises:
            ExportError: the name is taken.
        """
        thing = _imported(statement)
        if self._taken.setdefault(statement.alias, thing) is not thing:
            raise ExportError(f"the name {statement.alias!r} is needed for {statement.module}, but it is taken")
        self._imports[statement] = None

    def add(self, target: Callable[..., Any]) -> str:
        """Gather a class or function and what it needs; returns the expression that names it in the file.

        Raises:
            ExportError: it has no source of its own (a lambda, a class made at run time).
        """
        outer, _, rest = target.__qualname__.partition(".")
        if "<" in target.__qualname__ or getattr(sys.modules.get(target.__module__), outer, None) is None:
            raise ExportError(f"{target.__module__}.{target.__qualname__} is not a top-level class or function")
        if self._is_own(target.__module__):
            name = self._name_of(_Place(target.__module__, outer))
        elif getattr(nn, target.__name__, None) is target:
            self.require(Import("torch", "nn", "nn"))
            name = f"nn.{outer}"
        else:
            name = self._import(Import(target.__module__, outer, outer))
        return f"{name}.{rest}" if rest else name

    def imports(self) -> str:
        """The import block, sorted as ruff sorts it."""
        return write_imports(self._imports)

    def packages(self) -> set[str]:
        """The packages imported, those of the standard library left out."""
        return {statement.module.partition(".")[0] for statement in self._imports} - sys.stdlib_module_names

    def definitions(self) -> list[str]:
        """The copied statements, each after those it needs at once and otherwise from small to large."""
        order = {place: number for number, place in enumerate(self._smallest_first())}
        waiting = {place: {p for p in self._definitions[place].first if p in order} for place in order}
        ready = [(order[place], place) for place, needs in waiting.items() if not needs]
        heapq.heapify(ready)
        ordered: list[str] = []
        while ready:
            _, done = heapq.heappop(ready)
            ordered.append(self._definitions[done].text)
            for place, needs in waiting.items():
                if done in needs:
                    needs.remove(done)
                    if not needs:
                        heapq.heappush(ready, (order[place], place))
        return [text for text in ordered if text]

    def _smallest_first(self) -> list[_Place]:
        finished: dict[_Place, None] = {}
        entered: set[_Place] = set()

        def visit(place: _Place) -> None:
            if place in entered:
                return
            entered.add(place)
            definition = self._definitions[place]
            for needed in [*sorted(definition.first, key=str), *sorted(definition.later, key=str)]:
                visit(needed)
            finished[place] = None

        for place in list(self._definitions):
            visit(place)
        return list(finished)

    def _is_own(self, module: str) -> bool:
        return module.partition(".")[0] in self._own

    def _module(self, name: str) -> _Module:
        if name not in self._modules:
            self._modules[name] = _Module(name)
        return self._modules[name]

    def _name_of(self, place: _Place) -> str:
        """The exported name of a top-level name of ours, its definition gathered the first time."""
        if place not in self._names:
            self._names[place] = self._free_name(place.name, place.module, place)
            self._definitions[place] = _Definition("")
            self._definitions[place] = self._define(place)
        return self._names[place]

    def _free_name(self, wanted: str, module: str, thing: object) -> str:
        candidates = [wanted, f"{wanted}_{module.rpartition('.')[2]}", *(f"{wanted}_{n}" for n in range(2, 100))]
        name = next(name for name in candidates if self._taken.get(name, thing) is thing)
        self._taken[name] = thing
        return name

    def _import(self, statement: Import) -> str:
        thing = _imported(statement)
        alias = self._free_name(statement.alias, statement.module, thing)
        self._imports[Import(statement.module, statement.name, alias)] = None
        return alias

    def _define(self, place: _Place) -> _Definition:
        module = self._module(place.module)
        definition = _Definition("")
        texts = []
        for statement in module.statements[place.name]:
            if (place.module, statement.lineno) in self._copied:  # it binds another name too, and came with that
                continue
            self._copied.add((place.module, statement.lineno))
            statement, text = self._without_unused(statement, module)
            texts.append(self._copy(statement, text, place, definition))
        definition.text = "\n".join(texts)
        return definition

    def _copy(self, statement: ast.stmt, text: _Text, place: _Place, definition: _Definition) -> str:
        module = self._module(place.module)
        for reference in global_references(statement):
            name = reference.node.id
            found = self._resolve(module, name)
            if found is None:
                continue
            if isinstance(found, _Place):
                exported = self._name_of(found)
                if found != place:
                    (definition.first if reference.immediate else definition.later).add(found)
            else:
                exported = self._import(found)
            if exported != name:
                text.replace(reference.node, name, exported)
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef)) and self._names[place] != statement.name:
            text.rename_definition(statement, self._names[place])
        return text.write()

    def _resolve(self, module: _Module, name: str) -> _Place | Import | None:
        """What a global name of a module stands for: a statement of ours, an import, or a builtin (None)."""
        if name not in module.statements:
            if hasattr(builtins, name) or name in ("__name__", "__file__"):
                return None
            raise ExportError(f"model.py cannot say where {module.name} has the name {name!r} from (a star import?)")
        statement = module.statements[name][-1]
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.asname == name or (not alias.asname and alias.name.partition(".")[0] == name):
                    self._refuse_own_module(module, alias.name)
                    return Import(alias.name, "", name)
        if isinstance(statement, ast.ImportFrom):
            origin = self._origin(statement, module)
            original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
            if not self._is_own(origin):
                return Import(origin, original, name)
            if original not in self._module(origin).statements:
                self._refuse_own_module(module, f"{origin}.{original}")
            return self._resolve(self._module(origin), original) or _Place(origin, original)
        return _Place(module.name, name)

    def _origin(self, statement: ast.ImportFrom, module: _Module) -> str:
        package = module.module.__package__ or ""
        return importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)

    def _refuse_own_module(self, module: _Module, imported: str) -> None:
        if self._is_own(imported):
            raise ExportError(
                f"{module.name} imports the module {imported}; model.py can only hold the names of a module: "
                f"write `from {imported} import …`"
            )

    def _without_unused(self, statement: ast.stmt, module: _Module) -> tuple[ast.stmt, _Text]:
        """Drop from a table of module classes those that the network has no instance of."""
        text = _Text(statement, module)
        if not (isinstance(statement, (ast.Assign, ast.AnnAssign)) and isinstance(statement.value, ast.Dict)):
            return statement, text
        table = statement.value
        kept = [n for n, value in enumerate(table.values) if not self._is_unused(value, module)]
        if len(kept) == len(table.values) or None in table.keys:
            return statement, text
        entries = [(table.keys[n], table.values[n]) for n in kept]
        pairs = [
            f"{ast.get_source_segment(module.text, key)}: {ast.get_source_segment(module.text, value)}"
            for key, value in entries
            if key is not None
        ]
        target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
        start = f"{ast.unparse(target)} = "  # an annotation would name the classes that are gone
        line = f"{start}{{{', '.join(pairs)}}}"
        if len(line) > LINE_LENGTH:
            line = "\n".join([f"{start}{{", *(f"{INDENT}{pair}," for pair in pairs), "}"])
        return ast.parse(line).body[0], _Text.of(line, comment=text.comment)

    def _is_unused(self, value: ast.expr, module: _Module) -> bool:
        if not isinstance(value, ast.Name):
            return False
        thing = getattr(module.module, value.id, None)
        is_module = isinstance(thing, type) and issubclass(thing, nn.Module) and self._is_own(thing.__module__)
        return is_module and thing not in self._used


class _Text:
    """The lines of a statement, with the comment above it, in which names can be replaced."""

    def __init__(self, statement: ast.stmt, module: _Module) -> None:
        decorators = getattr(statement, "decorator_list", [])
        self.start = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        self.lines = module.lines[self.start - 1 : statement.end_lineno]
        above = self.start - 1
        while above and module.lines[above - 1].startswith(b"#"):
            above -= 1
        self.comment = module.lines[above : self.start - 1]
        self.changes: list[tuple[int, int, int, bytes]] = []

    @classmethod
    def of(cls, text: str, *, comment: list[bytes]) -> _Text:
        made = cls.__new__(cls)
        made.start, made.lines, made.comment, made.changes = (
            1,
            [line.encode() for line in text.split("\n")],
            comment,
            [],
        )
        return made

    def replace(self, node: ast.Name, old: str, new: str) -> None:
        line = node.lineno - self.start
        end = node.end_col_offset or 0
        if self.lines[line][node.col_offset : end] != old.encode():  # inside an f-string, before Python 3.12
            raise ExportError(f"the name {old!r} would have to be {new!r} in model.py, but it stands in an f-string")
        self.changes.append((line, node.col_offset, end, new.encode()))

    def rename_definition(self, statement: ast.ClassDef | ast.FunctionDef, new: str) -> None:
        line = statement.lineno - self.start
        found = re.compile(rb"(?:class|def)\s+(\w+)").match(self.lines[line], statement.col_offset)
        assert found is not None
        self.changes.append((line, found.start(1), found.end(1), new.encode()))

    def write(self) -> str:
        lines = list(self.lines)
        for line, start, end, new in sorted(set(self.changes), reverse=True):
            lines[line] = lines[line][:start] + new + lines[line][end:]
        return "\n".join(line.decode() for line in [*self.comment, *lines])


def write_imports(statements: Iterable[Import]) -> str:
    """Import statements in ruff's order: the standard library, then the rest; `import` before `from`."""
    sections: dict[bool, list[Import]] = {True: [], False: []}
    for statement in statements:
        sections[statement.module.partition(".")[0] in sys.stdlib_module_names].append(statement)
    return "\n\n".join(_write_section(section) for section in (sections[True], sections[False]) if section)


def _write_section(statements: list[Import]) -> str:
    plain = sorted(statement.write_plain() for statement in statements if not statement.name)
    members: dict[tuple[str, str], set[str]] = {}
    for statement in statements:
        if statement.name:  # `from x import a as b` stands on a line of its own
            key = (statement.module, statement.name if statement.alias != statement.name else "")
            members.setdefault(key, set()).add(statement.write_member())
    return "\n".join(plain + [_write_from(module, names) for (module, _), names in sorted(members.items())])


def _write_from(module: str, names: set[str]) -> str:
    ordered = sorted(names, key=lambda name: (_kind_of(name), name.lower(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE_LENGTH:
        return line
    return "\n".join([f"from {module} import (", *(f"{INDENT}{name}," for name in ordered), ")"])


def _kind_of(name: str) -> int:
    """Constants, then classes, then the rest."""
    return 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2


def _imported(statement: Import) -> object:
    """The thing that an import binds, by which two imports are known to be the same."""
    module = importlib.import_module(statement.module)
    if not statement.name:
        package = statement.module.partition(".")[0]
        return sys.modules[package] if statement.alias == package else module
    if hasattr(module, statement.name):
        return getattr(module, statement.name)
    return importlib.import_module(f"{statement.module}.{statement.name}")
