"""Tables of every form, and everything that can be wrong with one, each problem at its place."""

from __future__ import annotations

import pytest

import nasengine as nas
from nasengine.errors import InputError
from nasengine.evaluators import Table, make_evaluator
from nasengine.evaluators.tabular import describe, find_table, load_table
from nasengine.records import Job
from nasengine.space import space_from_mapping
from tests.own_time import own_time

WIDTH, DEPTH, KINDS = "network.width", "network.depth", "network.kinds"
SPACE = space_from_mapping(
    {
        "name": "plain",
        "task": {"kind": "image_classification", "input": [3, 8, 8], "classes": 10},
        "network": {"type": "any", "width": {"choice": [4, 8]}, "depth": {"choice": [1, "two"]}},
    }
)
CONDITIONAL = space_from_mapping(
    {
        "name": "conditional",
        "task": {"kind": "image_classification", "input": [3, 8, 8], "classes": 10},
        "network": {
            "type": "any",
            "op": {"choice": {"skip": {"type": "identity"}, "conv": {"type": "conv", "width": {"choice": [4, 8]}}}},
        },
    }
)
ROWS = ("4,1,0.5", "4,two,0.6", "8,1,0.7", "8,two,0.8")
HEADER = f"{WIDTH},{DEPTH},accuracy"
DESCRIPTION = """
name: mine
data: data.csv
architecture: {code: ops, choices: [network.width, network.depth], options: {"a": 4, "b": 8, "1": 1, "2": two}}
measurements:
  accuracy: {by: epochs, columns: {12: short, 200: long}, direction: maximize, scale: 0.01, truth: test}
  macs: minimize
report:
  test: {column: tested, direction: maximize, scale: 0.01}
"""
DATA = "ops,short,long,tested,macs\na1,10,50.1,49,100\na2,11,60.1,59,200\nb1,12,70.1,69,300\nb2,13,80.1,92.01,400\n"


