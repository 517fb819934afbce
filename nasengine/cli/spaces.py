"""Commands that look at search spaces: list, describe, draw architectures, say what one costs."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nasengine.cli.console import count, emit, option, say, show_table
from nasengine.cli.guard import guarded
from nasengine.cli.options import Json, Plugins, SpaceName, load_plugin_modules, read_options
from nasengine.errors import InputError, Problem, nearest
from nasengine.search.figures import number

OPTIONS_SHOWN = 8
MOST_COMPARED = 5_000  # architectures whose cells are compared, in less than a second


@guarded
def spaces(as_json: Json = False) -> None:
    """List the search spaces that ship with nasengine.

    \b
    nasengine spaces
    nasengine describe quickstart          # one of them in detail
    """
    from nasengine.space import load_space, shipped

    found = [load_space(path) for path in shipped("search_spaces").values()]
    rows = [{"name": space.name, "architectures": space.size(), "about": space.about} for space in found]
    if as_json:
        for row in rows:
            emit(row)
        return
    show_table(("space", "architectures", "about"), [tuple(row.values()) for row in rows])


@guarded
def describe(
    space: Annotated[str, typer.Argument(metavar="SPACE|TYPE", help="A YAML file, a shipped space, or a type.")],
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Describe a search space and its choices, or a type that a space or a strategy may name and its arguments.

    \b
    nasengine describe pooling_resnet20
    nasengine describe my_space.yaml --json
    nasengine describe mbconv
    nasengine describe regularized_evolution
    nasengine describe MyBlock --plugin my_blocks
    """
    from nasengine.space import load_space, shipped

    load_plugin_modules(plugin)
    if space not in shipped("search_spaces") and not Path(space).exists():
        found_type = find_type(space, plugin or ())
        if found_type is not None:
            describe_type(space, *found_type, as_json=as_json)
            return
        near = nearest(space, [*shipped("search_spaces"), *all_types()])
        if near and not space.endswith((".yaml", ".yml")):
            raise InputError(Problem(f"there is no space and no type {space!r}", expected=near.removeprefix("; ")))
    found = load_space(space)
    facts = space_facts(found)
    if as_json:
        emit(facts)
        return
    say(f"{found.name}: {found.about}" if found.about else found.name)
    if found.source:
        say(f"source: {found.source}")
    if facts["task"]:
        task = facts["task"]
        settings = ", ".join(f"{name} {value}" for name, value in task["settings"].items())
        say(f"task: {task['kind']}, input {option(task['input'])}" + (f", {settings}" if settings else ""))
    say(f"architectures: {count(facts['architectures'])}")
    if facts["feasible"] is not None and facts["feasible"] != facts["architectures"]:
        say(f"of these within relations: {count(facts['feasible'])}")
    if facts["networks"] is not None:
        say(f"different networks among them: {count(facts['networks'])}")
    for name in ("constraints", "relations"):
        for text in facts[name]:
            say(f"{name[:-1]}: {text}")
    say()
    rows = [(c["path"], c["kind"], _some(c["options"]), _when(c["when"])) for c in facts["choices"]]
    show_table(("choice", "kind", "options", "asked when"), rows)
    if facts["known"]:
        say()
        shown = [(name, _costs(entry["costs"]), entry["about"]) for name, entry in facts["known"].items()]
        show_table(("known architecture", "published", "about"), shown)


