"""Strategies judged: regrets of made-up searches worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nasengine.objectives import Objective
from nasengine.records import Architecture, Candidate, Trial
from nasengine.report.comparison import comparison_page, reach_rows, summary_rows, volume_rows
from nasengine.report.judging import Known, Searched, judge

ACCURACY, MACS = Objective("accuracy", "maximize"), Objective("macs", "minimize")
# Five architectures: what a search is told, what is true, and what they cost.
TOLD = [0.5, 0.6, 0.7, 0.8, 0.9]
TRUE = [0.52, 0.70, 0.66, 0.85, 0.80]
COST = [10.0, 20.0, 30.0, 40.0, 50.0]
ARCHITECTURES = [Architecture({"network.width": width}) for width in range(5)]


def known(feasible=(True,) * 5):
    return Known(
        name="made up",
        rows={architecture.key: row for row, architecture in enumerate(ARCHITECTURES)},
        measured={"accuracy": -np.array(TOLD), "macs": np.array(COST)},
        true=-np.array(TRUE),
        truth="test_accuracy",
        feasible=np.array(feasible),
    )


def search(name, *rows, seed=0, budgets=()):
    trials = []
    for number, row in enumerate(rows):
        budget, resumes = budgets[number] if budgets else (None, None)
        failed = row is None
        measured = {} if failed else {"accuracy": TOLD[row], "macs": COST[row]}
        partial = budget is not None and budget["epochs"] < budget["of_epochs"]
        status = "failed" if failed else "stopped" if partial else "completed"
        candidate = Candidate(ARCHITECTURES[row or 0], (), budget, resumes)
        trials.append(Trial(number, candidate, status, measured))
    return Searched(name, seed, f"{name}/seed-{seed}", tuple(trials))


def test_regret_is_the_true_value_of_what_the_search_itself_takes_for_best():
    # Told 0.6, 0.7, 0.9; true 0.70, 0.66, 0.80; the truly best has 0.85.
    comparison = judge([search("a", 1, 2, 4)], [ACCURACY], "made", known())
    assert comparison.strategies[0].merit.values[0] == pytest.approx((0.15, 0.19, 0.05))
    assert (comparison.merit, comparison.falling, comparison.optimum) == ("regret of test_accuracy", True, 0.85)


def test_before_anything_completes_the_regret_is_that_of_the_worst():
    comparison = judge([search("a", None, 0, 3)], [ACCURACY], "made", known())
    assert comparison.strategies[0].merit.values[0] == pytest.approx((0.33, 0.33, 0.0))
    assert comparison.strategies[0].failed == 1


def test_what_breaks_the_bounds_is_not_the_best_that_could_be_found():
    comparison = judge([search("a", 4)], [ACCURACY], "made", known((True, True, True, False, True)))
    assert comparison.optimum == 0.80
    assert comparison.strategies[0].merit.values[0] == (0.0,)


def test_hypervolume_is_a_share_of_the_box_between_worst_and_best_of_the_table():
    # Scaled losses: accuracy (0.9 - x) / 0.4, macs (x - 10) / 40. Row 2: (0.5, 0.5), a quarter; row 3 adds its corner.
    comparison = judge([search("a", 2, 3, 0)], [ACCURACY, MACS], "made", known())
    volume = comparison.strategies[0].volume
    assert volume is not None
    assert volume.values[0] == pytest.approx((0.25, 0.25 + 0.25 * 0.25, 0.3125))
    assert comparison.reference == {"accuracy": 0.5, "macs": 50.0}


def test_strategies_are_ranked_and_compared_by_their_last_figures():
    searches = [search("bad", 0, 1, seed=seed) for seed in range(5)] + [
        search("good", 4, 4, seed=seed) for seed in range(5)
    ]
    comparison = judge(searches, [ACCURACY], "made", known())
    assert [judged.strategy for judged in comparison.strategies] == ["good", "bad"]
    (pair,) = comparison.pairs
    assert (pair.first, pair.second, pair.better) == ("good", "bad", 1.0)
    assert pair.difference == pytest.approx(0.05 - 0.15)
    assert pair.p == pair.p_holm == pytest.approx(2 / 252)  # of all ways to divide ten, two are as far apart


def test_targets_are_the_best_shares_of_the_table():
    comparison = judge([search("a", 1, 4, 3), search("a", 1, 2, seed=1)], [ACCURACY], "made", known())
    (best,) = comparison.strategies[0].reach  # of five architectures 10 %, 1 % and 0.1 % are all the best alone
    assert (best.target, best.share, best.seeds, best.trials) == (0.0, 0.2, 0, None)
    comparison = judge([search("a", 1, 4), search("a", 4, seed=1)], [ACCURACY], "made", known(), [0.06])
    (chosen,) = comparison.strategies[0].reach
    assert (chosen.target, chosen.share, chosen.seeds, chosen.trials) == (0.06, None, 2, 1.5)


def test_without_a_table_the_best_measured_value_counts():
    comparison = judge([search("a", None, 1, 0, 4)], [ACCURACY], "made")
    assert comparison.strategies[0].merit.values[0] == (None, 0.6, 0.6, 0.9)
    assert (comparison.merit, comparison.falling, comparison.table) == ("best accuracy", False, None)
    comparison = judge([search("a", 1, 4), search("b", 4, 4)], [ACCURACY], "made", targets=[0.7])
    assert [judged.strategy for judged in comparison.strategies] == ["a", "b"]
    assert [judged.reach[0].trials for judged in comparison.strategies] == [2.0, 1.0]


def test_a_search_that_ended_early_counts_with_what_it_ended_with():
    comparison = judge([search("a", 3), search("a", 0, 0, 0, seed=1)], [ACCURACY], "made", known())
    assert comparison.strategies[0].merit.mean == pytest.approx((0.165, 0.165, 0.165))


def test_parts_of_a_budget_are_counted_as_parts():
    third, rest = {"epochs": 9, "of_epochs": 27}, {"epochs": 27, "of_epochs": 27}
    budgets = [(third, None), (third, None), (third, None), (rest, 1)]  # 1/3 each, then the other 2/3 of trial 1
    comparison = judge([search("a", 0, 4, 1, 4, budgets=budgets)], [ACCURACY], "made", known())
    # After one whole evaluation row 4 leads those measured in part; after the second (1 2/3) it is measured whole.
    assert comparison.strategies[0].merit.values[0] == pytest.approx((0.05, 0.05))


def test_what_is_measured_whole_goes_before_what_is_measured_in_part():
    third, whole = {"epochs": 9, "of_epochs": 27}, {"epochs": 27, "of_epochs": 27}
    budgets = [(third, None), (third, None), (third, None), (whole, None)]
    comparison = judge([search("a", 4, 4, 4, 1, budgets=budgets)], [ACCURACY], "made", known())
    assert comparison.strategies[0].merit.values[0] == pytest.approx((0.05, 0.15))


def test_a_comparison_is_plain_json_without_curves():
    searches = [search("a", 1, 4), search("b", 0, None)]
    told = judge(searches, [ACCURACY, MACS], "made", known()).to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["strategies"][0]["merit"].keys() == {"mean", "deviation", "low", "high", "final"}
    assert told == judge(searches, [ACCURACY, MACS], "made", known()).to_json()


def test_the_page_says_what_the_numbers_mean_and_escapes_names():
    searches = [search("<b>a</b>", 1, 4, seed=seed) for seed in range(4)] + [
        search("b", 0, None),
        search("b", 3, 1, seed=1),
    ]
    comparison = judge(searches, [ACCURACY, MACS], "made", known())
    html = comparison_page(comparison).html()
    assert "<b>a" not in html
    assert "table made up: 2 strategies, 6 searches" in html
    assert html.count('class="chart"') == 2
    assert "accuracy 0.5, macs 50" in html
    for head, rows in (summary_rows(comparison), volume_rows(comparison)):
        assert [len(row) for row in rows] == [len(head)] * 2


def axis_of(comparison):
    figure = comparison_page(comparison).sections[0].blocks[0]
    return figure, figure.layout["yaxis"]


def test_regret_is_drawn_on_a_logarithmic_axis_whose_lowest_line_stands_for_zero():
    searches = [search("a", 1, 3), search("b", 0, 2), search("c", 4)]  # regrets 0.15, 0; 0.33, 0.19; 0.05
    comparison = judge(searches, [ACCURACY], "made", known())
    figure, axis = axis_of(comparison)
    assert axis["type"] == "log"
    assert (axis["tickvals"][0], axis["ticktext"][0]) == (0.02, "0")
    drawn = [value for trace in figure.data for value in trace["y"]]
    assert min(drawn) == 0.02
    assert max(drawn) == pytest.approx(0.33)
    assert figure.data[2]["customdata"][-1][0] == 0, "what is shown on pointing is the figure itself"
    assert "down to 0.02; smaller values, 0 included, lie on its lowest line" in figure.caption


def test_an_axis_without_zeros_calls_its_lowest_line_by_its_value():
    figure, axis = axis_of(judge([search("a", 1, 4)], [ACCURACY], "made", known()))
    assert axis["ticktext"][0] == "0.02"
    assert "lowest line" not in figure.caption


def test_nothing_above_zero_needs_no_logarithm():
    _, axis = axis_of(judge([search("a", 3)], [ACCURACY], "made", known()))
    assert "type" not in axis


def test_many_pairs_are_a_matrix_with_their_list_folded():
    strategies = [search(name, row, seed=seed) for row, name in enumerate("abcd") for seed in range(5)]
    html = comparison_page(judge(strategies, [ACCURACY], "made", known())).html()
    assert "<details><summary>All 6 pairs with their p-values</summary>" in html
    # d is the best, c and b follow (0.66 and 0.70 are true of them), a is the last: every pair differs, p 0.0079 · 6.
    assert '<th scope="row">1 d</th><td class="right"><span class="quiet">–</span></td>' in html
    assert html.count('<span class="strong">100 %</span>') == 6
    few = comparison_page(judge(strategies[:10], [ACCURACY], "made", known())).html()
    assert "<details>" not in few


def test_a_search_that_never_comes_to_a_target_counts_as_the_last():
    def soon(*rows):
        return judge([search("a", 0, row, seed=seed) for seed, row in enumerate(rows)], [ACCURACY], "made", known())

    (most,) = soon(3, 3, 1).strategies[0].reach
    assert (most.seeds, most.trials) == (2, 2.0)
    comparison = soon(3, 1, 1)
    (few,) = comparison.strategies[0].reach
    assert (few.seeds, few.trials) == (1, None)
    assert reach_rows(comparison)[1] == [["a", "1 of 3"]]


def test_of_one_search_no_spread_is_claimed():
    comparison = judge([search("a", 1)], [ACCURACY], "made", known())
    assert summary_rows(comparison)[1] == [["a", pytest.approx(0.15), None, None, 1, 1]]
    assert comparison.to_json()["strategies"][0]["merit"]["deviation"] is None


def test_the_axis_reaches_down_to_the_intervals_but_not_to_one_far_below():
    near = [search("a", 4, seed=0), search("a", 2, seed=1)]  # regrets 0.05 and 0.19: the mean is 0.12
    assert axis_of(judge(near, [ACCURACY], "made", known()))[1]["tickvals"][0] == 0.02
    far = [search("a", 3, seed=0), search("a", 2, seed=1)]  # 0 and 0.19: the interval ends at 0
    figure, axis = axis_of(judge(far, [ACCURACY], "made", known()))
    assert axis["tickvals"][0] == 0.05
    assert "smaller values, 0 included" in figure.caption


def test_where_trials_cost_parts_the_axis_counts_whole_evaluations():
    parts = [({"epochs": 1, "of_epochs": 2}, None)] * 4
    figure, _ = axis_of(judge([search("a", 4, 1, 2, 0, budgets=parts)], [ACCURACY], "made", known()))
    assert figure.layout["xaxis"]["title"]["text"] == "whole evaluations"
    assert "count as that part of an evaluation" in figure.caption