def write(folder, text, name="data.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def csv(folder, rows=ROWS, header=HEADER):
    return write(folder, "\n".join([header, *rows]) + "\n")


def described(folder, description=DESCRIPTION, data=DATA):
    write(folder, data)
    return write(folder, description, "table.yaml")


def load(file, space=SPACE, **settings):
    settings = Table(file, **settings)
    return load_table(settings.describe(space, None), space, None)


def problems(file, space=SPACE, **settings):
    with pytest.raises(InputError) as caught:
        load(file, space, **settings)
    return [str(problem).replace(file.rpartition("/")[0] + "/", "") for problem in caught.value.problems]


def measure(file, architecture, budget=(), **settings):
    plan = {"space": dict(SPACE.tree.resolved), "evaluator": {"type": "table", "file": file, **settings}}
    (result,) = make_evaluator(plan).evaluate([Job(0, SPACE.architecture(architecture), dict(budget))])
    return result


# --- forms ---------------------------------------------------------------------------------------------------------


def test_columns_may_be_called_like_choices(tmp_path):
    table = load(csv(tmp_path), measurements={"accuracy": "maximize"})
    assert [dict(architecture) for architecture in table.architectures][1] == {WIDTH: 4, DEPTH: "two"}
    assert table.values == {"accuracy": {0.0: [0.5, 0.6, 0.7, 0.8]}}


def test_one_column_may_hold_json(tmp_path):
    rows = [
        '"{""network.width"": 4, ""network.depth"": ""two""}",7',
        '"{""network.width"": 8, ""network.depth"": 1}",9',
    ]
    table = load(csv(tmp_path, rows, "architecture,params"))
    assert dict(table.architectures[0]) == {WIDTH: 4, DEPTH: "two"}
    assert table.description.metrics == {"params": "minimize"}


def test_a_description_says_how_codes_encode_architectures(tmp_path):
    table = load(described(tmp_path))
    assert [tuple(architecture.values()) for architecture in table.architectures] == [
        (4, 1),
        (4, "two"),
        (8, 1),
        (8, "two"),
    ]
    assert table.description.metrics == {"accuracy": "maximize", "macs": "minimize"}
    assert table.truth("accuracy") == [0.49, 0.59, 0.69, 0.9201]
    assert table.truth("macs") == [100, 200, 300, 400]


def test_codes_without_options_count_them_and_may_be_separated(tmp_path):
    description = DESCRIPTION.replace(', options: {"a": 4, "b": 8, "1": 1, "2": two}', ', separator: "-"')
    data = DATA.replace("a1", "0-0").replace("a2", "0-1").replace("b1", "1-0").replace("b2", "1-1")
    assert load(described(tmp_path, description, data)).architectures == load(described(tmp_path)).architectures


def test_choices_may_have_columns_of_any_name_and_inactive_ones_are_empty(tmp_path):
    description = """
data: data.csv
architecture: {columns: {network.op: kind, network.op.conv.width: wide}}
measurements: {loss: minimize}
"""
    table = load(described(tmp_path, description, "kind,wide,loss\nskip,,1\nconv,4,2\nconv,8,3\n"), CONDITIONAL)
    assert [architecture.to_json() for architecture in table.architectures] == [
        {"network.op": "skip"},
        {"network.op": "conv", "network.op.conv.width": 4},
        {"network.op": "conv", "network.op.conv.width": 8},
    ]
    found = problems(described(tmp_path, description, "kind,wide,loss\nskip,4,1\nconv,,2\n"), CONDITIONAL)
    assert found[0].startswith("data.csv:2:")
    assert "answers 'network.op.conv.width', which its other options leave out" in found[0]
    assert "data.csv:3:" in found[1]
    assert "does not answer 'network.op.conv.width'" in found[1]


def test_further_files_are_joined_on_a_key(tmp_path):
    write(tmp_path, "ops,pixel\nb2,4\nb1,3\na2,2\na1,1\n", "more.csv")
    joined = DESCRIPTION.replace("architecture:", "join: [{data: more.csv, on: ops, prefix: latency_}]\narchitecture:")
    joined = joined.replace("  macs: minimize", "  latency_ms: {column: latency_pixel, direction: minimize}")
    assert load(described(tmp_path, joined)).values["latency_ms"] == {0.0: [1, 2, 3, 4]}
    write(tmp_path, "ops,pixel\nb2,4\nb2,4\na2,2\na1,1\n", "more.csv")
    (twice,) = problems(described(tmp_path, joined))
    assert twice.startswith("more.csv:3:1: a second row has ops 'b2', the first in line 2")
    write(tmp_path, "ops,pixel\nb2,4\na2,2\na1,1\n", "more.csv")
    (missing,) = problems(described(tmp_path, joined))
    assert missing.startswith("data.csv:4:1: latency_ms is missing: more.csv has no row for this one")


def test_an_empty_cell_counts_as_what_the_description_says(tmp_path):
    empty = DATA.replace("300", "")
    (problem,) = problems(described(tmp_path, data=empty))
    assert problem.startswith("data.csv:4:15: macs is missing: its cell in macs is empty")
    lenient = DESCRIPTION.replace("macs: minimize", "macs: {direction: minimize, missing: 1.0e9}")
    assert load(described(tmp_path, lenient, empty)).values["macs"][0.0][2] == 1e9


def test_data_lie_beside_the_description_or_in_the_folder_of_the_run_or_in_the_one_of_the_environment(
    tmp_path, monkeypatch
):
    file = described(tmp_path)
    for place in ("run", "environment"):
        (tmp_path / place).mkdir()
    described_only = describe(file, SPACE, None, {})
    moved = (tmp_path / "data.csv").rename(tmp_path / "environment" / "data.csv")
    monkeypatch.setenv("NASENGINE_DATA", str(tmp_path / "environment"))
    assert len(load_table(described_only, SPACE, str(tmp_path / "run")).architectures) == 4
    moved.rename(tmp_path / "run" / "data.csv")
    assert len(load_table(described_only, SPACE, str(tmp_path / "run")).architectures) == 4
    monkeypatch.delenv("NASENGINE_DATA")
    with pytest.raises(
        InputError, match=r"(?s)table.yaml:3:7: the table mine has no file 'data.csv'.*--data-dir"
    ) as caught:
        load_table(described_only, SPACE, None)
    assert "data: data.csv" in str(caught.value)


# --- measuring -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "accuracy"), [(12, 0.13), (199, 0.13), (200, 0.801), (1000, 0.801), (None, 0.801)])
def test_a_job_gets_the_largest_budget_that_is_not_above_its_own(tmp_path, epochs, accuracy):
    budget = {} if epochs is None else {"epochs": epochs}
    result = measure(described(tmp_path), {WIDTH: 8, DEPTH: "two"}, budget)
    assert result.measurements == {"accuracy": accuracy, "macs": 400}


def test_a_budget_below_the_least_fails_with_the_reason(tmp_path):
    result = measure(described(tmp_path), {WIDTH: 8, DEPTH: "two"}, {"epochs": 11})
    assert (result.status, result.reason) == (
        "failed",
        "the table mine has no accuracy after 11 epochs, the least is 12",
    )


def test_what_is_only_for_the_report_is_never_told(tmp_path):
    assert "test" not in measure(described(tmp_path), {WIDTH: 8, DEPTH: "two"}).measurements


def test_an_architecture_that_the_table_lacks_fails_with_the_reason(tmp_path):
    result = measure(csv(tmp_path, ROWS[:3]), {WIDTH: 8, DEPTH: "two"})
    assert result.status == "failed"
    assert 'the table data has no architecture {"network.depth":"two","network.width":8}' in result.reason


def test_percent_are_scaled_exactly(tmp_path):
    assert 50.02 * 0.01 != 0.5002
    table = load(described(tmp_path, data=DATA.replace("92.01", "50.02")))
    assert table.truth("accuracy")[3] == 0.5002


# --- what can be wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "rows", "place", "message"),
    [
        (HEADER, ("5,1,0.5",), "2:1", "network.width has no option '5'"),
        (HEADER, ("4,tow,0.5",), "2:3", "network.depth has no option 'tow'"),
        (HEADER, ("4,1,nan",), "2:5", "accuracy is 'nan'"),
        (HEADER, ("4,1,inf",), "2:5", "accuracy is 'inf'"),
        (HEADER, ("4,1,high",), "2:5", "accuracy is 'high'"),
        (HEADER, ("4,1,",), "2:5", "accuracy is missing: its cell in accuracy is empty"),
        (
            HEADER,
            ("4,1,0.5", "", "4,1,0.6"),
            "4:3",
            'the architecture {"network.depth":1,"network.width":4} stands twice',
        ),
        (HEADER, ("4,1",), "2:1", "this row has 2 cells, but the header names 3 columns"),
        (HEADER, (), "1:1", "the table has no rows"),
        (f"{WIDTH},accuracy", ("4,0.5",), "1:1", "no column holds the choice 'network.depth' of plain"),
        (f"{HEADER},acuracy", ("4,1,0.5,1",), "1:38", "the column 'acuracy' is no choice of plain"),
        (f"{HEADER},accuracy", ("4,1,0.5,1",), "1:38", "a second column is called 'accuracy'"),
        (f"{HEADER},", ("4,1,0.5,1",), "1:38", "column 4 has no name"),
        (f"{WIDTH},{DEPTH}", ("4,1",), "1:1", "data.csv measures nothing"),
        ("architecture,params", ('"[1]",3',), "2:1", "[1] is no architecture"),
        ("architecture,params", ("{,3",), "2:1", "not valid JSON"),
        ("architecture,params", ('"{""network.width"": 4}",3',), "2:1", "network.depth"),
    ],
)
def test_what_is_wrong_with_a_file_is_shown_at_its_cell(tmp_path, header, rows, place, message):
    known = {"accuracy": "maximize"}
    file = csv(tmp_path, rows, header)
    with pytest.raises(InputError) as caught:
        load_table(describe(file, SPACE, None, known), SPACE, None)
    (problem,) = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    assert problem.startswith(f"data.csv:{place}: ")
    assert message in problem


