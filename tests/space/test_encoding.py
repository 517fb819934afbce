"""Architectures become rows and come back; equal architectures are equal rows."""

import numpy as np
import pytest

from nasengine.errors import InputError
from tests.space.space_helpers import UNEQUAL, space_of


def test_a_row_holds_option_indices_and_minus_one_where_inactive():
    space = space_of(UNEQUAL)
    architecture = space.architecture(
        {"network.main": "tiny", "network.side": "sharing", "let.shared": 3, "network.blocks.repeat": 0}
    )
    row = dict(zip(space.choices, space.encode(architecture).tolist(), strict=True))
    assert row == {
        "network.main": 0,
        "network.main.large.a": -1,
        "network.main.large.c.present": -1,
        "network.main.large.c.d": -1,
        "network.side": 1,
        "let.shared": 2,
        "network.blocks.repeat": 0,
        "network.blocks.0.kernel": -1,
        "network.blocks.1.kernel": -1,
    }
    assert space.decode(space.encode(architecture)) == architecture


def test_what_inactive_columns_hold_makes_no_difference():
    space = space_of(UNEQUAL)
    rows = space.sample_encoded(np.random.default_rng(0), 500)
    junk = np.where(rows < 0, np.random.default_rng(1).integers(-100, 100, rows.shape), rows)
    assert (junk != rows).any()
    assert (space.canonical(junk) == rows).all()
    assert space.decode_many(junk) == space.decode_many(rows)


def test_canonical_leaves_its_argument_alone():
    space = space_of(UNEQUAL)
    rows = space.sample_encoded(np.random.default_rng(0), 5)
    junk = np.where(rows < 0, 1, rows).astype(np.int16)
    before = junk.copy()
    space.canonical(junk)
    assert (junk == before).all()


def test_an_index_that_no_option_has_is_refused_by_name():
    space = space_of(UNEQUAL)
    row = space.sample_encoded(np.random.default_rng(0), 1)
    row[0, 0] = 2
    with pytest.raises(InputError, match=r"2 is no index of an option of network\.main \(0 to 1\)"):
        space.decode_many(row)
    with pytest.raises(InputError, match="a row of this space has 9 columns, got 3"):
        space.decode([0, 0, 0])


def test_an_architecture_of_another_space_is_not_encoded():
    with pytest.raises(InputError, match=r"no option 5 at network\.a"):
        space_of("network: {type: net, a: {choice: [1, 2]}}").encode({"network.a": 5})
    with pytest.raises(InputError, match=r"no option 1 at network\.b"):
        space_of("network: {type: net, a: {choice: [1, 2]}}").encode({"network.b": 1})


def test_many_rows_are_the_rows_one_by_one():
    space = space_of(UNEQUAL)
    rng = np.random.default_rng(0)
    architectures = [space.sample(rng) for _ in range(50)]
    rows = space.encode_many(architectures)
    assert rows.dtype == np.int16
    assert (rows == np.stack([space.encode(architecture) for architecture in architectures])).all()
    assert space.encode_many([]).shape == (0, len(space.decisions))
    assert space.decode_many(space.encode_many([])) == []
