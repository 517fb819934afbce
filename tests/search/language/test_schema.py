"""The JSON Schema of strategies agrees with the reader."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from nasengine.search.language.schema import strategy_schema
from nasengine.search.language.strategy import check_strategy
from nasengine.space import shipped
from nasengine.space.language.yaml import parse_yaml, plain

SKETCH = Path(__file__).parent / "sketch.yaml"
VALIDATOR = Draft202012Validator(strategy_schema())

GOOD = """
objectives: {accuracy: maximize, macs: {direction: minimize, max: 5.0e+7}, params: {max: 1.0e+6}}
lag: 4
data: {held_out_per_class: 25, augmentation: [crop_flip, {type: cutout, size: 4}]}
phases:
  - search: {algorithm: {type: regularized_evolution, population: 4, tournament: 2},
             evaluator: {type: standalone, optimizer: {type: adamw, rate: 0.001}, budget: {steps: 10}},
             budget: {hours: 1}}
  - retrain: {best: 2, ema: 0.999, budget: {epochs: 3, steps_per_epoch: 10}}
"""


def test_the_schema_is_itself_valid():
    Draft202012Validator.check_schema(strategy_schema())


@pytest.mark.parametrize("name", sorted(shipped("strategies")))
def test_every_shipped_strategy_satisfies_the_schema(name):
    text = shipped("strategies")[name].read_text()
    assert list(VALIDATOR.iter_errors(plain(parse_yaml(text, name).documents[0]))) == []


def test_the_six_published_methods_satisfy_the_schema():
    documents = parse_yaml(SKETCH.read_text(), "sketch.yaml").documents
    assert [error.message for document in documents for error in VALIDATOR.iter_errors(plain(document))] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lag: 4", "lag: 0"),
        ("lag: 4", "lagg: 4"),
        ("accuracy: maximize", "accuracy: larger"),
        ("held_out_per_class: 25", "validation: 0.95"),
        ("size: 4", "sise: 4"),
        ("population: 4", "populaton: 4"),
        ("rate: 0.001", "rte: 0.001"),
        ("{steps: 10}", "{weeks: 10}"),
        ("{steps: 10}", "{}"),
        ("{hours: 1}", "{epochs: 1}"),
        ("best: 2", "best: 0"),
        ("ema: 0.999", "emma: 0.999"),
        ("- retrain:", "- retrian:"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tmp_path, old, new):
    (tmp_path / "good.yaml").write_text(GOOD)
    assert check_strategy(tmp_path / "good.yaml") == []
    assert VALIDATOR.is_valid(plain(parse_yaml(GOOD, "good.yaml").documents[0]))
    assert old in GOOD
    text = GOOD.replace(old, new)
    (tmp_path / "bad.yaml").write_text(text)
    assert check_strategy(tmp_path / "bad.yaml")
    assert not VALIDATOR.is_valid(plain(parse_yaml(text, "bad.yaml").documents[0]))
