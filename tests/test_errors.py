"""How a problem is shown to a person, and what may be meant by a misspelt name."""

import pickle

from nasengine.errors import InputError, Mark, Problem, UnknownNameError, nearest, one_of


def test_the_caret_stands_under_the_column_of_the_mark():
    problem = Problem("unknown type 'cnv'", Mark("a.yaml", 7, 12), "expected conv", "    - type: cnv")
    assert str(problem).splitlines() == [
        "a.yaml:7:12: unknown type 'cnv'",
        "    7 |     - type: cnv",
        "        " + " " * 11 + "^",
        "  expected conv",
    ]


def test_the_caret_stands_under_the_same_character_of_a_line_that_is_cut():
    for column in (1, 59, 60, 61, 200, 399, 400):
        text = "".join("X" if i + 1 == column else "." for i in range(400))
        shown, caret = str(Problem("wrong", Mark("a.yaml", 7, column), "", text)).splitlines()[1:]
        assert len(shown) <= 130
        assert shown[caret.index("^")] == "X"


def test_a_problem_without_a_file_is_its_message_and_what_was_expected():
    problem = Problem("no choice has the path x", expected="expected network.width")
    assert str(problem) == "no choice has the path x\n  expected network.width"
    assert problem.to_json() == {"message": "no choice has the path x", "expected": "expected network.width"}


def test_an_error_crosses_processes_with_all_its_problems():
    error = UnknownNameError([Problem("one", Mark("a.yaml", 1, 2), "more", "text"), Problem("two")])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UnknownNameError
    assert again.problems == error.problems
    assert str(again) == str(error)
    assert InputError("text").problems == (Problem("text"),)


def test_the_nearest_names_are_those_that_resemble_it():
    assert nearest("widht", ["width", "kernel"]) == "; did you mean 'width'?"
    assert nearest("mbconv_5", ["mbconv_k5", "mbconv_k3", "pool"]) == "; did you mean 'mbconv_k5' or 'mbconv_k3'?"
    assert nearest("xyz", ["width", "kernel"]) == ""
    assert nearest("w" * 10_000, ["width"]) == ""


def test_among_thousands_of_names_the_nearest_is_looked_for_under_its_first_letter():
    names = [f"{letter}_{number}" for letter in "abc" for number in range(1000)]
    assert "'c_77'" in nearest("c_77x", [*names, "c_77"][2000:])
    assert "'c_7'" in nearest("c_7", names)


def test_what_is_valid_is_listed_in_order_up_to_a_limit():
    assert one_of(["b", "a"]) == "one of a, b"
    assert one_of(range(5), limit=2) == "one of 0, 1, … (3 more)"
    assert one_of([]) == "nothing here (no name is known)"
