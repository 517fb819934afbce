"""The test of the tutorials can fail: on commands that fail, on output that differs, on pages that changed."""

from pathlib import Path

import pytest

from tests.docs.walkthrough import first_missing, follow

FENCE = "```"


def written(*parts: tuple[str, str]) -> str:
    """A page with these blocks."""
    return "\n".join(f"{FENCE}{head}\n{text}\n{FENCE}\n" for head, text in parts)


def test_files_are_written_and_commands_are_run_in_their_order(tmp_path: Path) -> None:
    page = written(
        ("python", "# hello.py\nprint('hello', 6 * 7)"),
        ("bash", "python hello.py > greeting.txt"),
        ("bash not-run", "exit 1"),
        ("python", "print(open('greeting.txt').read())"),
        ("text", "hello 41"),
    )
    assert follow(page, tmp_path) == ["", "hello 42\n\n"]


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        ([("bash", "false\ntrue")], "line 1 ended with 1"),
        ([("python", "raise SystemExit(3)")], "line 1 ended with 3"),
        ([("bash", "echo hello"), ("text", "goodbye")], "'goodbye' is not in what was printed"),
    ],
)
def test_what_does_not_work_as_written_is_told_with_its_line(
    tmp_path: Path, blocks: list[tuple[str, str]], says: str
) -> None:
    with pytest.raises(AssertionError, match=says):
        follow(written(*blocks), tmp_path)


def test_a_replacement_that_the_page_no_longer_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not say"):
        follow("nothing", tmp_path, replace={"10.0.0.1": "10.0.0.2"})


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("rank trial accuracy\n 1 7 0.8", None),
        ("trial accuracy", "trial accuracy"),
        ("rank …", None),
        (" 1 7 0.8\nrank trial accuracy", "rank trial accuracy"),
        ("done in … s: trial-3 of [1,2,4]\n…", None),
        ("done in … s: trial-x", "done in … s: trial-x"),
    ],
)
def test_output_is_compared_loosely_but_in_its_order(shown: str, missing: str | None) -> None:
    printed = "rank  trial  accuracy\n   1      7     1e-05\ndone in 5 min 00 s: trial-12 of [2]\n"
    assert first_missing(shown, printed) == missing
