"""`extends`: a merge patch with marks that stay true, and every base that must not be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasengine.errors import InputError
from nasengine.space.holes import Choice, MapOf, Range, SpaceTree
from nasengine.space.language.extends import MAX_CHAIN, merge
from nasengine.space.language.parsing import parse_space
from nasengine.space.language.yaml import from_plain, plain
from tests.own_time import own_time

BASE = """\
name: base
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: net
  width: {choice: [8, 16]}
  depth: {choice: [1, 2]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "spaces"
    inside.mkdir()
    (inside / "base.yaml").write_text(BASE)
    return inside


def child(folder: Path, text: str) -> SpaceTree:
    path = folder / "child.yaml"
    path.write_text(text)
    return parse_space(text, str(path))


def refusal(folder: Path, text: str) -> str:
    """What is said about the child; in a second, and with a place."""
    with own_time() as seconds:
        with pytest.raises(InputError) as caught:
            child(folder, text)
        assert seconds() < 1.0
    assert all(problem.mark is not None for problem in caught.value.problems)
    return str(caught.value)


# --- the patch -------------------------------------------------------------------------------------------------


def test_mappings_merge_lists_and_scalars_replace_and_null_deletes(folder):
    space = child(folder, "name: child\nextends: base\nnetwork: {width: {choice: [4]}, depth: null, kernel: 3}\n")
    assert space.resolved == {
        "name": "child",
        "task": {"kind": "image_classification", "input": [3, 32, 32], "classes": 10},
        "network": {"type": "net", "width": {"choice": [4]}, "kernel": 3},
    }


# The examples of RFC 7396, appendix A.
RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("base", "patch", "result"), RFC_7396)
def test_the_examples_of_the_rfc_come_out_as_printed(base, patch, result):
    assert plain(merge(from_plain(base, "base"), from_plain(patch, "patch"))) == result


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("ab", min_size=1, max_size=2), below, max_size=3)
    ),
    max_leaves=8,
)


