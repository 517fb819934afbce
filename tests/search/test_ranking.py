"""Runs held against a table: only what is in both counts, several runs are averaged, MACs stand beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nasengine as nas
from nasengine.agreement import kendall
from nasengine.search.ranking import MEAN
from tests.search.small import quick_search, small_space

ROWS = """network.layers.0.width,network.layers.0.kernel,network.layers.2.width,accuracy,loss
4,1,4,0.50,0.9
8,1,4,0.70,0.5
4,3,4,0.60,0.7
8,3,8,0.80,0.2
"""


@pytest.fixture(scope="module")
def tabular_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three searches of the 36 poolings, each for another number of supernets and for fewer of them."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"table": "pooling36", "objectives": ["supernet_4", "macs"]}
    nas.compare(["exhaustive"], seeds=1, trials=36, out=folder / "all", **settings)
    nas.compare(["random_search"], seeds=2, trials=12, out=folder / "some", **settings)
    return folder


@pytest.fixture(scope="module")
def measured_run(tmp_path_factory: pytest.TempPathFactory) -> nas.Run:
    """Six networks of eight, trained for a moment; their costs are counted, not tabulated."""
    return quick_search(tmp_path_factory.mktemp("run") / "run", "search.budget.trials=6")


def rank(runs, **settings):
    return nas.rank(runs, **{"table": "pooling36", "truth": "accuracy", "samples": 20, **settings})


def test_only_architectures_in_both_are_compared_and_macs_are_counted(measured_run, tmp_path):
    (tmp_path / "mine.csv").write_text(ROWS)
    table = tmp_path / "mine.csv"
    found = nas.rank(measured_run, table=str(table), samples=20)
    (ranking,) = found.runs
    space = small_space()
    rows = [
        {"network.layers.0.width": w, "network.layers.0.kernel": k, "network.layers.2.width": v}
        for w, k, v in ((4, 1, 4), (8, 1, 4), (4, 3, 4), (8, 3, 8))
    ]
    truth = dict(zip(map(space.architecture, rows), (0.5, 0.7, 0.6, 0.8), strict=True))
    both = {one: trial.measurements for trial in measured_run.trials if (one := trial.architecture) in truth}
    assert 2 <= len(both) < 6
    assert (ranking.ranked, ranking.shared, found.size) == (6, len(both), 4)
    true = np.array([truth[one] for one in both])
    assert ranking.agreement["kendall"].value == pytest.approx(
        kendall(np.array([measured["accuracy"] for measured in both.values()]), true)
    )
    assert ranking.macs["kendall"].value == pytest.approx(
        kendall(np.array([float(nas.costs(space, one).macs) for one in both]), true)
    )
    assert ranking.best == 0.8  # of the table, whether it was tried or not


def test_a_truth_to_minimize_is_told_in_its_own_direction(measured_run, tmp_path):
    (tmp_path / "mine.csv").write_text(ROWS)
    found = nas.rank(measured_run, table=str(tmp_path / "mine.csv"), truth="loss", samples=20)
    by_accuracy = nas.rank(measured_run, table=str(tmp_path / "mine.csv"), samples=20)
    (ranking,), (other,) = found.runs, by_accuracy.runs
    assert ranking.best == 0.2
    assert ranking.agreement["kendall"] == other.agreement["kendall"]  # less loss is better, in the order of accuracies
    top = ranking.agreement["top_1"]
    assert top.low <= ranking.winner.truth <= top.high
    assert ranking.agreement["regret"].value == pytest.approx(ranking.winner.truth - 0.2)


def test_several_runs_are_told_one_by_one_and_as_mean_with_deviation(tabular_runs):
    folders = [tabular_runs / "all" / "exhaustive" / "seed-0", tabular_runs / "some" / "random_search" / "seed-1"]
    found = rank(folders)
    assert [ranking.shared for ranking in found.runs] == [36, 12]
    taus = [ranking.agreement["kendall"].value for ranking in found.runs]
    assert found.spreads["kendall"].mean == pytest.approx(np.mean(taus))
    assert found.spreads["kendall"].deviation == pytest.approx(np.std(taus, ddof=1))
    assert found.spreads["winner"].n == 2
    assert (found.together.name, found.together.shared) == (MEAN, 12)  # measured by both, and alike in both
    assert found.together.agreement["kendall"].value == pytest.approx(taus[1])


def test_the_trials_of_another_run_can_be_the_truth(tabular_runs, measured_run):
    whole = tabular_runs / "all" / "exhaustive" / "seed-0"
    some = [tabular_runs / "some" / "random_search" / f"seed-{seed}" for seed in (0, 1)]
    found = nas.rank(some, table=whole, samples=20)
    assert (found.size, found.truth) == (36, "supernet_4")
    assert [ranking.agreement["kendall"].value for ranking in found.runs] == [1.0, 1.0]  # the same figures
    by_size = nas.rank(some[0], table=whole, truth="macs", samples=20).runs[0]
    assert by_size.best == 18596480  # the smallest of all, whether it was tried or not
    with pytest.raises(nas.InputError, match="another space than"):
        nas.rank(some, table=measured_run.folder)
    with pytest.raises(nas.InputError, match="has no objective 'supernet_8'"):
        nas.rank(some, table=whole, truth="supernet_8")


def test_regret_is_to_the_best_within_the_bounds_of_the_search(tmp_path):
    strategy = tmp_path / "bounded.yaml"
    strategy.write_text(
        "name: bounded\nobjectives: {supernet_4: maximize, macs: {direction: minimize, max: 5.0e7}}\n"
        "phases: [search: {algorithm: exhaustive, evaluator: {type: table, file: pooling36}}]\n"
    )
    run = nas.search("pooling_resnet20", strategy, run=tmp_path / "run", device="cpu")
    (ranking,) = rank(run).runs
    assert ranking.ranked < 36
    assert ranking.best == 0.9105  # [5,1,4], 48 million MACs; [7,1,2] with 0.9201 takes 91
    assert ranking.agreement["regret"].value == pytest.approx(0.9105 - ranking.winner.truth)


def test_the_same_call_gives_the_same_json_and_the_seed_only_moves_intervals(tabular_runs):
    run = tabular_runs / "all" / "exhaustive" / "seed-0"
    first, again, other = (rank(run, seed=seed).to_json() for seed in (0, 0, 1))
    assert json.dumps(first) == json.dumps(again)
    for told in (first["runs"][0], other["runs"][0]):
        low, high = told["kendall"].pop("low"), told["kendall"].pop("high")
        assert low < told["kendall"]["value"] < high
    assert first["runs"][0]["kendall"] == other["runs"][0]["kendall"]
    assert first["interval"] == {"level": 0.95, "over": "architectures", "samples": 20, "seed": 0}


def test_everything_that_does_not_fit_is_one_clear_error(tabular_runs, measured_run, tmp_path):
    run = tabular_runs / "all" / "exhaustive" / "seed-0"
    (tmp_path / "one.csv").write_text("\n".join(ROWS.splitlines()[:2]) + "\n")
    for settings, message in (
        ({"truth": "acuracy"}, "did you mean 'accuracy'"),
        ({"objective": "mac"}, "did you mean 'macs'"),
        ({"phase": "serch"}, "did you mean 'search'"),
        ({"samples": 0}, "samples is 0\n.*a whole number from 1 to 1,000,000"),
        ({"samples": 10**11}, "samples is 100000000000\n.*a whole number from 1 to 1,000,000"),
        ({"table": "pooling37"}, "did you mean 'pooling36'"),
    ):
        with pytest.raises(nas.InputError, match=message):
            rank(run, **settings)
    with pytest.raises(nas.InputError, match="is of the space pooling_resnet20, not of small"):
        rank(measured_run)
    with pytest.raises(nas.InputError, match="another space than"):
        rank([run, measured_run])
    with pytest.raises(nas.InputError, match="named twice"):
        rank([run, run])
    with pytest.raises(nas.InputError, match="expected at least 2"):
        nas.rank(measured_run, table=str(tmp_path / "one.csv"))


@pytest.mark.parametrize("runs", [3, None, [3], [None]])
def test_what_is_no_folder_is_no_run(runs):
    with pytest.raises(nas.InputError, match=r"a run is a folder, got (3|None)"):
        nas.rank(runs, table="pooling36")
    with pytest.raises(nas.InputError, match="expected the folder of a run"):
        nas.open_run(runs)


def test_all_arguments_of_a_wrong_type_are_told_at_once(measured_run):
    with pytest.raises(nas.InputError) as caught:
        nas.rank(measured_run, table=None, data_dir=3, samples="many", seed=-1)
    assert [problem.message for problem in caught.value.problems] == [
        "table is None",
        "data_dir is 3",
        "samples is the text 'many'",
        "seed is -1",
    ]
    with pytest.raises(nas.InputError, match=r"samples is 1\.5\n.*a whole number from 1"):
        nas.rank(measured_run, table="pooling36", samples=1.5)
