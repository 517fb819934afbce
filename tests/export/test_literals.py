"""Values become source that means the same and looks as ruff would write it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasengine.errors import ExportError
from nasengine.export.literals import CallText, write_scalar, write_value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)
HOSTILE = ["'", '"', "\\", '"""', "\n", "\u202e", "\x00", '"); import os; os.abort(); ("', "{x}", "é", "'\"", '\\"']


@given(VALUES)
def test_what_is_written_evaluates_to_the_value(value: object) -> None:
    assert ast.literal_eval(write_value(value)) == value


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_word_is_one_literal(text: str) -> None:
    tree = ast.parse(write_scalar(text), mode="eval")
    assert isinstance(tree.body, ast.Constant)
    assert tree.body.value == text


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_without_a_literal_are_written_as_calls(value: float) -> None:
    assert repr(eval(write_scalar(value))) == repr(value)


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, print])
def test_what_is_no_plain_value_is_refused(value: object) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        write_value([value])


def test_a_keyword_argument_that_is_no_name_is_passed_by_a_mapping() -> None:
    text = write_value(CallText("dict", {"proper": 1, "not proper": 2, "class": 3}))
    assert text == 'dict(proper=1, **{"not proper": 2, "class": 3})'
    assert eval(text) == {"proper": 1, "not proper": 2, "class": 3}


def test_what_is_written_is_what_ruff_would_write(tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="needs the extra `dev`")
    wide = CallText("Wide", {f"argument_{n}": "'" * n for n in range(12)})
    values: list[object] = [wide, [wide, [1, 2], (3,), {}], {"key": wide, 'q"uote': [None] * 40}, (), [], {"a": ()}]
    values += [["x" * 108], ["x" * 109], ["x" * 110], *HOSTILE, CallText("Empty", {}), [CallText("Empty", {})] * 20]
    lines = [f"value_{n:03} = {write_value(value, before=12)}" for n, value in enumerate(values)]
    file = tmp_path / "values.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    formatting = [sys.executable, "-m", "ruff", "format", "--isolated", "--config", "line-length=120", "--diff"]
    done = subprocess.run([*formatting, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
