"""Spaces from files, by shipped name and from the plain values that a run keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nasengine.errors import InputError
from nasengine.space.language import parsing
from nasengine.space.loading import find_file, load_space, parse_space, shipped, space_from_mapping

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.yaml"))


def test_shipped_spaces_and_strategies_are_found_by_name():
    assert "pooling_resnet20" in shipped("search_spaces")
    assert all(path.is_file() for kind in ("search_spaces", "strategies") for path in shipped(kind).values())


def test_the_installed_package_finds_what_travels_inside_it(tmp_path, monkeypatch):
    package = tmp_path / "nasengine"
    (package / "shipped" / "search_spaces").mkdir(parents=True)
    (package / "shipped" / "search_spaces" / "inside.yaml").write_text("name: inside")
    monkeypatch.setattr(parsing, "_PACKAGE", package)
    assert list(shipped("search_spaces")) == ["inside"]
    assert shipped("strategies") == {}


@pytest.mark.parametrize("name", sorted(shipped("search_spaces")))
def test_every_shipped_space_loads_by_its_name(name):
    assert load_space(name).name == name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_space_rebuilt_from_its_plain_values_is_the_same(path):
    space = load_space(path)
    rebuilt = space_from_mapping(json.loads(json.dumps(space.tree.resolved)))
    assert rebuilt.hash == space.hash
    assert [d.path for d in rebuilt.decisions] == [d.path for d in space.decisions]
    assert [d.options for d in rebuilt.decisions] == [d.options for d in space.decisions]


def test_problems_of_plain_values_name_their_file():
    with pytest.raises(InputError, match=r"run\.yaml:1:1: the space has no 'network'"):
        space_from_mapping({"name": "x"}, "run.yaml")


def test_plain_values_must_be_resolved():
    with pytest.raises(InputError, match=r"run\.yaml:1:1: the space still extends another one"):
        space_from_mapping({"name": "x", "extends": "quickstart"})


def test_a_name_that_is_no_space_is_refused_with_the_nearest():
    with pytest.raises(InputError) as caught:
        load_space("pooling_resnet2")
    assert "there is no space 'pooling_resnet2'" in str(caught.value)
    assert "did you mean 'pooling_resnet20'" in str(caught.value)


@pytest.mark.parametrize("path", ["no/such/file.yaml", "none.yaml", Path("none")])
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(InputError, match="there is no file"):
        load_space(path)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000])
def test_odd_names_are_refused_without_a_traceback(name):
    with pytest.raises(InputError):
        load_space(name)


def test_a_file_without_suffix_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text(EXAMPLES[0].read_text())
    assert find_file("plain", "search_spaces") == Path("plain")
    assert load_space("plain").name == EXAMPLES[0].stem


def test_a_text_is_parsed_under_the_name_it_is_given():
    with pytest.raises(InputError, match=r"pasted text:1:1: the file is empty"):
        parse_space("", "pasted text")


def test_a_second_document_in_a_space_is_refused_where_it_starts():
    with pytest.raises(InputError, match=r"two\.yaml:3:1: a second document starts here"):
        parse_space("name: x\n---\nname: y\n", "two.yaml")
