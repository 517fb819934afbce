"""`check` and `strategies`: what is wrong with a file, every error with its place; which strategies ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nasengine.cli.console import complain, emit, say, show_table
from nasengine.cli.guard import BAD_INPUT, guarded
from nasengine.cli.options import Json, Plugins, load_plugin_modules
from nasengine.errors import InputError, Problem

Kind = Literal["space", "strategy", "table"]


@guarded
def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Spaces, strategies, tables; files or shipped names.")
    ],
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Check files: every error with line and column.

    FILE is a space, a strategy or the description of a table. Ends with exit code 0 if all is well, 2 otherwise. A
    space is checked twice: its grammar, then its task, its constraints, and every type, argument and shape of its
    networks. Of a table that names its space every row is checked too.

    \b
    nasengine check my_space.yaml
    nasengine check search_spaces/*.yaml strategies/*.yaml --json
    """
    load_plugin_modules(plugin)
    found = False
    for file in files:
        kind, problems = find_problems(file)
        found = found or bool(problems)
        if as_json:
            emit({"file": file, "kind": kind, "problems": [problem.to_json() for problem in problems]})
        elif problems:
            complain("\n".join(str(problem) for problem in problems))
            complain(f"{file}: {len(problems)} {'problem' if len(problems) == 1 else 'problems'}")
        else:
            say(f"{file}: a valid {kind}")
    if found:
        raise typer.Exit(BAD_INPUT)


@guarded
def strategies(as_json: Json = False) -> None:
    """List the strategies that ship with nasengine.

    \b
    nasengine strategies
    nasengine search quickstart random_search      # use one
    """
    from nasengine.search.language.strategy import load_strategy
    from nasengine.space import shipped

    found = [load_strategy(path) for path in shipped("strategies").values()]
    rows = [
        {
            "name": strategy.name,
            "objectives": {objective.name: objective.direction for objective in strategy.objectives},
            "phases": [phase.kind for phase in strategy.phases],
            "about": strategy.about,
        }
        for strategy in found
    ]
    if as_json:
        for row in rows:
            emit(row)
        return
    shown = [
        (
            strategy.name,
            ", ".join(f"{objective.direction} {objective.name}" for objective in strategy.objectives),
            ", ".join(phase.kind for phase in strategy.phases),
            strategy.about,
        )
        for strategy in found
    ]
    show_table(("strategy", "objectives", "phases", "about"), shown)


def find_problems(file: str) -> tuple[Kind, list[Problem]]:
    """What kind of file it is, and everything wrong with it."""
    try:
        kind = kind_of(file)
    except InputError as error:
        return "space", list(error.problems)
    if kind == "strategy":
        from nasengine.search.language.strategy import check_strategy

        return kind, check_strategy(file)
    if kind == "table":
        from nasengine.evaluators.tabular import check_table

        return kind, check_table(file)
    from nasengine.space import load_space

    try:
        space = load_space(file)
    except InputError as error:
        return kind, list(error.problems)
    if space.tree.root_key != "network":
        return kind, []
    from nasengine.search.fitting import check_space

    return kind, check_space(space)


def kind_of(file: str) -> Kind:
    """A strategy has phases or objectives, a table measurements; whatever else is read as a space. A name is looked up
    in all three places.

    Raises:
        InputError: there is no such file or name, or it is no YAML.
    """
    from nasengine.space import shipped
    from nasengine.space.language.yaml import YamlMapping, parse_yaml, read_text
    from nasengine.space.loading import find_file

    if file in shipped("strategies") and file not in shipped("search_spaces"):
        return "strategy"
    if file in shipped("search_spaces/tables") and file not in shipped("search_spaces"):
        return "table"
    path = find_file(file, "search_spaces")
    if path.suffix == ".csv" and path.is_file():
        expected = "expected the description of it, a YAML file that names the space of its rows"
        raise InputError(Problem(f"{file} holds the rows of a table, which are no YAML", expected=expected))
    documents = parse_yaml(read_text(path), str(path)).documents
    keys = {key for document in documents if isinstance(document, YamlMapping) for key in document.entries}
    if keys & {"network", "proxy"}:
        return "space"
    return "strategy" if keys & {"phases", "objectives"} else "table" if "measurements" in keys else "space"


def surely(file: str) -> Kind | None:
    """What a file or a shipped name is, where that is beyond doubt; None for what is neither, both, or unreadable."""
    from nasengine.space import shipped
    from nasengine.space.language.yaml import YamlMapping, parse_yaml, read_text

    is_space, is_strategy = file in shipped("search_spaces"), file in shipped("strategies")
    if not is_space and not is_strategy:
        try:
            documents = parse_yaml(read_text(Path(file)), file).documents
        except (InputError, OSError, ValueError):
            return None
        keys = {key for document in documents if isinstance(document, YamlMapping) for key in document.entries}
        is_space = bool(keys & {"network", "proxy", "extends"})
        is_strategy = bool(keys & {"phases", "objectives"})
    if is_space == is_strategy:
        return None
    return "space" if is_space else "strategy"
