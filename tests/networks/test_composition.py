"""The composition nodes as plain modules: what they compute, and what an absent part means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasengine.networks.composition import Cell, Parallel, Residual, Sequential


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


X = torch.arange(8.0).reshape(1, 2, 2, 2)


def test_layers_keep_their_names_beside_an_absent_one():
    series = Sequential([Times(2.0), None, Times(3.0)])
    assert list(series.state_dict()) == ["0.factor", "2.factor"]
    assert torch.equal(series(X), 6 * X)


def test_nothing_in_series_is_the_identity():
    assert torch.equal(Sequential([])(X), X)
    assert torch.equal(Sequential([None])(X), X)


def test_branches_are_concatenated_along_the_channels_in_their_order():
    joined = Parallel([Times(1.0), None, Times(2.0)])
    assert torch.equal(joined(X), torch.cat([X, 2 * X], dim=1))
    assert list(joined.state_dict()) == ["branches.0.factor", "branches.2.factor"]


def test_branches_may_have_names_and_be_added():
    joined = Parallel({"one": Times(1.0), "three": Times(3.0), "absent": None}, join="add")
    assert torch.equal(joined(X), 4 * X)
    assert list(joined.state_dict()) == ["branches.one.factor", "branches.three.factor"]


@pytest.mark.parametrize(("branches", "join"), [([], "concat"), ([None], "add"), ([Times(1.0)], "multiply")])
def test_no_branch_and_an_unknown_join_are_refused(branches, join):
    with pytest.raises(ValueError, match=r"no branch|join must be"):
        Parallel(branches, join=join)


def test_a_residual_is_the_sum_of_body_and_shortcut_and_then_its_activation():
    assert torch.equal(Residual(Times(2.0))(X), 3 * X)
    assert torch.equal(Residual(Times(2.0), Times(5.0))(X), 7 * X)
    assert torch.equal(Residual(None)(X), X)
    assert torch.equal(Residual(Times(-3.0), activation="relu")(X), torch.zeros_like(X))


def test_a_node_of_a_cell_is_the_sum_of_its_edges():
    edges = {"0-1": Times(2.0), "0-2": Times(3.0), "1-2": Times(5.0)}
    assert torch.equal(Cell(edges, nodes=3)(X), (3 + 2 * 5) * X)
    both = Cell(edges, nodes=3, output="concat")(X)
    assert torch.equal(both, torch.cat([2 * X, 13 * X], dim=1))


def test_a_node_that_no_edge_reaches_is_zero():
    cell = Cell({"0-1": None, "1-2": Times(5.0)}, nodes=3)
    assert torch.equal(cell(X), torch.zeros_like(X))
    assert list(cell.state_dict()) == ["edges.1-2.factor"]


@pytest.mark.parametrize("name", ["1-0", "0-0", "0-3", "x"])
def test_an_edge_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"a cell of 3 nodes has no edge {name}; it has 0-1, 0-2, 1-2"):
        Cell({name: Times(1.0)}, nodes=3)


def test_an_unknown_output_is_refused():
    with pytest.raises(ValueError, match="output must be 'last' or 'concat'"):
        Cell({}, nodes=2, output="first")
