"""What is said of a run's result."""

from pathlib import Path

import pytest

from nasengine.cli.console import command
from nasengine.cli.results import headline
from nasengine.search.figures import number, plural


@pytest.mark.parametrize(
    ("shown", "trials", "says"), [(10, 12, "the best 10 of 12 trials"), (3, 3, "3 trials"), (1, 1, "1 trial")]
)
def test_a_ranking_says_how_many_of_the_trials_it_shows(shown: int, trials: int, says: str) -> None:
    assert headline(shown, trials) == says


def test_a_command_can_be_pasted_whatever_its_path_holds() -> None:
    assert command("resume", Path("runs/my run's")) == "nasengine resume 'runs/my run'\"'\"'s'"


def test_a_large_whole_number_is_written_in_full() -> None:
    assert number(883_700.0) == "883,700"
    assert number(0.12345) == "0.1235"
    assert plural(1, "training") == "1 training"
    assert plural(2, "training") == "2 trainings"
