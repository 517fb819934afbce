"""Marked YAML: scalars of YAML 1.2, positions, and everything that is refused, quickly and with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nasengine.errors import InputError, Problem
from nasengine.space.language import yaml as marked
from nasengine.space.language.yaml import (
    MAX_DEPTH,
    MAX_NODES,
    YamlMapping,
    YamlScalar,
    YamlSequence,
    from_plain,
    parse_document,
    parse_yaml,
    plain,
    read_text,
    resolve_scalar,
)
from tests.own_time import own_time

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))
SHIPPED = sorted(path for folder in ("search_spaces", "strategies") for path in Path(folder).glob("*.yaml"))


def values(text: str) -> object:
    return plain(parse_document(text, "test.yaml").documents[0])


def found_in(text: str) -> tuple[Problem, ...]:
    try:
        parse_yaml(text, "hostile.yaml")
    except InputError as error:
        return error.problems
    return ()


def problems(text: str) -> list[str]:
    """Each problem as "line:column message"."""
    with pytest.raises(InputError) as caught:
        parse_document(text, "test.yaml")
    for problem in caught.value.problems:
        assert problem.mark is not None
        assert problem.mark.file == "test.yaml"
    return [f"{p.mark.line}:{p.mark.column} {p.message}" for p in caught.value.problems if p.mark]


# --- scalars ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.7e9", 1.7e9),
        ("1e-3", 0.001),
        ("1.79e+9", 1.79e9),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("none", "none"),
        ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("0O17", "0O17"),
        ("1e", "1e"),
        (".", "."),
        ("-", "-"),
        ("=", "="),
        ("tRUE", "tRUE"),
    ],
)
def test_an_unquoted_scalar_means_what_yaml_1_2_says(text, value):
    found = resolve_scalar(text)
    assert found == value
    assert type(found) is type(value)


# The table of the YAML 1.2.2 specification, section 10.3.2, as printed there.
CORE_SCHEMA = [
    (r"null|Null|NULL|~|", "null"),
    (r"true|True|TRUE|false|False|FALSE", "bool"),
    (r"[-+]?[0-9]+", "int"),
    (r"0o[0-7]+", "int"),
    (r"0x[0-9a-fA-F]+", "int"),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "float"),
    (r"[-+]?(\.inf|\.Inf|\.INF)", "not finite"),
    (r"\.nan|\.NaN|\.NAN", "not finite"),
]


@given(st.text(alphabet="0123456789+-.eExXoOabcdefinfINFanNAtrulTRUL~", max_size=8))
@settings(max_examples=500, deadline=None)
def test_scalars_agree_with_the_table_of_the_specification(text):
    kind = next((kind for pattern, kind in CORE_SCHEMA if re.fullmatch(pattern, text)), "str")
    if kind == "not finite":
        with pytest.raises(ValueError, match="finite"):
            resolve_scalar(text)
        return
    names = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str"}
    if kind == "float" and abs(float(text)) == float("inf"):
        with pytest.raises(ValueError, match="larger than a float holds"):
            resolve_scalar(text)
        return
    assert names[type(resolve_scalar(text))] == kind


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9223372036854775808", "9" * 5000, "0x" + "f" * 99])
def test_numbers_that_json_or_64_bits_cannot_hold_are_refused_with_their_place(text):
    (problem,) = problems(f"a: [1, {text}]")
    assert problem.startswith("1:8 ")


def test_quoted_scalars_are_words():
    assert values("""[ "1", '2', "true", "", 'null', "a\\nb" ]""") == ["1", "2", "true", "", "null", "a\nb"]


def test_a_key_is_the_text_as_written():
    assert values("{1: a, 1.0: b, true: c, null: d, 0-1: e, on: f}") == {
        "1": "a",
        "1.0": "b",
        "true": "c",
        "null": "d",
        "0-1": "e",
        "on": "f",
    }


# --- trees and marks -------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | words
scalars |= st.floats(allow_nan=False, allow_infinity=False)
keys = words.filter(lambda text: text not in ("", "<<"))
trees = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(keys, below, max_size=4),
    max_leaves=20,
)


class QuotingDumper(yaml.SafeDumper):
    """Quotes every word: PyYAML leaves words bare that are numbers in YAML 1.2."""

    def ignore_aliases(self, data):
        return True


QuotingDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@given(trees)
@settings(max_examples=150, deadline=None)
def test_a_tree_written_as_yaml_is_read_back_the_same(tree):
    for flow in (True, False):
        text = yaml.dump(tree, Dumper=QuotingDumper, default_flow_style=flow, allow_unicode=True, sort_keys=False)
        assert repr(values(text)) == repr(tree)


def as_json(value, **layout):
    """JSON whose line breaks are those of its layout: YAML ends a key at the three that JSON does not escape."""
    text = json.dumps(value, ensure_ascii=False, **layout)
    return re.sub("[\x85\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


@given(trees)
@example({"\u2028": None})
@settings(max_examples=100, deadline=None)
def test_every_mark_points_to_where_the_value_starts(tree):
    text = as_json(tree, indent=1)
    lines = text.split("\n")
    waiting = [parse_document(text, "tree.json").documents[0]]
    while waiting:
        node = waiting.pop()
        there = lines[node.mark.line - 1][node.mark.column - 1 :]
        match node:
            case YamlScalar(value=value):
                assert there.startswith(as_json(value))
            case YamlSequence(items=items):
                assert there.startswith("[")
                waiting.extend(items)
            case YamlMapping(entries=entries, key_marks=marks):
                assert there.startswith("{")
                for key, mark in marks.items():
                    assert lines[mark.line - 1][mark.column - 1 :].startswith(as_json(key))
                waiting.extend(entries.values())


@pytest.mark.parametrize("path", [*EXAMPLES, *SHIPPED], ids=lambda path: path.name)
def test_our_files_mean_the_same_under_plain_safe_load(path):
    text = path.read_text()
    assert [plain(root) for root in parse_yaml(text, path.name).documents] == list(yaml.safe_load_all(text))


def test_marks_count_characters_and_every_kind_of_line_break():
    root = parse_document("ä: ü\r\n'é\\': [😀, x]\u2028c: 1\n", "f").documents[0]
    assert isinstance(root, YamlMapping)
    assert [str(mark) for mark in root.key_marks.values()] == ["f:1:1", "f:2:1", "f:3:1"]
    second = list(root.entries.values())[1]
    assert isinstance(second, YamlSequence)
    assert second.items[1].mark.column == 11


def test_a_byte_order_mark_is_not_part_of_the_first_line():
    parsed = parse_document("\ufeffa: 1", "f")
    assert parsed.lines == ("a: 1",)
    assert plain(parsed.documents[0]) == {"a": 1}


def test_an_alias_is_its_anchor_with_the_marks_of_the_anchor():
    root = parse_document("a: &x {k: [1, 2]}\nb: *x\n", "f").documents[0]
    assert plain(root) == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert isinstance(root, YamlMapping)
    assert root.entries["b"].mark.line == 1
    copy = plain(root)
    copy["a"]["k"].append(3)
    assert copy["b"]["k"] == [1, 2]


def test_several_documents_are_kept_apart():
    parsed = parse_yaml("a: &x 1\n---\nb: 2\n---\n", "f")
    assert [plain(root) for root in parsed.documents] == [{"a": 1}, {"b": 2}, None]


def test_an_anchor_is_not_known_in_the_next_document():
    with pytest.raises(InputError, match=r"f:3:4: no anchor &x"):
        parse_yaml("a: &x 1\n---\nb: *x\n", "f")


def test_size_and_depth_count_an_alias_as_the_copy_it_is():
    root = parse_document("[&a [1, 2], *a, [*a]]", "f").documents[0]
    assert (root.size, root.depth) == (1 + 3 + 3 + 4, 4)


# --- what is refused -------------------------------------------------------------------------------------------


def test_all_problems_of_a_text_are_reported_at_once_in_its_order():
    text = "a: 1\na: 2\nb: !!python/object:os.system x\nc: *nothing\n<<: {}\nd: .nan\n'': 1\n"
    assert problems(text) == [
        "2:1 the key 'a' stands twice in one mapping",
        "3:4 a tag (tag:yaml.org,2002:python/object:os.system) stands here",
        "4:4 no anchor &nothing stands before this alias",
        "5:1 a merge key (<<) stands here",
        "6:4 .nan is not a finite number",
        "7:1 a key is empty",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2", "1:9"),
        ("a: {b: 1\nc: 2\n\n", "2:2"),
        ("a: b: c", "1:5"),
        ("a: 'x", "1:6"),
        ("a:\n  b: 1\n c: 2", "3:2"),
        ("a:\n\tb: 1", "2:1"),
        ("? [a]\n: 1", "1:3"),
        ("{a: 1}: 2", "1:1"),
        ("&x a: 1\n*x : 2", "2:1"),
        ("a: &x 1\nb: &x 2", "2:4"),
        ("a: &x [*x]", "1:8"),
        ("a: \x07", "1:4"),
        ("a: 1\nb: 'x\ufffey'", "2:6"),
        ("a: \ud800", "1:4"),
        ("@a: 1", "1:1"),
        ("a: 1\n--- x\nb", "2:5"),
        ("", "1:1"),
        ("# only a comment", "1:1"),
        ("a: ! x", "1:4"),
        ("k" * 300 + ": 1", "1:1"),
        ("%YAML 3.0\n---\na: 1", "1:1"),
    ],
)
def test_what_is_no_yaml_for_us_is_refused_with_its_place(text, place):
    assert problems(text)[0].split(" ")[0] == place


def test_a_problem_shows_the_line_it_is_in():
    with pytest.raises(InputError) as caught:
        parse_document("a: 1\nb: [1, *two]\n", "space.yaml")
    assert str(caught.value).splitlines() == [
        "space.yaml:2:8: no anchor &two stands before this alias",
        "    2 | b: [1, *two]",
        "               ^",
        "  expected an anchor above it",
    ]


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP_BY_ALIAS = "a0: &a0 [1]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(200))


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        DEEP_BY_ALIAS,
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        "{a: " * 10_000,
        "\n".join("  " * i + "a:" for i in range(700)),
        "- " * 10_000,
        "? " * 10_000,
        "a" * 600_000,
        "[" + "1," * 200_000 + "]",
        "&a " * 10_000,
        "'" + "''" * 200_000,
        "a: |\n" + " x\n" * 100_000,
        "!" * 10_000,
        "*a " * 10_000,
        "#" * 400_000,
        "{" + "a" * 400_000 + "}",
    ],
    ids=["alias bomb", "deep by alias", "[", "[]", "{a:", "block", "-", "?", "long", "wide", "&", "quotes", "literal",
         "!", "*", "#", "long key"],
)  # fmt: skip
def test_hostile_text_is_read_or_refused_with_its_place_within_a_second(text):
    with own_time() as seconds:
        found = found_in(text)
        assert seconds() < 1.0
    assert all(problem.mark is not None for problem in found)


def test_the_alias_bomb_is_refused_at_the_alias_that_is_too_much():
    (problem,) = problems(BOMB)
    assert re.match(r"5:\d+ the document has more than 50,000 values", problem)


def test_nesting_is_allowed_up_to_the_bound_and_no_further():
    assert parse_document("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f").documents[0].depth == MAX_DEPTH
    assert problems("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == [
        f"1:{MAX_DEPTH + 1} the nesting is deeper than {MAX_DEPTH}"
    ]


def test_the_largest_document_allowed_is_read():
    text = "[" + "1," * (MAX_NODES - 1) + "]"
    assert parse_document(text, "f").documents[0].size == MAX_NODES
    assert "more than" in problems("[" + "1," * MAX_NODES + "]")[0]


def test_the_python_parser_of_pyyaml_gives_the_same_nodes_and_marks(monkeypatch):
    texts = [path.read_text() for path in EXAMPLES]
    fast = [parse_yaml(text, "f") for text in texts]
    monkeypatch.setattr(marked, "_PARSER", yaml.SafeLoader)
    assert [parse_yaml(text, "f") for text in texts] == fast


# --- files and plain values ------------------------------------------------------------------------------------


def test_a_file_that_is_not_utf_8_is_refused_with_line_and_column(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: ü".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml:2:4: byte 0xfc is not UTF-8 text"):
        read_text(path)


def test_what_is_no_readable_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is not a file"):
        read_text(tmp_path)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 3_000_000)
    with pytest.raises(InputError, match="larger than"):
        read_text(large)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_plain_values_make_the_nodes_that_their_text_would(tree):
    assert repr(plain(from_plain(tree, "run.yaml"))) == repr(tree)


@pytest.mark.parametrize("value", [{1: 2}, {"a": object()}, [float("nan")], {"a": {1, 2}}])
def test_values_that_are_not_plain_are_refused(value):
    with pytest.raises(InputError, match=r"run\.yaml:1:1"):
        from_plain(value, "run.yaml")


def test_plain_values_that_contain_themselves_are_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InputError, match="nested deeper"):
        from_plain(loop, "run.yaml")
