"""Comparisons run strategies as ordinary runs, go on after a kill, and refuse what cannot be compared."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import nasengine as nas
from nasengine.errors import InputError
from nasengine.runs import canonical_records
from nasengine.search.comparing import addressed_to

TABLE = "pooling36"
BOTH = ["random_search", "regularized_evolution"]


def compare(folder, strategies=BOTH, **changes):
    settings = {"table": TABLE, "seeds": 3, "trials": 12, **changes}
    return nas.compare(strategies, out=folder, **settings)


def reason(folder, strategies=BOTH, **changes):
    with pytest.raises(InputError) as caught:
        compare(folder, strategies, **changes)
    return str(caught.value)


def own(folder, name, text):
    (folder / f"{name}.yaml").write_text(f"name: {name}\n{text}")
    return folder / f"{name}.yaml"


def test_every_search_is_an_ordinary_run_and_the_judge_reads_their_journals(tmp_path):
    seen = []
    comparison = compare(tmp_path, on_searched=lambda *progress: seen.append(progress))
    assert seen[-1] == ("regularized_evolution", 2, 6, 6)
    assert {judged.strategy for judged in comparison.strategies} == set(BOTH)
    run = nas.open_run(tmp_path / "random_search" / "seed-2")
    assert (len(run.trials), run.settings.seed) == (12, 2)
    by_name = {judged.strategy: judged for judged in comparison.strategies}
    best = max(trial.measurements["accuracy"] for trial in run.trials)
    assert by_name["random_search"].merit.final[2] == pytest.approx(0.9201 - best)
    assert json.loads((tmp_path / "compare.json").read_text()) == comparison.to_json()
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert len(rows) == 2 * 3 * 12
    assert rows[0].keys() == {"strategy", "seed", "trial", "regret_of_accuracy", "hypervolume"}
    page = (tmp_path / "compare.html").read_text()
    assert "regularized_evolution" in page
    assert "src=" not in page.split("<script>")[0]


def test_the_same_call_again_searches_nothing_and_finds_the_same(tmp_path):
    first = compare(tmp_path)
    content = (tmp_path / "compare.json").read_bytes()
    began = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("journal.jsonl")}
    again = compare(tmp_path, on_searched=lambda *progress: pytest.fail(f"searched again: {progress}"))
    assert again == first
    assert (tmp_path / "compare.json").read_bytes() == content
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("journal.jsonl")} == began
    other = compare(tmp_path / "elsewhere")
    assert other.to_json() == first.to_json()


def test_another_comparison_is_not_mixed_in(tmp_path):
    compare(tmp_path, ["random_search"], seeds=1)
    assert "holds a search with another strategy" in reason(tmp_path, ["random_search"], seeds=1, trials=13)
    assert len(compare(tmp_path, ["random_search"], seeds=2).strategies[0].seeds) == 2


@pytest.mark.slow
def test_processes_find_what_one_process_finds(tmp_path):
    alone = compare(tmp_path / "alone", seeds=2)
    together = compare(tmp_path / "together", seeds=2, workers=2)
    assert together.to_json() == alone.to_json()


KILLED = """
import sys, nasengine as nas
nas.compare(["random_search", "regularized_evolution"], table="pooling36", seeds=4, trials=60, out=sys.argv[1])
"""


@pytest.mark.slow
def test_a_comparison_that_is_killed_goes_on(tmp_path):
    strategies = ["random_search", "regularized_evolution"]
    whole = compare(tmp_path / "whole", strategies, seeds=4, trials=60)
    folder = tmp_path / "killed"
    for search in (1, 4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*/*/journal.jsonl"))) <= search and time.monotonic() < deadline:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / "compare.json").exists()
    resumed = compare(folder, strategies, seeds=4, trials=60)
    assert resumed.to_json() == whole.to_json()
    for journal in (tmp_path / "whole").rglob("journal.jsonl"):
        other = folder / journal.relative_to(tmp_path / "whole")
        assert canonical_records(journal) == canonical_records(other)


def test_the_objectives_are_the_strategies_or_those_named(tmp_path):
    comparison = compare(tmp_path / "own", ["random_search", "accuracy_and_macs"], seeds=2)
    assert comparison.objectives == {"accuracy": "maximize", "macs": "minimize"}
    assert all(judged.volume is not None for judged in comparison.strategies)
    comparison = compare(tmp_path / "named", ["random_search"], seeds=1, objectives=["supernet_8", "macs"])
    assert comparison.objectives == {"supernet_8": "maximize", "macs": "minimize"}
    assert comparison.merit == "regret of supernet_8"
    run = nas.open_run(tmp_path / "named" / "random_search" / "seed-0")
    assert [objective.name for objective in run.strategy.objectives] == ["supernet_8", "macs"]


def test_settings_are_changed_for_all_or_for_one(tmp_path):
    compare(tmp_path, seeds=1, set=["lag=3", "regularized_evolution:search.population=5"], lag=2)
    strategy = nas.open_run(tmp_path / "regularized_evolution" / "seed-0").strategy
    assert (strategy.lag, strategy.phases[0].algorithm.settings["population"]) == (3, 5)
    assert addressed_to("a", ["x=1", "a:y=2", "b:z=3", "c:w=4"], ["a", "b"]) == ["x=1", "y=2", "c:w=4"]


def test_bounds_make_the_best_that_is_within_them_the_best_there_is(tmp_path):
    bounded = own(
        tmp_path,
        "bounded",
        "objectives: {accuracy: maximize, macs: {max: 5.0e7}}\nphases:\n"
        "  - search: {algorithm: exhaustive, evaluator: {type: standalone, budget: {epochs: 1}}}\n",
    )
    comparison = compare(tmp_path / "out", [bounded], seeds=1, trials=40)
    assert comparison.optimum == 0.9105  # [5,1,4], 48.28 M MACs
    assert comparison.strategies[0].merit.final == (0.0,)
    assert "keep different bounds" in reason(tmp_path / "both", [bounded, "random_search"])


def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path):
    out = tmp_path / "out"
    assert "did you mean 'pooling36'" in reason(out, table="poling36")
    assert "two of the strategies are called random_search" in reason(out, ["random_search", "random_search"])
    assert "seeds is 0" in reason(out, seeds=0)
    assert "does not measure the objective 'latency_ms'" in reason(out, objectives=["latency_ms"])
    assert "the table is of the space pooling_resnet20, not of quickstart" in reason(out, space="quickstart")
    latency = own(
        tmp_path,
        "latency",
        "objectives: {latency_ms: minimize}\nphases:\n"
        "  - search: {algorithm: exhaustive, evaluator: {type: standalone, budget: {epochs: 1}}}\n",
    )
    assert "is about 'latency_ms', which the table pooling36 does not measure" in reason(out, [latency])
    twice = own(
        tmp_path,
        "twice",
        "objectives: {accuracy: maximize}\nphases:\n"
        + "".join(
            f"  - search: {{name: s{i}, algorithm: exhaustive, evaluator: {{type: table, file: pooling36}}}}\n"
            for i in range(2)
        ),
    )
    assert "has 2 search phases" in reason(out, [twice])
    (tmp_path / "plain.csv").write_text('network.downsample_at,accuracy\n"[4, 7]",0.5\n')
    assert "does not say which space it is of" in reason(out, table=str(tmp_path / "plain.csv"))
    assert not out.exists()


def test_runs_are_compared_by_what_they_have_in_common(tmp_path):
    compare(tmp_path, seeds=2)
    runs = sorted(tmp_path.glob("*/seed-*"))
    comparison = nas.compare_runs(runs, out=tmp_path / "judged")
    assert comparison.table == TABLE
    assert (tmp_path / "judged" / "compare.html").is_file()
    same = json.loads((tmp_path / "compare.json").read_text())
    mine = comparison.to_json()
    for judged in (*same["strategies"], *mine["strategies"]):
        judged.pop("folders")
    assert mine == same
    with pytest.raises(InputError, match="named twice"):
        nas.compare_runs([runs[0], runs[0]])
    with pytest.raises(InputError, match="is not a run"):
        nas.compare_runs([tmp_path / "nothing"])


BY_BUDGET = """
name: by_budget
space: pooling_resnet20
data: pooling36.csv
measurements:
  accuracy: {by: epochs, columns: {3: m1, 27: accuracy}, direction: maximize, scale: 0.01}
  macs: minimize
