"""`nasengine rank`: tables for people, one object for scripts, one clear error for what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import nasengine as nas
from nasengine.cli.guard import BAD_INPUT


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    nas.compare(["random_search"], table="pooling36", objectives=["supernet_4"], seeds=2, trials=20, out=folder)
    return sorted(folder.glob("*/seed-*"))


def test_a_run_is_shown_with_intervals_and_macs_beside_it(nasengine, runs):
    printed = nasengine("rank", runs[0], "--table", "pooling36", "--truth", "accuracy", "--samples", 50)
    assert printed.exit_code == 0, printed.output
    assert "supernet_4 of 1 run on pooling_resnet20, held against accuracy of 36 architectures" in printed.stdout
    for part in ("Kendall τ-b", "MACs alone", "95 % interval", "τ-b ahead of MACs", "top 10", "winner of"):
        assert part in printed.stdout
    assert "20 architectures are in both: the run ranks 20, the table has 36" in printed.stdout
    assert "50 bootstrap samples of the architectures (seed 0)" in printed.stdout


def test_several_runs_have_mean_and_deviation(nasengine, runs):
    printed = nasengine("rank", *runs, "--table", "pooling36", "--truth", "accuracy", "--samples", 20)
    assert printed.exit_code == 0, printed.output
    for part in ("± sd", "mean of the runs", "mean of the runs' measurements"):
        assert part in printed.stdout


def test_json_is_one_object(nasengine, runs):
    printed = nasengine("rank", *runs, "--table", "pooling36", "--truth", "accuracy", "--samples", 20, "--json")
    told = json.loads(printed.stdout)
    assert [run["run"] for run in told["runs"]] == [str(run) for run in runs]
    assert told["spreads"]["kendall"]["n"] == 2
    assert set(told["runs"][0]["top_3"]) == {"value", "low", "high"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--table", "pooling37"), "did you mean 'pooling36'"),
        (("--table", "pooling36", "--truth", "acuracy"), "did you mean 'accuracy'"),
        (("--table", "pooling36", "--phase", "serch"), "did you mean 'search'"),
        (("--table", "nowhere.csv"), "there is no table 'nowhere.csv'"),
        (("--table", "runs/nowhere"), "expected the folder of a run, a .csv file"),
        (("--table", "pooling36", "--samples", 10**11), "expected a whole number from 1 to 1,000,000"),
    ],
)
def test_bad_input_is_one_clear_error(nasengine, runs, arguments, message):
    ended = nasengine("rank", runs[0], *arguments)
    assert ended.exit_code == BAD_INPUT
    assert message in ended.stderr


def test_a_run_whose_search_was_broken_off_is_ranked_with_a_note(nasengine, runs, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(runs[0], broken)
    (broken / "search" / "architectures.jsonl").unlink()
    printed = nasengine("rank", runs[1], "--table", broken, "--samples", 20)
    assert printed.stdout.count("has not ended") == 1
    assert f"note: the search of {broken} has not ended; what it has measured so far counts" in printed.stdout
    told = json.loads(nasengine("rank", broken, runs[1], "--table", runs[1], "--samples", 20, "--json").stdout)
    assert told["unfinished"] == [str(broken)]


def test_a_run_can_be_the_truth_and_what_is_no_run_is_refused(nasengine, runs, tmp_path):
    ended = nasengine("rank", tmp_path, "--table", "pooling36")
    assert ended.exit_code == BAD_INPUT
    assert str(tmp_path) in ended.stderr
    printed = nasengine("rank", runs[0], "--table", runs[1], "--samples", 20)
    assert printed.exit_code == 0, printed.output
    assert f"held against supernet_4 of 20 architectures in the table {runs[1]}" in printed.stdout
