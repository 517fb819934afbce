"""Tables of named things, one way to look a name up, and one way for a plug-in to add to them.

A table is a plain dictionary in the package that owns its entries, so it can be read at a glance and
its order is the order of listings. Nothing registers itself on import. A plug-in is a Python module
named with `--plugin MODULE`; it may define

    NASENGINE = {"block": {"my_block": MyBlock}, "algorithm": {"my_algorithm": MyAlgorithm}}

and its classes may then also be named in YAML as `type: package.module:Class`.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nasengine.errors import InputError, Problem, UnknownNameError, nearest, one_of

Entry = TypeVar("Entry")

_allowed: set[str] = set()


def allow_modules(modules: Iterable[str]) -> None:
    """Let YAML name classes of these Python modules, and of the modules inside them, by `type: module:Class`."""
    _allowed.update(modules)


def allowed_modules() -> frozenset[str]:
    """The modules allowed so far in this process."""
    return frozenset(_allowed)


def expected_in(table: Iterable[str], name: str) -> str:
    """What would be right where `name` is in no table that plug-ins may add to."""
    return f"expected {one_of(table, limit=40)}, or your own by --plugin MODULE{nearest(name, table)}"


def look_up(table: Mapping[str, Entry], name: str, kind: str) -> Entry:
    """The entry called `name`.

    Raises:
        UnknownNameError: no such entry; the message lists the valid names and the nearest one.
    """
    if name in table:
        return table[name]
    raise UnknownNameError(
        Problem(f"unknown {kind} {name!r}", expected=f"expected {one_of(table)}{nearest(name, table)}")
    )


def import_module(name: str) -> types.ModuleType:
    """A module that the user named.

    Raises:
        InputError: there is none, or its code fails, in whatever way; or the name is that of a file.
    """
    if "/" in name or name.endswith(".py"):
        module = ".".join(Path(name.removesuffix(".py")).parts)
        raise InputError(Problem(f"{name!r} is a file, not a module", expected=f"write --plugin {module}"))
    try:
        return importlib.import_module(name)
    except Exception as error:  # not only ImportError: the module's own code runs
        raise InputError(f"the module {name!r} cannot be imported: {type(error).__name__}: {error}") from error


def folders_of(modules: Iterable[str]) -> tuple[str, ...]:
    """Where imported modules were found, for another process to find them; what is installed needs no folder."""
    files = (getattr(sys.modules[name.partition(".")[0]], "__file__", None) for name in modules)
    paths = [Path(file).resolve() for file in files if file is not None]
    folders = [path.parents[1] if path.name == "__init__.py" else path.parent for path in paths]
    installed = {"site-packages", "dist-packages"}
    return tuple(dict.fromkeys(str(folder) for folder in folders if installed.isdisjoint(folder.parts)))


def find_modules_in(folders: Iterable[str]) -> None:
    """Let modules be found in these folders too; last, so that a file there hides no installed package."""
    sys.path.extend(folder for folder in folders if folder not in sys.path)


@dataclass(frozen=True, slots=True)
class PluginKind:
    """What a plug-in may add under one word of its `NASENGINE`.

    Args:
        table: where it goes.
        what: it is, for messages: "a class with the methods ask and tell".
        methods: that a class must have; a function that makes such an object may stand in its place.
        base: class that it must be derived from, and no function then.
    """

    table: MutableMapping[str, Any]
    what: str
    methods: tuple[str, ...] = ()
    base: type | None = None

    def fits(self, entry: object) -> bool:
        """Whether an entry can be of this kind."""
        if not isinstance(entry, type):
            return self.base is None and callable(entry)
        has = {name for parent in entry.__mro__ for name in vars(parent)}
        return has.issuperset(self.methods) and (self.base is None or issubclass(entry, self.base))


def load_plugins(modules: Iterable[str], kinds: Mapping[str, PluginKind]) -> None:
    """Import each plug-in module, allow its classes in YAML, and add what its `NASENGINE` dictionary declares.

    Loading the same module twice is harmless, since workers load what the driver has loaded.

    Args:
        modules: importable module names, as given with `--plugin`.
        kinds: what it may declare, for example {"algorithm": PluginKind(ALGORITHMS, …)}.

    Raises:
        InputError: the module cannot be imported, declares something else than a dictionary of dictionaries, names
            an unknown kind, declares what is not of its kind, or takes a name that is taken; nothing of that module
            is added then.
    """
    for module_name in modules:
        allow_modules([module_name])
        declared = getattr(import_module(module_name), "NASENGINE", {})
        if not (isinstance(declared, Mapping) and all(isinstance(entries, Mapping) for entries in declared.values())):
            expected = "expected {kind: {name: thing}}"
            raise InputError(Problem(f"NASENGINE of the plug-in {module_name!r} is {declared!r}", expected=expected))
        for kind, name, entry in tuple(_checked(declared, module_name, kinds)):
            kinds[kind].table[name] = entry


def _checked(
    declared: Mapping[str, Mapping[str, Any]], module_name: str, kinds: Mapping[str, PluginKind]
) -> Iterator[tuple[str, str, Any]]:
    """(kind, name, entry) of everything that a plug-in declares."""
    for kind, entries in declared.items():
        about = look_up(kinds, kind, f"plug-in kind in {module_name}.NASENGINE")
        for name, entry in entries.items():
            if not isinstance(name, str) or not about.fits(entry):
                found = f"plug-in {module_name!r} adds the {kind} {name!r}, which is {entry!r}"
                raise InputError(Problem(found, expected=f"expected {about.what}, under a name"))
            if about.table.get(name, entry) is not entry:
                raise InputError(f"plug-in {module_name!r} adds the {kind} {name!r}, but that name is taken")
            yield kind, name, entry