def test_the_nearest_names_are_offered(tmp_path):
    assert "did you mean 'two'?" in problems(csv(tmp_path, ("4,tow,0.5",)), measurements={"accuracy": "maximize"})[0]
    (wrong,) = problems(csv(tmp_path), measurements={"acuracy": "maximize"})
    assert "did you mean 'accuracy'?" in wrong


def test_all_problems_come_together(tmp_path):
    found = problems(csv(tmp_path, ("5,1,0.5", "4,1,x", "4,three,0.1")), measurements={"accuracy": "maximize"})
    assert [problem.split(": ")[0] for problem in found] == ["data.csv:2:1", "data.csv:3:5", "data.csv:4:3"]


@pytest.mark.parametrize(
    ("before", "after", "place", "message"),
    [
        ("data: data.csv", "dta: data.csv", "3:1", "unknown key 'dta' in the table"),
        ("code: ops", "code: opps", "4:22", "no file of the table has a column 'opps'"),
        ("network.width, ", "network.widht, ", "4:37", "plain has no choice 'network.widht'"),
        ("two}", "three}", "4:88", "no choice of the code has the option 'three'"),
        ("truth: test", "truth: tst", "6:99", "the truth of accuracy is 'tst', which is not in `report`"),
        (
            "direction: maximize, scale: 0.01, truth",
            "direction: up, scale: 0.01, truth",
            "6:68",
            "the word 'up' stands at",
        ),
        ("by: epochs, ", "", "6:13", "measurements.accuracy has `columns` without `by`"),
        ("{12: short", "{none: short", "6:35", "the budget 'none' of measurements.accuracy is no number above 0"),
        (
            "scale: 0.01, truth",
            "scale: percent, truth",
            "6:91",
            "the word 'percent' stands at measurements.accuracy.scale",
        ),
        (
            "column: tested, direction: maximize",
            "column: tested, direction: minimize",
            "6:104",
            "is to maximize, but its truth",
        ),
        ("macs: minimize", "maks: minimize", "7:3", "no file of the table has a column 'maks'"),
    ],
)
def test_what_is_wrong_with_a_description_is_shown_at_its_line(tmp_path, before, after, place, message):
    assert before in DESCRIPTION
    found = problems(described(tmp_path, DESCRIPTION.replace(before, after)))
    line, column = place.split(":")
    assert any(problem.startswith(f"table.yaml:{line}:") and message in problem for problem in found), (column, found)


