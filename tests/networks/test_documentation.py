"""docs/network_types.md lists every type there is, as its docstring describes it."""

from __future__ import annotations

import runpy

from nasengine.networks import NETWORK_TYPES


def test_every_type_is_listed_as_its_docstring_has_it(repository):
    script = runpy.run_path(str(repository / "docs" / "make_network_types.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    assert page == script["with_table"](page), "types have changed: run `python docs/make_network_types.py`"
    assert all(f"| `{name}` | " in page for name in NETWORK_TYPES)
