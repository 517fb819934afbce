"""The section of what was prepared: losses, and which model of a mixture trains which architecture."""

import json
from typing import Any

import numpy as np
import pytest

from nasengine import load_space
from nasengine.algorithms.supernet_samplers import BalancedMixture, Moment
from nasengine.report import Figure, Table
from nasengine.report.blocks import json_in_html
from nasengine.report.run_page import run_page
from nasengine.search.prepared import write_prepared
from nasengine.search.reporting import record_of, report
from nasengine.search.run_view import Run
from nasengine.space.domain import Domain
from tests.report.prepared import EPOCHS, mixture_of, write_prepared_run
from tests.report.written import space_of


def blocks_of(run: Run, kind: type) -> list[Any]:
    section = next(s for s in run_page(record_of(run)).sections if s.title == "What was prepared")
    return [block for block in section.blocks if isinstance(block, kind)]


@pytest.fixture(scope="module")
def mixture() -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    space = load_space("pooling_resnet20")
    return (space, *mixture_of(space, 4))


def test_a_mixture_shows_loss_assignment_families_epochs_and_agreement(tmp_path, mixture):
    space, lines, table = mixture
    run = write_prepared_run(tmp_path / "run", space, lines, table)
    loss, final, by_epoch, agreement = blocks_of(run, Figure)
    assert loss.data[0]["y"] == [line["loss"] for line in lines]
    assert np.shape(final.data[0]["z"]) == (4, 36)
    assert np.array(final.data[0]["z"]).T.tolist() == table["probabilities"]
    assert final.data[0]["x"][0] == "[1, 2]"
    assert np.array(by_epoch.data[0]["z"]).tolist() == [line["owners"] for line in lines]
    assert by_epoch.data[0]["y"] == list(range(1, EPOCHS + 1))
    assert [len(trace["x"]) for trace in agreement.data] == [EPOCHS, EPOCHS]
    assert report(run).stat().st_size > 10_000


def test_families_are_named_by_their_neighbours_with_their_best(tmp_path, mixture):
    space, lines, table = mixture
    (families,) = blocks_of(write_prepared_run(tmp_path / "run", space, lines, table), Table)
    owners = np.argmax(table["probabilities"], axis=1)
    for model, row in enumerate(families.rows):
        assert row[0] == f"model {model}"
        assert row[1] == np.count_nonzero(owners == model)
        assert row[5] in {
            str(space.architecture(table["configurations"][i])["network.downsample_at"])
            .replace("(", "[")
            .replace(")", "]")
            for i in np.flatnonzero(owners == model)
        }
    assert sum(row[1] for row in families.rows) == 36
    assert any(" … " in row[3] for row in families.rows)


def test_agreement_is_with_the_shipped_table_of_the_space_where_there_is_one(tmp_path, mixture):
    space, lines, table = mixture
    *_, agreement = blocks_of(write_prepared_run(tmp_path / "run", space, lines, table), Figure)
    assert "accuracy of the table pooling36" in agreement.caption
    from scipy.stats import kendalltau

    from nasengine.evaluators.tabular import load_table
    from nasengine.evaluators.tabular.description import find_table
    from nasengine.evaluators.tabular.reading import read_description

    truth = load_table(read_description(find_table("pooling36")), space, None)
    worth = dict(zip(truth.architectures, truth.truth("accuracy"), strict=True))
    true = [worth[space.architecture(one)] for one in table["configurations"]]
    assert agreement.data[0]["y"][-1] == pytest.approx(kendalltau(lines[-1]["scores"], true).statistic)


def test_without_a_table_of_truth_only_certainty_is_drawn(tmp_path):
    space = space_of(1)
    lines, table = mixture_of(space, 2)
    *_, agreement = blocks_of(write_prepared_run(tmp_path / "run", space, lines, table), Figure)
    assert len(agreement.data) == 1
    assert "held against" not in agreement.caption


def test_scores_that_are_all_equal_rank_nothing_and_draw_no_agreement(tmp_path, mixture):
    space, lines, table = mixture
    lines = [{**line, "scores": [1.0] * 36} for line in lines]
    *_, agreement = blocks_of(write_prepared_run(tmp_path / "run", space, lines, table), Figure)
    assert [trace["name"] for trace in agreement.data] == ["mean probability of the likeliest model"]


