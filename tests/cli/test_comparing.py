"""`nasengine compare`: a table for people, one object for scripts, one clear error for what is wrong."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from nasengine.cli.guard import BAD_INPUT

QUICK = ("--table", "pooling36", "--seeds", "2", "--trials", "8")


def test_strategies_are_ranked_with_intervals_and_tests(nasengine, tmp_path):
    printed = nasengine("compare", "random_search", "exhaustive", *QUICK, "--out", tmp_path / "out")
    assert printed.exit_code == 0, printed.output
    assert "regret of accuracy" in printed.stdout
    assert "95 % interval" in printed.stdout
    assert "very best (2.8 %)" in printed.stdout
    assert "Mann-Whitney tests" in printed.stdout
    assert "searched 4 of 4" in printed.stdout
    assert f"curves to look at: {tmp_path / 'out' / 'compare.html'}" in printed.stdout


def test_json_is_one_object_and_stays_the_same(nasengine, tmp_path):
    command = ("compare", "random_search", *QUICK, "--out", tmp_path / "out", "--json", "--objectives", "accuracy,macs")
    first = nasengine(*command)
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert told["objectives"] == {"accuracy": "maximize", "macs": "minimize"}
    assert told["strategies"][0]["volume"]["mean"] > 0
    assert nasengine(*command).stdout == first.stdout
    told.pop("folder")
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == told


def test_runs_are_compared_by_their_folders(nasengine, tmp_path):
    nasengine("compare", "random_search", "exhaustive", *QUICK, "--out", tmp_path / "out")
    runs = [str(path) for path in sorted(tmp_path.glob("out/*/seed-*"))]
    printed = nasengine("compare", *runs, "--reach", "0.02")
    assert printed.exit_code == 0, printed.output
    assert "strategy       to 0.02" in printed.stdout
    assert "compare.html" not in printed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("random_search",), "random_search is no folder of a run"),
        (("random_search", "--seeds", "3"), "--seeds without --table"),
        (("random_serch", *QUICK), "did you mean 'random_search'"),
        (("random_search", "--table", "pooling37"), "did you mean 'pooling36'"),
        (("random_search", *QUICK, "--objectives", "acuracy"), "did you mean 'accuracy'"),
        (("random_search", *QUICK, "--reach", "soon"), "--reach is 'soon'"),
        (("random_search", *QUICK, "--set", "search.population=5"), "'population' is no setting of this search phase"),
        (("pooling_resnet20", "random_search", *QUICK), "expected --space pooling_resnet20"),
        (("pooling36", "--table", "random_search"), "expected --table pooling36"),
        (("random_search", *QUICK, "--space", "quickstart"), "is of the space pooling_resnet20, not of quickstart"),
    ],
)
def test_bad_input_is_one_clear_error(nasengine, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ended = nasengine("compare", *arguments)
    assert ended.exit_code == BAD_INPUT
    assert message in ended.stderr
    assert "Traceback" not in ended.output
    assert not (tmp_path / "runs").exists()


def test_a_comparison_is_never_written_among_other_things(nasengine, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out in ("mine", "mine/notes.txt"):
        ended = nasengine("compare", "random_search", *QUICK, "--out", tmp_path / out)
        assert ended.exit_code == BAD_INPUT
        assert "expected a new or an empty folder, or one of an earlier comparison" in ended.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_without_plotly_the_comparison_is_told_all_the_same(nasengine, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "plotly" else found(name, *rest)
    )
    ended = nasengine("compare", "random_search", *QUICK, "--out", tmp_path / "out")
    assert ended.exit_code == 0, ended.output
    assert "very best (2.8 %)" in ended.stdout
    assert "pip install 'nasengine[report]'" in ended.stdout
    assert (tmp_path / "out" / "curves.csv").is_file()
    assert not (tmp_path / "out" / "compare.html").exists()


def test_a_run_without_trials_does_not_blank_out_the_others(nasengine, tmp_path):
    nasengine("compare", "random_search", *QUICK, "--out", tmp_path / "out")
    begun = tmp_path / "out" / "random_search" / "seed-0"
    (tmp_path / "empty").mkdir()
    shutil.copy(begun / "run.yaml", tmp_path / "empty")
    ended = nasengine("compare", begun, tmp_path / "empty")
    assert ended.exit_code == BAD_INPUT
    assert "empty has no trial that ended" in ended.stderr