@guarded
def sample(
    space: SpaceName,
    number_of: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same architectures.")] = 0,
    within: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COST=MOST", help="Only within a bound on a cost: macs=2e8, or macs=1e8..2e8. Repeatable."
        ),
    ] = None,
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Draw architectures, one a line.

    Each is as likely as the product of its options' weights; all are equally likely where none are given.

    \b
    nasengine sample pooling_resnet20 -n 5
    nasengine sample mobile_cnn -n 100 --seed 1 --within macs=2e8 --json
    """
    import numpy as np

    from nasengine.space import load_space

    load_plugin_modules(plugin)
    found = load_space(space)
    rng = np.random.default_rng(seed)
    if within:
        from nasengine.costs import Pricer

        drawn = Pricer(found).within(parse_windows(within)).sample_many(rng, number_of)
    else:
        drawn = found.decode_many(found.sample_encoded(rng, number_of))
    for architecture in drawn:
        if as_json:
            emit(architecture.to_json())
        else:
            say(" ".join(f"{path}={option(value).replace(' ', '')}" for path, value in architecture.items()))


@guarded
def cost(
    space: SpaceName,
    architecture: Annotated[
        str, typer.Argument(metavar="ARCHITECTURE", help="A JSON file, - for standard input, or a known one's name.")
    ],
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Say what an architecture costs.

    \b
    nasengine cost pooling_resnet20 default
    nasengine sample mobile_cnn --json | nasengine cost mobile_cnn - --json
    """
    from nasengine.space import load_space

    load_plugin_modules(plugin)
    found = load_space(space)
    chosen = read_architecture(found, architecture)
    from nasengine.costs import COSTS, costs

    priced = costs(found, chosen).as_dict()
    if as_json:
        emit(priced)
        return
    show_table(
        ("cost", "amount", "what it counts"), [(name, priced[name], about.what) for name, about in COSTS.items()]
    )


@guarded
def schema(
    of: Annotated[
        Literal["space", "strategy"], typer.Argument(metavar="[space|strategy]", help="Of which files.")
    ] = "space",
) -> None:
    """Print the JSON Schema of space or strategy files.

    An editor that knows it completes and checks the YAML as you type.

    \b
    nasengine schema > space.schema.json
    nasengine schema strategy > strategy.schema.json
    """
    if of == "strategy":
        from nasengine.search.language.schema import strategy_schema

        found = strategy_schema()
    else:
        from nasengine.networks import NETWORK_TYPES
        from nasengine.space.language.schema import space_schema

        found = space_schema(types=list(NETWORK_TYPES))
    say(json.dumps(found, indent=2, ensure_ascii=False))


def read_architecture(space: Any, text: str) -> Any:
    """The architecture meant on the command line: a known one's name, a JSON file, or - for standard input.

    Raises:
        InputError: there is no such file, it holds no JSON object, or the space has no such architecture.
    """
    name = text.removeprefix("known.")
    if name in space.known:
        return space.known[name].architecture
    known = f", or a known architecture: {', '.join(space.known)}" if space.known else ""
    return space.architecture(read_options(text, also=known))


def tables_of_types() -> Mapping[str, Mapping[str, Callable[..., object]]]:
    """Kind -> name -> type, of everything that a space or a strategy may name."""
    from nasengine.networks import NETWORK_TYPES
    from nasengine.search.language.tables import built_tables

    return {"network": NETWORK_TYPES, **built_tables()}


def all_types() -> list[str]:
    """The names of all of them."""
    return [name for table in tables_of_types().values() for name in table]


def find_type(name: str, plugins: Iterable[str]) -> tuple[Callable[..., object], frozenset[str]] | None:
    """What a type's name means: an entry of a table, `module:Class`, or a class of one of the plug-ins; and those of
    its arguments that nobody writes, since the engine hands them to it.

    Raises:
        InputError: `module:Class` that is not allowed, or not there.
    """
    from nasengine.build.types import look_up_type
    from nasengine.search.language.components import HANDED

    for kind, table in tables_of_types().items():
        if name in table:
            return table[name], HANDED.get(kind, frozenset())
    if ":" in name and "/" not in name:
        return look_up_type(name), frozenset()
    for module in plugins:
        if name in vars(sys.modules[module]):
            return look_up_type(f"{module}:{name}"), frozenset()
    return None


def describe_type(name: str, target: Callable[..., object], handed: Collection[str], *, as_json: bool) -> None:
    """Show a type: its docstring, and how its constructor is called, less what the engine itself hands to it."""
    about = inspect.getdoc(target) or ""
    written = [p for p in inspect.signature(target).parameters.values() if p.name not in handed]
    arguments = inspect.Signature(written)
    if as_json:
        emit({"type": name, "arguments": list(arguments.parameters), "about": about})
        return
    say(name + str(arguments).replace("'", ""))  # annotations that are not evaluated are shown in quotes
    say()
    say(about)


