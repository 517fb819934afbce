"""Writes docs/reference/ from the tables that nasengine itself uses: run it after adding a key, a type or an argument.

python docs/make_reference.py [FOLDER]

The pages of the two languages are their JSON Schemas in words, and those are made from the tables of the checker; the
pages of types are the tables of types with the signatures and docstrings of their entries.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nasengine.costs import COSTS
from nasengine.data import DATASETS
from nasengine.evaluators import PLUGIN_KINDS
from nasengine.evaluators.tabular import keys as tabular
from nasengine.execution import EXECUTORS
from nasengine.networks import NETWORK_TYPES
from nasengine.search.language.components import strategy_arguments
from nasengine.search.language.schema import strategy_schema
from nasengine.search.language.tables import PLAIN_TRAINER, built_tables
from nasengine.space.language.arguments import Argument, arguments_of, summary
from nasengine.space.language.keys import Keys
from nasengine.space.language.schema import space_schema
from nasengine.tasks import TASKS

FOLDER = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/make_reference.py from the tables that nasengine itself uses; do not edit. -->\n"
CITATION = re.compile(r"\[([A-Z][A-Za-z0-9]*)\]")
FILE = "the file"
KEY_HEAD = "| key | value | unless given | meaning |\n|---|---|---|---|\n"

SPACE_SECTIONS = {
    "node": "value",
    **{word: word for word in ("choice", "range", "subset", "repeat", "optional", "use", "same_as")},
    "call": "call",
    "cell": "cell",
    "task": "task",
    "rule": "quantization rule",
    "bounds": "bounds",
    "order": "order",
    "sum": "sum",
    "known_architecture": "known architecture",
    "proxy": "proxy",
    "branch": "branch",
}
TABLES = {
    FILE: tabular.TABLE,
    "join": tabular.JOIN,
    "architecture by code": tabular.CODE,
    "architecture by json": tabular.JSON,
    "architecture by columns": tabular.COLUMNS,
    "measurement": tabular.MEASUREMENT,
}
STRATEGY_SECTIONS = {"search_phase": "search phase", "retrain_phase": "retrain phase", "prepare_phase": "prepare phase"}

SPACE_HEAD = """# Reference of the space language

Each kind of mapping that a space file may hold, with all its keys. [The guide](../space_language.md) says what they are
for and has examples. Keys in bold must be there. `{use: name}` of an entry of `let` may stand for any value but `name`,
`about`, `source`, `extends`, `let` and `known`. What `type:` may name: [network types](network_types.md); tasks and
costs: [types](types.md).
"""
STRATEGY_HEAD = """# Reference of the strategy language

Each kind of mapping that a strategy file may hold, with all its keys. [The guide](../strategy_language.md) says what
they are for and has examples. Keys in bold must be there. What `type:` may name: [types](types.md).
"""
TABLE_HEAD = """# Reference of table descriptions

A table evaluator (`evaluator: {type: table, file: my_table.yaml}`) looks up what was measured before. A CSV file whose
columns are called as the choices of the space and the metrics of the task needs no description; any other has one in
YAML, with these keys. Keys in bold must be there. `nasengine compare --table` takes the same files.
"""
TYPES_HEAD = """# Types

What a strategy, a space or the command line may name, kind by kind. Arguments in bold must be given. A kind in brackets
is the word under which a plug-in adds its own: `NASENGINE = {kind: {name: thing}}`, see
[the tutorial](../tutorials/add_your_own_module.md).
"""
NETWORK_HEAD = """# Network types

