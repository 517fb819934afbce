"""The README of an exported network tells its own figures from those of the search."""

from nasengine.costs import Costs
from nasengine.export.proof import Proof
from nasengine.export.readme import write_readme
from nasengine.records import Architecture

MEASURED = {"accuracy": 0.8, "params": 107, "macs": 2389, "test_accuracy": 0.9}


def readme(about: dict[str, str], difference: float = 0.0) -> str:
    return write_readme(
        space="small",
        architecture=Architecture({}),
        measurements=MEASURED,
        costs=Costs(params=107, macs=2389),
        about=about,
        proof=Proof(params=107, macs=2389, difference=difference, onnx_difference=2.5e-7),
        files=("README.md",),
        notes=(),
        has_preprocessing=False,
    )


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]


def test_what_the_search_measured_stands_apart_from_the_weights():
    text = readme({"trained for": "10 epochs", "trial": "7"})
    weights, searched = section(text, "These weights, trained for `10 epochs`"), section(text, "In the search")
    assert "`test_accuracy` | 0.9" in weights
    assert "`accuracy`" not in weights
    assert "`accuracy` | 0.8" in searched
    assert "test_accuracy" not in searched


def test_costs_stand_in_their_table_only():
    text = readme({"trial": "7"})
    assert text.count("| params |") == text.count("| macs |") == 1
    assert "`params`" not in text


def test_what_no_search_has_found_is_all_of_these_weights():
    text = readme({})
    assert "In the search" not in text
    assert "`accuracy` | 0.8" in section(text, "These weights")


def test_no_difference_is_0():
    assert "scores differ by at most 0, those of `model.onnx` by at most 2.5e-07" in readme({})
    assert "scores differ by at most 1.0e-06" in readme({}, 1e-6)
