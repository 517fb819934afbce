"""Durations as people write them."""

import pytest

from nasengine.errors import InputError
from nasengine.search.language.budgets import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("1h1m1s", 3661), (45, 45)],
)
def test_a_duration_is_read_in_the_units_people_use(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "two hours", "-3", "1d", "2h 3", "h", "nan", "1e3"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InputError, match="expected such as 90s, 30m, 2h or 1h30m"):
        seconds(text)