def test_while_it_goes_on_the_assignment_so_far_is_shown(tmp_path, mixture):
    space, lines, _ = mixture
    loss, by_epoch, agreement = blocks_of(write_prepared_run(tmp_path / "run", space, lines[:5]), Figure)
    assert len(loss.data[0]["y"]) == len(by_epoch.data[0]["z"]) == len(agreement.data[0]["y"]) == 5


def test_shared_weights_without_a_mixture_show_their_loss_alone(tmp_path):
    lines = [{"epoch": e, "loss": 1 / e, "rate": 0.1, "seconds": 2.0} for e in (1, 2, 3)]
    run = write_prepared_run(tmp_path / "run", space_of(1), lines, sampler="single_path")
    (figure,) = blocks_of(run, Figure)
    assert figure.data[0]["y"] == [1, 1 / 2, 1 / 3]
    assert not blocks_of(run, Table)


def test_a_phase_that_is_prepared_is_not_left_to_be_done_and_its_files_are_listed(tmp_path, mixture):
    space, lines, table = mixture
    run = write_prepared_run(tmp_path / "run", space, lines, table)
    assert record_of(run).state.endswith("Not finished: prepare to be done.")
    write_prepared(tmp_path / "run" / "prepare", "shared_weights", "4 models", 18.0)
    assert record_of(run).state.endswith("Finished.")
    assert {"prepare/table.json", "prepare/history.jsonl"} <= {name for name, _ in record_of(run).files}


DAMAGED = ['{"conf', "5", '{"configurations": 5}', '{"configurations": [{"a": 1}]}', '{"configurations": []', "{}"]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_table_is_said_and_the_rest_is_reported(tmp_path, mixture, damage):
    run = write_prepared_run(tmp_path / "run", mixture[0], mixture[1], mixture[2])
    (tmp_path / "run" / "prepare" / "table.json").write_text(damage)
    (prepared,) = record_of(run).prepared
    assert dict(prepared.about)["left out"].startswith("table.json is damaged: ")
    assert len(blocks_of(run, Figure)) > 1  # the loss, and the assignment as far as the history has it


def test_a_table_whose_rows_are_not_those_of_its_configurations_is_left_out(tmp_path, mixture):
    space, lines, table = mixture
    run = write_prepared_run(tmp_path / "run", space, lines, {**table, "configurations": table["configurations"][1:]})
    (prepared,) = record_of(run).prepared
    assert dict(prepared.about)["left out"] == "table.json is damaged: probabilities of other configurations"


@pytest.mark.parametrize("damage", [b"\xff\n", b"5\n", b'{"epoch"'])
def test_epochs_before_a_damaged_line_are_reported(tmp_path, mixture, damage):
    space, lines, _ = mixture
    run = write_prepared_run(tmp_path / "run", space, lines[:2])
    with (tmp_path / "run" / "prepare" / "history.jsonl").open("ab") as file:
        file.write(damage)
    assert len(blocks_of(run, Figure)[0].data[0]["y"]) == 2


def test_a_phase_that_has_not_begun_has_no_section(tmp_path):
    run = write_prepared_run(tmp_path / "run", space_of(1), [])
    assert "What was prepared" not in [section.title for section in run_page(record_of(run)).sections]


def test_many_models_and_configurations_are_thinned_and_stay_valid_plotly(tmp_path):
    graph_objects = pytest.importorskip("plotly.graph_objects")
    space = space_of(3)  # 1,728 architectures
    sampler = BalancedMixture(domain=Domain(space), models=8)
    lines = []
    for epoch in range(3):
        sampler.begin_epoch(Moment(epoch, 3, epoch, 3, 1))
        sampler.draw(Moment(epoch, 3, epoch, 3, 1), np.random.default_rng(epoch))
        lines.append({"epoch": epoch + 1, "loss": 1.0, "seconds": 1.0, **sampler.record()})
    for figure in blocks_of(write_prepared_run(tmp_path / "run", space, lines, sampler.table()), Figure):
        text = json_in_html({"data": figure.data, "layout": figure.layout})
        assert len(text) < 1_000_000
        for role in ("panel", "series-1", "series-2", "series-3", "series-4", "series-5", "series-6"):
            text = text.replace(f'"@{role}"', '"#000000"').replace(f'"@{role}/0.45"', '"#000000"')
        graph_objects.Figure(json.loads(text))  # raises on a key or value that plotly does not have
