"""run.yaml: a run is what it was begun with, whatever happens to the files it came from."""

import subprocess

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nasengine.errors import RunError
from nasengine.search.new_run import new_run_settings
from nasengine.search.run_file import git_commit, settings_of_run, to_yaml, write_run_file
from nasengine.space.language.yaml import parse_document, plain
from tests.search.small import quick_strategy, small_space

WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.sampled_from(
        ["1e5", "on", "no", "0o17", "12:30", "~", "", "1_000", "0x1f", "null", ".inf", "-", "=", "<<", "1e999"]
    ),
)
KEYS = WORDS.filter(str.strip).filter(lambda key: key != "<<") | st.sampled_from(["on", "1", "0-1", "1e5", "null"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_plain_values_read_back_the_same_under_both_versions_of_yaml(value):
    text = to_yaml(value)
    assert plain(parse_document(text, "run.yaml").documents[0]) == value
    assert yaml.safe_load(text) == value


def test_a_run_is_read_back_as_it_was_begun(tmp_path):
    settings = new_run_settings(small_space(), quick_strategy("search.optimizer.rate=1.0e-5"), device="cpu", seed=7)
    write_run_file(tmp_path, settings)
    read = settings_of_run(tmp_path)
    assert (read.space, read.strategy, read.environment) == (settings.space, settings.strategy, settings.environment)
    assert read.plain() == settings.plain()
    assert read.space.known["narrow"].architecture == settings.space.known["narrow"].architecture


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "is damaged"),
        (lambda text: text[: len(text) // 2], "is damaged|cannot be read"),
        (lambda text: text.replace("format: 1", "format: 9"), "has the format 9"),
        (lambda text: text.replace("threads: 1", "treads: 1"), "is damaged: KeyError 'threads'"),
        (lambda text: text.replace("type: sgd", "type: adagrad"), "cannot be read by this version"),
    ],
)
def test_a_damaged_run_file_is_refused_with_the_reason(tmp_path, change, message):
    write_run_file(tmp_path, new_run_settings(small_space(), quick_strategy(), device="cpu"))
    path = tmp_path / "run.yaml"
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match=message):
        settings_of_run(tmp_path)


def test_a_folder_without_run_file_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"is not a run: it has no run\.yaml"):
        settings_of_run(tmp_path)


def test_the_commit_of_the_users_folder_is_noted_with_its_changes(tmp_path):
    assert git_commit(tmp_path) == ""

    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init", "-q")
    assert git_commit(tmp_path) == ""
    (tmp_path / "a.yaml").write_text("a: 1\n")
    git("add", "a.yaml")
    git("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "Add a")
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "a.yaml").write_text("a: 2\n")
    assert git_commit(tmp_path) == f"{commit}+changes"