def parse_windows(texts: list[str]) -> dict[str, tuple[float | None, float | None]]:
    """`macs=2e8` and `macs=1e8..2e8` as cost -> (least, most).

    Raises:
        InputError: every one that is neither.
    """
    windows: dict[str, tuple[float | None, float | None]] = {}
    problems = []
    for text in texts:
        name, _, bounds = text.partition("=")
        low, dots, high = bounds.rpartition("..")
        try:
            if not (low or high):
                raise ValueError("neither end")
            windows[name] = (float(low) if dots and low else None, float(high) if high else None)
        except ValueError:
            problems.append(Problem(f"--within {text} is no bound", expected="expected COST=MOST or COST=LEAST..MOST"))
    if problems:
        raise InputError(problems)
    return windows


def space_facts(space: Any) -> dict[str, Any]:
    """Everything `describe` shows, as plain values."""
    task = space.task
    resolution = space.resolution
    height = list(resolution.options) if resolution else getattr(task.height, "value", None) if task else None
    width = None if task is None or task.width is None else task.width.value
    return {
        "name": space.name,
        "about": space.about,
        "source": space.source,
        "task": None
        if task is None
        else {
            "kind": task.kind,
            "input": [task.channels, height, "same" if width is None else width],
            "settings": dict(task.settings),
        },
        "architectures": space.size(architecture_part=bool(space.unexpanded)),
        "feasible": space.size(feasible=True) if space.relations and not space.constraints else None,
        "networks": _networks(space),
        "choices": [
            {
                "path": decision.path,
                "kind": decision.kind,
                "options": [list(item) if isinstance(item, tuple) else item for item in decision.options],
                "weights": list(decision.weights),
                "when": _sites(space, decision),
            }
            for decision in space.decisions
        ],
        "constraints": [_bound(bound) for bound in space.constraints],
        "relations": [_relation(relation) for relation in space.relations],
        "known": {
            name: {"architecture": known.architecture.to_json(), "costs": dict(known.costs), "about": known.about}
            for name, known in space.known.items()
        },
    }


def _networks(space: Any) -> int | None:
    """How many architectures are different networks; None without cells, or where it would take a second to count."""
    if not space.has_cells or space.size(architecture_part=True) > MOST_COMPARED:
        return None
    return len({space.identity(architecture) for architecture in space.enumerate()})


def _sites(space: Any, decision: Any) -> list[dict[str, Any]] | None:
    """Where a choice is asked: at any of these, where the other conditions under `and` hold too; None: always."""
    if not decision.conditional:
        return None
    found = []
    for site in decision.sites:
        first, *also = [
            {"choice": space.decisions[parent].path, "is": [space.decisions[parent].options[i] for i in sorted(taken)]}
            for parent, taken in site
        ]
        found.append({**first, "and": also} if also else first)
    return found


def _when(sites: list[dict[str, Any]] | None) -> str:
    if sites is None:
        return "always"
    said = [
        " and ".join(f"{part['choice']} is {_some(part['is'], 4)}" for part in (site, *site.get("and", ())))
        for site in sites[:2]
    ]
    return " or ".join(said) + (" or …" if len(sites) > 2 else "")


def _some(options: list[Any], shown: int = OPTIONS_SHOWN) -> str:
    texts = [option(item) for item in options[:shown]]
    return ", ".join(texts) + (f", … ({len(options)})" if len(options) > shown else "")


def _costs(costs: dict[str, float]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in costs.items())


def _bound(bound: Any) -> str:
    low = "" if bound.low is None else f"{number(bound.low)} <= "
    high = "" if bound.high is None else f" <= {number(bound.high)}"
    return f"{low}{bound.cost}{high}"


def _relation(relation: Any) -> str:
    if relation.kind == "order":
        return f"{', '.join(relation.paths)}: {relation.order}"
    low = "" if relation.low is None else f"{number(relation.low)} <= "
    high = "" if relation.high is None else f" <= {number(relation.high)}"
    return f"{low}{' + '.join(relation.paths)}{high}"
