"""Writes the table of types in docs/network_types.md from the docstrings and signatures: run it after adding a type.

python docs/make_network_types.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

from torch import nn

from nasengine.networks import NETWORK_TYPES

PAGE = Path(__file__).parent / "network_types.md"
BEGIN, END = "<!-- written by docs/make_network_types.py -->\n", "<!-- end -->\n"


def with_table(page: str) -> str:
    """The page with the table of all types between its two marks."""
    before, rest = page.split(BEGIN)
    rows = "".join(row(name, target) for name, target in NETWORK_TYPES.items())
    return f"{before}{BEGIN}\n| type | what it does | arguments |\n|---|---|---|\n{rows}\n{END}{rest.split(END)[1]}"


def row(name: str, target: type[nn.Module]) -> str:
    """One type: the first sentence of its docstring, and its arguments with their defaults."""
    about = (inspect.getdoc(target) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    arguments = ", ".join(map(argument, inspect.signature(target).parameters.values()))
    return f"| `{name}` | {about} | {arguments} |\n"


def argument(parameter: inspect.Parameter) -> str:
    """`name`, with its default as YAML says it."""
    if parameter.default is parameter.empty:
        return f"**`{parameter.name}`**"
    words = {None: "null", True: "true", False: "false"}
    plain = isinstance(parameter.default, bool) or parameter.default is None
    return f"`{parameter.name}: {words[parameter.default] if plain else parameter.default}`"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
