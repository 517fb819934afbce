"""Records are equal by their canonical JSON text, immutable, and the same after a trip through JSON."""

import json
import pickle

import pytest

from nasengine.records import Architecture, Job, Result, canonical_json, is_partial, part_of

OPTIONS = {"network.width": 8, "network.kernel": None, "network.at": [1, [2, 3]], "task.resolution": 1.5}


def test_an_architecture_is_the_same_whatever_the_order_and_the_kind_of_its_lists():
    one = Architecture(OPTIONS)
    other = Architecture({path: OPTIONS[path] for path in reversed(OPTIONS)} | {"network.at": (1, (2, 3))})
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key
    assert one["network.at"] == (1, (2, 3))
    assert Architecture(one.to_json()) == pickle.loads(pickle.dumps(one)) == one


def test_options_that_python_takes_for_equal_make_different_architectures():
    assert len({Architecture({"a": option}) for option in (1, 1.0, True, "1")}) == 4
    assert Architecture({"a": 1}) != {"a": 1}


def test_an_architecture_cannot_be_changed():
    with pytest.raises(TypeError):
        Architecture(OPTIONS)["network.width"] = 4


def test_canonical_json_has_one_text_and_no_numbers_that_json_lacks():
    assert canonical_json({"b": 1, "a": [True, None, "ä"]}) == '{"a":[true,null,"ä"],"b":1}'
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json(float("nan"))


@pytest.mark.parametrize(
    "record",
    [
        Job(3, Architecture(OPTIONS), {"epochs": 2, "of_epochs": 6}, 7, resumes=1),
        Result(3, "failed", {"loss": 0.5}, "by lot", 1.25, {"curve": [1, 2]}),
    ],
    ids=["job", "result"],
)
def test_a_record_survives_json(record):
    assert type(record).from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_part_of_a_budget_names_the_whole_and_says_so_in_words() -> None:
    assert is_partial({"epochs": 3, "of_epochs": 27})
    assert part_of({"epochs": 3, "of_epochs": 27}) == "3 of 27 epochs"
    assert part_of({"epochs": 2.5, "of_epochs": 10, "steps_per_epoch": 50}) == "2.5 of 10 epochs"
    assert not is_partial({"epochs": 27, "of_epochs": 27})
    assert not is_partial({"epochs": 27})
    assert not is_partial({})
    assert not is_partial(None)