def rfc_merge(target: object, patch: object) -> object:
    """The pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = rfc_merge(target.get(name), value)
    return target


@given(values, values)
@settings(max_examples=300, deadline=None)
def test_merging_does_what_the_rfc_says(base, patch):
    assert plain(merge(from_plain(base, "base"), from_plain(patch, "patch"))) == rfc_merge(base, patch)


def test_marks_point_into_the_file_that_a_value_comes_from(folder):
    space = child(folder, "name: child\nextends: base\nnetwork: {depth: {choice: null, range: [1, 5, 2]}}\n")
    assert isinstance(space.root, MapOf)
    width, depth = space.root.entries["width"], space.root.entries["depth"]
    assert isinstance(width, Choice)
    assert isinstance(depth, Range)
    assert str(width.mark) == f"{folder / 'base.yaml'}:5:10"
    assert str(depth.mark) == f"{folder / 'child.yaml'}:3:18"
    assert set(space.lines) == {str(folder / "base.yaml"), str(folder / "child.yaml")}


def test_a_problem_in_the_base_shows_the_line_of_the_base(folder):
    (folder / "base.yaml").write_text(BASE.replace("[1, 2]", "[1, 1]"))
    assert refusal(folder, "name: child\nextends: base\n").startswith(
        f"{folder / 'base.yaml'}:6:23: the option 1 of network.depth stands twice\n    6 |   depth: {{choice: [1, 1]}}"
    )


def test_two_holes_that_meet_in_a_merge_are_refused_with_the_way_out(folder):
    text = refusal(folder, "name: child\nextends: base\nnetwork: {depth: {range: [1, 5, 2]}}\n")
    assert "network.depth is a choice and a range at once" in text
    assert "`choice: null` drops the inherited one" in text


def test_a_null_with_nothing_to_delete_is_refused_with_the_nearest_key(folder):
    text = refusal(
        folder, "name: child\nextends: base\nnetwork: {widht: null, norm: {type: x, scale: null}}\nknwn: null\n"
    )
    assert [line.split(": ", 1)[1] for line in text.splitlines() if "child.yaml" in line] == [
        "there is no 'widht' to delete",
        "there is no 'scale' to delete",
        "there is no 'knwn' to delete",
    ]
    assert "child.yaml:3:11" in text
    assert "null deletes what it inherits; did you mean 'width'?" in text


def test_a_base_that_is_no_yaml_is_reported_in_the_base(folder):
    (folder / "base.yaml").write_text("a: [1\n")
    assert refusal(folder, "extends: base\n").startswith(f"{folder / 'base.yaml'}:1:")
    (folder / "base.yaml").write_text("- a\n")
    assert "the space that is extended is no mapping" in refusal(folder, "extends: base\n")
    (folder / "base.yaml").write_bytes(b"a: \xff")
    assert f"{folder / 'base.yaml'}:1:4: byte 0xff is not UTF-8" in refusal(folder, "extends: base\n")


def test_a_chain_of_bases_merges_from_the_far_end(folder):
    (folder / "middle.yaml").write_text("name: middle\nextends: base.yaml\nnetwork: {width: 3, kernel: 5}\n")
    space = child(folder, "name: child\nextends: middle\nnetwork: {kernel: 7}\n")
    assert space.resolved["network"] == {"type": "net", "width": 3, "depth": {"choice": [1, 2]}, "kernel": 7}
    assert space.name == "child"


def test_a_shipped_space_may_be_extended_from_anywhere(tmp_path):
    space = child(tmp_path, "name: mine\nextends: pooling_resnet20\nnetwork: {stem_width: 8}\n")
    assert isinstance(space.root, MapOf)
    assert space.root.type_name == "residual_network"


def test_a_file_of_the_same_folder_comes_before_a_shipped_space(folder):
    (folder / "pooling_resnet20.yaml").write_text(BASE)
    assert child(folder, "extends: pooling_resnet20\n").name == "base"


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "../secret",
        "../secret.yaml",
        "/etc/passwd",
        "./base",
        "sub/base",
        "..",
        ".",
        "~/base",
        "C:base",
        "a\\b",
        "file:///etc/passwd",
        "https://example.org/space.yaml",
        '"base\\0"',
        ".hidden",
        "x" * 300,
    ],
)
def test_a_path_is_no_base(folder, target):
    (folder.parent / "secret.yaml").write_text(BASE)
    text = refusal(folder, f"name: child\nextends: {target}\n")
    assert text.startswith(f"{folder / 'child.yaml'}:2:10: extends ")
    assert "leads out of the file's folder" in text


@pytest.mark.parametrize("target", ["3", "[base]", "{a: base}", "''", "null", "true"])
def test_what_is_no_name_is_no_base(folder, target):
    assert "2:10: extends is no name" in refusal(folder, f"name: child\nextends: {target}\n")


def test_a_missing_base_is_refused_with_the_nearest_names(folder):
    text = refusal(folder, "name: child\nextends: bse\n")
    assert "child.yaml:2:10: there is no space 'bse' to extend" in text
    assert "did you mean 'base'" in text


def test_a_link_out_of_the_folder_is_no_base(folder):
    (folder.parent / "secret.yaml").write_text(BASE)
    (folder / "link.yaml").symlink_to("../secret.yaml")
    assert "extends 'link' is a link out of the file's folder" in refusal(folder, "name: child\nextends: link\n")


def test_a_link_within_the_folder_is_a_base(folder):
    (folder / "link.yaml").symlink_to("base.yaml")
    assert child(folder, "name: child\nextends: link\n").name == "child"


def test_a_folder_a_pipe_and_a_circular_link_are_no_bases(folder):
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    for target in ("folder", "pipe", "loop"):
        assert f"there is no space '{target}' to extend" in refusal(folder, f"name: child\nextends: {target}\n")


def test_spaces_that_extend_each_other_are_refused_with_the_circle(folder):
    assert "child.yaml:1:10: spaces extend each other in a circle: child.yaml extends child.yaml" in refusal(
        folder, "extends: child\n"
    )
    (folder / "a.yaml").write_text("extends: b\n")
    (folder / "b.yaml").write_text("extends: a\n")
    assert "in a circle: a.yaml extends b.yaml extends a.yaml" in refusal(folder, "extends: a\n")


def test_a_very_long_chain_is_refused(folder):
    for i in range(MAX_CHAIN + 5):
        (folder / f"s{i}.yaml").write_text(f"extends: s{i + 1}\n")
    assert f"more than {MAX_CHAIN} spaces extend one another" in refusal(folder, "extends: s0\n")


def test_a_bomb_in_the_base_is_refused(folder):
    bomb = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (folder / "base.yaml").write_text(bomb)
    assert "more than 50,000 values" in refusal(folder, "extends: base\n")


def test_bases_that_are_too_large_only_together_are_refused(folder):
    wide = ", ".join(["1"] * 30_000)
    (folder / "base.yaml").write_text(BASE + f"  a: [{wide}]\n")
    assert "larger than 50,000 values" in refusal(folder, f"name: child\nextends: base\nnetwork: {{b: [{wide}]}}\n")