def test_a_code_of_another_length_or_with_another_part_is_shown(tmp_path):
    found = problems(described(tmp_path, data=DATA.replace("a1", "a11").replace("b2", "b7")))
    assert "data.csv:2:1: the code 'a11' has 3 parts" in found[0]
    assert "data.csv:5:1: the code 'b7' has the part '7'" in found[1]


def test_a_table_of_another_space_says_so(tmp_path):
    found = problems(described(tmp_path, DESCRIPTION + "space: plain\n"), CONDITIONAL)
    assert len(found) == 1
    assert "the table is of the space plain, not of conditional" in found[0]


def test_tables_are_found_by_path_or_by_name():
    assert find_table("pooling36").name == "pooling36.yaml"
    with pytest.raises(InputError, match="did you mean 'pooling36'"):
        find_table("poolng36")
    with pytest.raises(InputError, match=r"there is no table 'no/such\.csv'"):
        Table("no/such.csv")
    with pytest.raises(InputError, match="direction 'up'"):
        Table("pooling36", measurements={"accuracy": "up"})


def test_measurements_are_for_files_that_do_not_describe_themselves(tmp_path):
    (problem,) = problems(described(tmp_path), measurements={"accuracy": "maximize"})
    assert "a description says itself what is measured" in problem


def test_a_run_does_not_go_on_with_another_table(tmp_path):
    file = csv(tmp_path)
    pinned = Table(file).pinned(None)
    assert measure(**{**pinned, "architecture": {WIDTH: 4, DEPTH: 1}}).status == "completed"
    csv(tmp_path, (*ROWS[:3], "8,two,0.9"))
    with pytest.raises(InputError, match="has changed since the run began"):
        measure(file, {WIDTH: 4, DEPTH: 1}, sha256=pinned["sha256"])


# --- the one that ships --------------------------------------------------------------------------------------------


def test_pooling36_is_the_published_table():
    space = nas.load_space("pooling_resnet20")
    table = load("pooling36", space)
    assert len(table.architectures) == 36 == space.size()
    accuracies = table.truth("accuracy")
    best = max(range(36), key=lambda row: accuracies[row])
    assert accuracies[best] == 0.9201
    assert table.architectures[best].to_json() == {"network.downsample_at": [7, 8]}
    default = table.rows[space.known["default"].architecture.key]
    assert [accuracies[default], *(table.values[f"supernet_{m}"][0.0][default] for m in (1, 2, 4, 8))] == [
        0.9052, 0.8311, 0.8432, 0.8436, 0.8464,
    ]  # fmt: skip


def test_the_costs_in_pooling36_are_those_that_are_counted():
    space = nas.load_space("pooling_resnet20")
    table = load("pooling36", space)
    for row in (0, 23, 33, 35):
        assert nas.costs(space, table.architectures[row]).macs == table.values["macs"][0.0][row]


def test_fifteen_thousand_rows_load_in_about_a_second_and_are_looked_up_in_microseconds(tmp_path):
    options = list(range(5))
    network = {"type": "any", **{name: {"choice": options} for name in "abcdef"}}
    space = space_from_mapping({"name": "large", "task": SPACE.tree.resolved["task"], "network": network})
    header = ",".join([*(f"network.{name}" for name in "abcdef"), *(f"x{i}" for i in range(10)), "accuracy"])
    rows = [f"{','.join(str(n // 5**i % 5) for i in range(6))},{','.join('1' * 10)},0.{n:06d}" for n in range(5**6)]
    file = csv(tmp_path, rows, header)
    with own_time() as seconds:
        table = load(file, space, measurements={"accuracy": "maximize"})
        assert seconds() < 1.5
    evaluator = Table(file, measurements={"accuracy": "maximize"})
    assert evaluator.describe(space, None).metrics == {"accuracy": "maximize"}
    jobs = [Job(i, architecture) for i, architecture in enumerate(table.architectures)]
    plan = {
        "space": dict(space.tree.resolved),
        "evaluator": {"type": "table", "file": file, "measurements": {"accuracy": "maximize"}},
    }
    made = make_evaluator(plan)
    with own_time() as seconds:
        assert sum(result.status == "completed" for result in made.evaluate(jobs)) == 5**6
        assert seconds() / 5**6 < 30e-6
