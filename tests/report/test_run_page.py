"""Reports of whole runs: whatever a run may hold, there is a page, and it says what is there."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import nasengine as nas
from nasengine.cli.main import app
from nasengine.records import Candidate
from nasengine.report import Figure
from nasengine.report.run_page import run_page
from nasengine.runs import Asked
from nasengine.search.reporting import record_of, report
from nasengine.search.run_file import environment
from nasengine.space import space_from_mapping
from tests.report.written import separable, space_of, write_run

HOSTILE = '<script>alert("x")</script>'
TWO = "{accuracy: maximize, macs: minimize}"


def own_text(run):
    """The page without plotly.js."""
    return re.sub(r"<script>/\*\*\n\* plotly.*?</script>", "", report(run).read_text(encoding="utf-8"), flags=re.DOTALL)


def sections(run):
    return {section.title: section for section in run_page(record_of(run)).sections}


def figures(section):
    return [block for block in section.blocks if isinstance(block, Figure)]


def test_a_search_with_one_objective_has_every_section(tmp_path):
    run = write_run(tmp_path / "run", 60)
    assert list(sections(run)) == [
        "Summary",
        "Cost against quality",
        "Progress",
        "Importance of the choices",
        "Learning curves",
        "The best architecture",
        "How to repeat it",
    ]


def test_the_same_run_gives_the_same_bytes(tmp_path):
    run = write_run(tmp_path / "run", 40, objectives=TWO)
    first = report(run).read_bytes()
    assert report(tmp_path / "run", tmp_path / "elsewhere" / "page.html").read_bytes() == first


def test_the_front_is_that_of_all_completed_trials(tmp_path):
    run = write_run(tmp_path / "run", 60, objectives=TWO)
    (figure,) = figures(sections(run)["Pareto front"])
    front = next(trace for trace in figure.data if trace.get("name") == "Pareto front")
    expected = {(trial.measurements["macs"], trial.measurements["accuracy"]) for trial in run.front}
    assert set(zip(front["x"], front["y"], strict=True)) == expected


def test_the_words_of_a_point_name_the_trial_and_its_choices(tmp_path):
    run = write_run(tmp_path / "run", 30, objectives=TWO)
    (figure,) = figures(sections(run)["Pareto front"])
    trial = run.trials[0]
    text = next(text for trace in figure.data for text in trace.get("text", ()) if "trial 0<" in text)
    for option in trial.architecture.values():
        assert str(option) in text
    assert f"macs {trial.measurements['macs']:,.0f}" in text


def test_choices_that_matter_come_first(tmp_path):
    run = write_run(tmp_path / "run", 120, space=space_of(3))
    (figure,) = figures(sections(run)["Importance of the choices"])
    assert figure.data[0]["y"][-1] == "layers.0.width"
    assert figure.data[0]["x"][-1] > 0.5


def test_three_objectives_are_drawn_in_pairs(tmp_path):
    run = write_run(tmp_path / "run", 30, objectives="{accuracy: maximize, macs: minimize, params: minimize}")
    assert len(figures(sections(run)["Pareto front"])) == 3


def test_figures_are_valid_plotly(tmp_path):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    run = write_run(tmp_path / "run", 60, objectives=TWO)
    for section in sections(run).values():
        for figure in figures(section):
            text = re.sub(r'"@[a-z0-9-]+(/[0-9.]+)?"', '"#000000"', json.dumps(_plain(figure)))
            graph_objects.Figure(json.loads(text))  # raises on a key or value that plotly does not have


def _plain(figure):
    from nasengine.report.blocks import json_in_html

    return json.loads(json_in_html({"data": figure.data, "layout": figure.layout}))


def test_a_run_in_the_middle_of_being_written_is_reported_so(tmp_path):
    run = write_run(tmp_path / "run", 25, running=2, finished=False)
    with (tmp_path / "run" / "journal.jsonl").open("a") as journal:
        journal.write('{"record":"asked","phase":"sea')
    text = own_text(run)
    assert "27 trials: 25 completed, 2 running or to be run again" in text
    assert "nasengine resume" in text


def test_a_run_that_has_asked_nothing_yet_is_reported(tmp_path):
    run = write_run(tmp_path / "run", 0, finished=False)
    assert "none has ended" in own_text(run)
    (tmp_path / "run" / "journal.jsonl").unlink()
    assert "none has ended" in own_text(tmp_path / "run")


def test_one_trial_is_reported(tmp_path):
    text = own_text(write_run(tmp_path / "run", 1))
    assert "importances need at least" in text
    assert 'class="network"' in text


def test_failures_alone_are_grouped_by_reason_with_a_traceback(tmp_path):
    def fail(number, architecture):
        reason = f"RuntimeError: size {number} does not fit" if number % 2 else HOSTILE
        return "failed", {}, reason, {"traceback": f"Traceback\n  {HOSTILE} {number}"}

    run = write_run(tmp_path / "run", 30, fail)
    text = own_text(run)
    assert list(sections(run)) == ["Summary", "Failed and infeasible trials", "How to repeat it"]
    assert "15 × RuntimeError: size 1 does not fit" in text
    assert "15 × &lt;script&gt;" in text
    assert text.count("<details>") == 4  # two reasons, strategy and space
    assert "<script>alert" not in text


def test_infeasible_trials_are_counted_with_their_reasons(tmp_path):
    def measure(number, architecture):
        done = separable(number, architecture)
        return done if number % 3 else ("infeasible", done[1], f"macs = {number} is above the most allowed, 10", {})

    text = own_text(write_run(tmp_path / "run", 60, measure, objectives=TWO))
    assert "20 × macs = 0 is above the most allowed, 10" in text
    assert "40 completed, 20 infeasible" in text


def test_stopped_trials_are_drawn_apart_and_not_ranked(tmp_path):
    def measure(number, architecture):
        done = separable(number, architecture)
        return done if number % 2 else ("stopped", {**done[1], "accuracy": 0.99}, "3 of 27 epochs", {})

    run = write_run(tmp_path / "run", 60, measure)
    progress = figures(sections(run)["Progress"])[0]
    assert [trace["name"] for trace in progress.data] == ["stopped", "trial", "best so far"]
    assert max(progress.data[2]["y"]) < 0.99
    assert all(trial.completed for trial in record_of(run).searches[0].ranked)


def test_while_nothing_is_measured_whole_the_best_of_what_was_stopped_is_shown_as_such(tmp_path):
    def measure(number, architecture):
        return "stopped", separable(number, architecture)[1], "3 of 27 epochs", {}

    text = own_text(write_run(tmp_path / "run", 30, measure))
    assert "none was measured under its whole budget yet" in text
    assert "<td>3 of 27 epochs</td>" in text
    assert "The best architecture" in text


def test_every_search_phase_has_its_own_sections(tmp_path):
    titles = list(sections(write_run(tmp_path / "run", 30, phases=("first", "second"))))
    assert "Progress of first" in titles
    assert "Progress of second" in titles
    assert len(titles) == len(set(titles))


def test_text_from_yaml_is_escaped_everywhere(tmp_path):
    options = [HOSTILE, "b & c", "d"]
    layers = [{"type": "conv_norm_activation", "width": 4, "activation": {"choice": options}} for _ in range(4)]
    best = {f"network.layers.{i}.activation": HOSTILE for i in range(4)}
    space = space_of(
        0,
        about=HOSTILE,
        source=HOSTILE,
        network={"type": "sequential", "layers": [*layers, {"type": "global_average_pool"}, {"type": "linear_head"}]},
        known={"k": {"architecture": best, "about": HOSTILE}},
    )

    def measure(number, architecture):
        value = float(sum(option == HOSTILE for option in architecture.values()))
        return "completed", {"accuracy": value, "macs": value + 1}, "", {"curve": [{"epoch": HOSTILE, "loss": 1.0}]}

    run = write_run(tmp_path / "run", 60, measure, space=space, objectives=TWO)
    assert "Importance of the choices" in sections(run)
    text = own_text(run)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "\\u003cscript" not in text.lower()  # plotly reads markup in its labels: there, too, it is escaped
    assert "\\u0026lt;script" in text.lower()


def test_a_space_that_cannot_be_built_is_reported_without_a_drawing(tmp_path):
    plain = dict(space_of().tree.resolved)
    rules = [{"at": "**", "per": "network", "format": "int8"}]
    space = space_from_mapping({**plain, "quantization": rules}, "quantized.yaml")
    text = own_text(write_run(tmp_path / "run", 30, space=space))
    assert "It is not drawn:" in text
    assert 'class="network"' not in text


def test_known_architectures_are_marked(tmp_path):
    base = {f"network.layers.{i}.{name}": value for i in (0, 1) for name, value in (("width", 8), ("kernel", 3))}
    space = space_of(known={"base": {"architecture": base}})
    run = write_run(tmp_path / "run", 30, space=space, objectives=TWO)
    (figure,) = figures(sections(run)["Pareto front"])
    measured = any(trial.architecture == space.known["base"].architecture for trial in run.trials)
    assert figure.data[-1]["name"] == ("known" if measured else "known, only priced")
    assert "base" in figure.data[-1]["text"][0]


def test_many_trials_are_thinned_out_and_the_page_says_so(tmp_path):
    run = write_run(tmp_path / "run", 2500, objectives=TWO, space=space_of(4))
    path = report(run)
    assert path.stat().st_size < 8e6
    text = own_text(run)
    assert re.search(r"2,0\d\d of 2,500 points are drawn", text)
    progress = figures(sections(run)["Progress"])[0]
    best = next(trace for trace in progress.data if trace["name"] == "best so far")
    assert best["y"][-1] == max(trial.measurements["accuracy"] for trial in run.trials)


def test_the_page_holds_the_command_and_the_resolved_files(tmp_path):
    text = own_text(write_run(tmp_path / "run", 3))
    assert "nasengine search written written.yaml --seed 3" in text
    assert "0123abc+changes" in text
    assert "algorithm:" in text


def test_the_command_writes_the_page_and_says_where(tmp_path):
    write_run(tmp_path / "run", 5)
    done = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "page.html" in done.output
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_folder_that_is_no_run_is_bad_input(tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2


def test_report_can_be_called_from_python(tmp_path):
    write_run(tmp_path / "run", 3)
    assert nas.report(tmp_path / "run") == tmp_path / "run" / "report.html"


def test_an_asked_trial_without_an_outcome_is_no_trial(tmp_path):
    run = write_run(tmp_path / "run", 3, finished=False)
    with (tmp_path / "run" / "journal.jsonl").open("a") as journal:
        journal.write(Asked("search", 3, Candidate(run.space.sample(np.random.default_rng(9))), {"epochs": 1}).line())
    assert len(record_of(run).searches[0].trials) == 3
    assert record_of(run).searches[0].asked == 4


def test_a_run_without_plotly_is_as_good_and_a_note_says_what_is_missing(tmp_path, monkeypatch):
    from nasengine.cli.results import leave_report
    from nasengine.errors import InputError
    from nasengine.report import page

    def missing():
        raise InputError("the report needs plotly, which is not installed")

    run = write_run(tmp_path / "run", 3)
    monkeypatch.setattr(page, "plotly_script", missing)
    notes = []
    assert leave_report(run, notes.append) is None
    assert [note.message for note in notes] == ["no report.html: the report needs plotly, which is not installed"]
    assert not (tmp_path / "run" / "report.html").exists()
    monkeypatch.undo()
    assert leave_report(run, notes.append) == tmp_path / "run" / "report.html"


def test_the_command_is_named_without_the_folder_that_it_is_installed_in():
    assert environment(["/opt/bin/nasengine", "search", "a b"]).command == "nasengine search 'a b'"
    assert environment(["/home/me/bench.py"]).command == "/home/me/bench.py"


def test_a_page_on_few_trials_counts_them_in_words(tmp_path):
    text = own_text(write_run(tmp_path / "run", 1))
    assert "1 different architecture has completed; importances need at least 20." in text
