"""How supernets rank the 36 poolings of a ResNet-20 (arXiv 2306.11982), from the table of what they are truly worth.

The published correlations were computed before the accuracies were rounded to the two decimals of the table, which
makes a few ties: Kendall's tau differs by up to 0.003, Spearman's rho by up to 0.006.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nasengine as nas
from nasengine.agreement import Agreement, Bootstrap, agreement
from nasengine.evaluators.tabular import Tabulated, describe, load_table
from nasengine.space import load_space


@pytest.fixture(scope="module")
def table() -> Tabulated:
    space = load_space("pooling_resnet20")
    return load_table(describe("pooling36", space, None, {}), space, None)


def held_against_truth(table: Tabulated, name: str) -> Agreement:
    predicted, truth = (np.array(table.values[one][0.0]) for one in (name, "accuracy"))
    return agreement(predicted, truth, draws=Bootstrap(36, samples=20))


@pytest.mark.parametrize(
    ("models", "tau", "rho", "r"),
    [(1, 0.143, 0.233, 0.306), (2, 0.312, 0.471, 0.553), (4, 0.597, 0.757, 0.835), (8, 0.530, 0.709, 0.814)],
)
def test_correlations_of_supernets_with_the_truth_are_the_published_ones(table, models, tau, rho, r):
    found = held_against_truth(table, f"supernet_{models}")
    assert found.count == 36
    assert found["kendall"].value == pytest.approx(tau, abs=0.0035)
    assert found["spearman"].value == pytest.approx(rho, abs=0.002)
    assert found["pearson"].value == pytest.approx(r, abs=0.0006)


def test_macs_alone_rank_better_than_one_supernet_or_two(table):
    macs = held_against_truth(table, "macs")
    assert macs["kendall"].value == pytest.approx(0.494, abs=0.003)
    assert macs["spearman"].value == pytest.approx(0.629, abs=0.006)
    assert macs["kendall"].value > held_against_truth(table, "supernet_2")["kendall"].value


@pytest.mark.parametrize(
    ("models", "best"),
    [
        (1, (90.34, 90.84, 90.84)),
        (2, (90.52, 90.92, 90.92)),
        (4, (90.96, 91.05, 91.83)),
        (8, (90.96, 91.55, 91.55)),
    ],
)
def test_the_best_of_the_first_1_3_5_are_the_published_ones(table, models, best):
    found = held_against_truth(table, f"supernet_{models}")
    assert [found[f"top_{k}"].value for k in (1, 3, 5)] == pytest.approx([value / 100 for value in best], abs=1e-12)
    assert found["regret"].value == pytest.approx(0.9201 - best[0] / 100)


def test_a_run_over_the_published_supernets_is_ranked_alike(tmp_path: Path):
    settings = {"seeds": 1, "trials": 36, "objectives": ["supernet_4"], "out": tmp_path}
    nas.compare(["exhaustive"], table="pooling36", **settings)
    ranked = nas.rank(tmp_path / "exhaustive" / "seed-0", table="pooling36", truth="accuracy", samples=20)
    (found,) = ranked.runs
    assert found.agreement["kendall"].value == pytest.approx(0.597, abs=0.0035)
    assert found.winner.architecture["network.downsample_at"] == (5, 7)  # [5,2,3]
    assert (found.winner.truth, found.best) == (0.9096, 0.9201)
    assert found.macs is not None
    assert found.macs["kendall"].value == pytest.approx(0.494, abs=0.003)
