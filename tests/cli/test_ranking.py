"""The short line of an architecture says what its numbers belong to."""

import pytest

from nasengine.cli.ranking import in_short
from nasengine.records import Architecture


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"network.layers.0.width": 8, "network.kernel": 3}, "width=8 kernel=3"),
        ({"network.depths.0": 2, "network.depths.1": 1}, "depths.0=2 depths.1=1"),
        ({"network.a.0.width": 8, "network.b.1.width": 4}, "network.a.0.width=8 network.b.1.width=4"),
        ({"let.width": 8, "network.downsample_at": (4, 7)}, "width=8 downsample_at=[4,7]"),
        ({"3": 1}, "3=1"),
    ],
)
def test_each_option_stands_under_the_last_name_of_its_path(options, line):
    assert in_short(Architecture(options)) == line