"""


def test_what_derives_its_answer_from_a_training_cannot_be_compared_on_a_table(tmp_path):
    assert "the algorithm 'derived' reads probabilities" in reason(tmp_path, ["darts"])


@pytest.mark.parametrize("strategy", sorted(set(nas.shipped("strategies")) - {"darts"}))
def test_every_shipped_strategy_can_be_compared_on_a_table(tmp_path, repository, strategy):
    tables = repository / "search_spaces" / "tables"
    shutil.copy(tables / "pooling36.csv", tmp_path)
    (tmp_path / "by_budget.yaml").write_text(BY_BUDGET)
    comparison = compare(
        tmp_path / "out", [strategy], table=str(tmp_path / "by_budget.yaml"), seeds=2, trials=30, lag=1
    )
    (judged,) = comparison.strategies
    assert (judged.failed, len(judged.merit.final)) == (0, 2)
    assert all(final < 0.02 for final in judged.merit.final)


def test_what_divides_a_budget_needs_a_table_that_tells_budgets_apart(tmp_path):
    assert "expected a table with columns by budget" in reason(tmp_path, ["successive_halving"])
    tables = nas.shipped("search_spaces/tables")
    shutil.copy(tables["pooling36"].with_suffix(".csv"), tmp_path)
    (tmp_path / "by_budget.yaml").write_text(BY_BUDGET)
    comparison = compare(
        tmp_path / "out", ["successive_halving"], table=str(tmp_path / "by_budget.yaml"), seeds=1, trials=30, lag=1
    )  # fmt: skip
    run = nas.open_run(tmp_path / "out" / "successive_halving" / "seed-0")
    stopped = [trial for trial in run.trials if trial.status == "stopped"]
    assert stopped[0].measurements["accuracy"] < 0.85 < run.best.trial.measurements["accuracy"]
    assert len(comparison.strategies[0].merit.mean) < 30  # counted in whole evaluations


@pytest.mark.slow
@pytest.mark.data
def test_random_search_on_nas_bench_201_finds_what_the_anchor_says(tmp_path, data_folder):
    """README of the data: of 100 random cells the best by validation has 93.76 % test accuracy, mean of 2,000 runs."""
    comparison = compare(
        tmp_path, ["random_search"], table="nas_bench_201_cifar10", data_dir=data_folder, seeds=40, trials=100
    )  # fmt: skip
    found = comparison.optimum - np.array(comparison.strategies[0].merit.final)
    assert comparison.optimum == pytest.approx(0.943733)
    standard_error = 0.0029 / np.sqrt(40)
    assert found.mean() == pytest.approx(0.9376, abs=3 * standard_error)
