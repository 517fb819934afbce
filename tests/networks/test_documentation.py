"""docs/network_types.md lists every type there is, and no other."""

from __future__ import annotations

import re

from nasengine.networks import NETWORK_TYPES


def test_every_type_is_listed_and_nothing_else(repository):
    text = (repository / "docs" / "network_types.md").read_text()
    composition = re.findall(r"^\| `(\w+)` \|", text[text.index("## Composition") : text.index("## What need")], re.M)
    groups = re.findall(r"`(\w+)`", text[text.index("## Layers") : text.index("A block takes")])
    listed = composition + groups
    assert sorted(listed) == sorted(NETWORK_TYPES)