What `type:` may name in a space of networks; any argument may be a hole. Arguments in bold must be given, unless they
are [inferred](../network_types.md#what-need-not-be-written). A type of your own:
[the tutorial](../tutorials/add_your_own_module.md).
"""


def pages() -> dict[str, str]:
    """File name -> its text."""
    return {
        "space_language.md": language_page(SPACE_HEAD, space_top(), space_schema()["$defs"], SPACE_SECTIONS),
        "strategy_language.md": language_page(
            STRATEGY_HEAD, strategy_schema(), strategy_schema()["$defs"], STRATEGY_SECTIONS
        ),
        "table_descriptions.md": "\n".join([TABLE_HEAD, WRITTEN, *map(key_section, TABLES, TABLES.values())]),
        "types.md": "\n".join([TYPES_HEAD, WRITTEN, *type_sections()]),
        "network_types.md": "\n".join(
            [NETWORK_HEAD, WRITTEN, *(entry(name, type_) for name, type_ in NETWORK_TYPES.items())]
        ),
    }


# ── languages ──────────────────────────────────────────────────────────────────────────────────────────────────────


def space_top() -> dict[str, Any]:
    """The outermost mapping of a space, which the schema describes in two parts: with and without `extends`."""
    schema = space_schema()
    properties = {**schema["properties"], **schema["$defs"]["whole"]["properties"]}
    return {"description": schema["description"], "properties": properties, "required": ["name"]}


def language_page(head: str, top: Mapping[str, Any], defs: Mapping[str, Any], sections: Mapping[str, str]) -> str:
    """One language: its outermost mapping, then each kind of mapping in it."""
    schemas = {FILE: top} | {title: defs[name] for name, title in sections.items()}
    return "\n".join([head, WRITTEN, *(section(title, schema, defs, sections) for title, schema in schemas.items())])


def section(title: str, schema: Mapping[str, Any], defs: Mapping[str, Any], sections: Mapping[str, str]) -> str:
    """A heading, what the mapping is, and its keys."""
    about, words = schema["description"].rstrip("."), Words(defs, sections)
    text = f"## {title}\n\n{about[0].upper()}{about[1:]}.\n"
    if title == sections.get("node"):
        holes = [words(case["then"]) for case in defs["mapping"]["allOf"] if "required" in case["if"]]
        return f"{text}\nHoles: {', '.join(holes)}. Other mappings: {words(defs['mapping']['allOf'][-1]['else'])}.\n"
    found = [
        f"| {key} | {cell(words(value))} | {default(value)} | {cell(value['description'])} |\n"
        for key, value in rows(schema)
        if "description" in value and (title == FILE or not key.startswith("`data."))  # said once, of the file
    ]
    return f"{text}\n{KEY_HEAD}{''.join(found)}"


def key_section(title: str, keys: Keys) -> str:
    """A heading, what the mapping is, and its keys, of a language that has no schema."""
    found = "".join(
        f"| {f'**`{name}`**' if key.required else f'`{name}`'} | {default(key.schema())} | {cell(key.about)} |\n"
        for name, key in keys.table.items()
    )
    about = f"{keys.about[0].upper()}{keys.about[1:]}."
    return f"## {title}\n\n{about}\n\n| key | unless given | meaning |\n|---|---|---|\n{found}"


def rows(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The keys of a mapping, those of mappings right below it with dots."""
    for key, value in schema.get("properties", {}).items():
        name = f"`{prefix}{key}`"
        yield f"**{name}**" if key in schema.get("required", ()) else name, value
        for below in (value, *value.get("anyOf", ())):
            if not is_short(below):
                yield from rows(below, f"{prefix}{key}.")
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        if "description" in others:
            yield "any other", others
        for below in others.get("anyOf", ()):
            yield from rows(below, f"{prefix}NAME.")


def is_short(schema: Mapping[str, Any]) -> bool:
    """Whether it is a mapping of one key, which is shown where it stands."""
    return len(schema.get("properties", ())) == 1 and "required" in schema and "type" not in schema["properties"]


class Words:
    """What a schema says of a value, in words.

    Args:
        defs: the parts that `$ref` names.
        sections: those parts that have a section of their own on the page -> its title.
    """

    def __init__(self, defs: Mapping[str, Any], sections: Mapping[str, str]) -> None:
        self.defs, self.sections = defs, sections

    def __call__(self, schema: Mapping[str, Any]) -> str:
        if "title" in schema:
            return str(schema["title"])
        if "$ref" in schema:
            return self.named(schema["$ref"].rpartition("/")[2])
        if "const" in schema:
            return f"`{schema['const']}`"
        if "enum" in schema or "anyOf" in schema:
            return listed(self.options(schema))
        kinds = {"integer": self.number, "number": self.number, "array": self.array, "object": self.mapping}
        return kinds[schema["type"]](schema)

    def options(self, schema: Mapping[str, Any]) -> list[str]:
        """The parts of an "or", nested ones unfolded; that of `use`, which the head of the page tells of, left out."""
        if "enum" in schema:
            return [f"`{word}`" for word in schema["enum"]]
        if "anyOf" in schema and "title" not in schema:
            options = [option for option in schema["anyOf"] if option != {"$ref": "#/$defs/use"}]
            return [part for option in options for part in self.options(option)]
        return [self(schema)]

    def each(self, schema: Mapping[str, Any]) -> str:
        """What the items of something are: in brackets where there is an "or"."""
        return f"({self(schema)})" if len(self.options(schema)) > 1 else self(schema)

    def named(self, name: str) -> str:
        """A part of the schema: a link to its section, or to the table of types; otherwise in words."""
        title = self.sections.get(name)
        if title is not None:
            return f"[{title}](#{title.replace(' ', '-')})"
        if name.replace("_", " ") in built_tables():
            kind = name.replace("_", " ")
            return f"[{kind}](types.md#{kind_title(kind).replace(' ', '-').lower()})" if built_tables()[kind] else kind
        return self(self.defs[name])

    def number(self, schema: Mapping[str, Any]) -> str:
        """An amount with its bounds."""
        kind = "an integer" if schema["type"] == "integer" else "a number"
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and high is not None:
            return f"{kind} from {low} to {high}"
        bounds = {
            "at least": low,
            "above": schema.get("exclusiveMinimum"),
            "at most": high,
            "below": schema.get("exclusiveMaximum"),
        }
        return " ".join([kind, *(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)])

    def array(self, schema: Mapping[str, Any]) -> str:
        """A list: its items one by one, or what each is and how many there may be."""
        if "prefixItems" in schema:
            return f"[{'; '.join(map(self, schema['prefixItems']))}]"
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if least == most and least:
            return f"[{'; '.join([self(schema['items'])] * least)}]"
        return f"{f'{least} or more in a list' if least > 1 else 'a list'}, each {self.each(schema['items'])}"

    def mapping(self, schema: Mapping[str, Any]) -> str:
        """A mapping: a phase, a component, names to values, or keys with rows of their own."""
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        if schema.get("maxProperties") == 1:
            return listed([f"`{key}:` {self(value)}" for key, value in properties.items()])
        if "type" in properties:
            return "`{type: …, argument: …}`"
        if not properties and isinstance(others, dict):
            return f"names -> {self.each(others)}"
        if is_short(schema):
            key, value = next(iter(properties.items()))
            return f"`{{{key}:` {self(value)}`}}`"
        return "a mapping"


def listed(words: list[str]) -> str:
    """a, b or c; each once."""
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last


def default(schema: Mapping[str, Any]) -> str:
    """The default as YAML writes it."""
    return f"`{json.dumps(schema['default']).strip(chr(34))}`" if "default" in schema else ""


def cell(text: str) -> str:
    """A text that may stand in a table."""
    return text.replace("|", "\\|")


# ── types ──────────────────────────────────────────────────────────────────────────────────────────────────────────

TITLES = {"retrain trainer": "Trainers of a retrain phase", "data set": "Data sets", "evaluator": "Evaluators"}
NOTES = {
    "evaluator": "Beside its arguments an evaluator has `budget`, that of one trial, and `start` "
    "([search phase](strategy_language.md#search-phase)).",
    "retrain trainer": f"`{PLAIN_TRAINER}` is the evaluator of that name; its arguments stand in the phase itself.",
    "data set": "`data.name` of a strategy, or `--data NAME --data-dir FOLDER`; more in [data sets](../data.md).",
    "executor": "`--executor NAME`; their options: `nasengine search --help`.",
    "task": "`task.kind` of a space; what a task measures may be named by `objectives`.",
}


def type_sections() -> Iterator[str]:
    """Every kind that a strategy, a space or the command line names."""
    for kind, table in built_tables().items():
        if not table:
            continue
        yield type_heading(kind)
        if kind == "retrain trainer":
            continue
        for name, target in table.items():
            yield entry(name, target, strategy_arguments(kind, target))
    for kind, others in (("task", TASKS), ("data set", DATASETS), ("executor", EXECUTORS)):
        yield type_heading(kind)
        for name, target in others.items():
            yield entry(name, target, None if kind == "task" else (), by_itself=kind == "task")
    yield "## Costs\n\nWhat `constraints` and `objectives` may name, known before anything is trained.\n"
    yield "| cost | unit | what it counts |\n|---|---|---|"
    yield "".join(f"| `{name}` | {about.unit} | {cell(about.what)} |\n" for name, about in COSTS.items())


def type_heading(kind: str) -> str:
    """The heading of a kind, the word for it in a plug-in, and what else is to be said."""
    word = kind.replace(" ", "")
    plugin = f"(`{word}`) " if word in PLUGIN_KINDS else ""
    note = f"{plugin}{NOTES.get(kind, '')}".strip()
    return f"## {kind_title(kind)}\n" + (f"\n{note}\n" if note else "")


def kind_title(kind: str) -> str:
    """A kind as a heading: "Algorithms"."""
    return TITLES.get(kind, f"{kind.capitalize()}s")


def entry(
    name: str, target: Callable[..., object], arguments: tuple[Argument, ...] | None = None, *, by_itself: bool = True
) -> str:
    """One type: what its docstring begins with, its arguments, and the sources that both cite.

    Args:
        arguments: those that a person may write; all unless given.
        by_itself: whether its own docstring describes it best, not that of its file.
    """
    found = arguments_of(target) if arguments is None else arguments
    head = "| argument | kind | unless given | meaning |\n|---|---|---|---|\n"
    cells = [(argument_name(a), cell(a.takes), argument_default(a), cell(a.about)) for a in found]
    table = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    about = summary(target if by_itself else sys.modules[target.__module__])
    text = f"### {name}\n\n{about}\n" + (f"\n{head}{table}" if found else "")
    cited = dict.fromkeys(CITATION.findall(text))
    sources = (inspect.getdoc(sys.modules[target.__module__]) or "") + "\n"
    for tag in cited:
        source = re.search(rf"\[{tag}\] +(.*?)\n(?=\n|\s*\[|[A-Z]|\Z)", sources, re.DOTALL)
        text += f"\n[{tag}]: {' '.join(source[1].split())}\n" if source else ""
    return CITATION.sub(r"\\[\1\\]", text.replace("None:", "null:"))


def argument_name(argument: Argument) -> str:
    """In bold where there is no default."""
    return f"**`{argument.name}`**" if argument.required else f"`{argument.name}`"


def argument_default(argument: Argument) -> str:
    """The default as YAML writes it; nothing where there is none."""
    if argument.required:
        return ""
    return f"`{json.dumps(argument.default, ensure_ascii=False).strip(chr(34))}`"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(exist_ok=True)
    for page, text in pages().items():
        (folder / page).write_text(text, encoding="utf-8")
