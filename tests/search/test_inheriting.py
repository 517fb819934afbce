"""What may inherit weights from what: every pair that cannot is refused before anything runs, once and at its place."""

from __future__ import annotations

import json
import shutil

import pytest

from nasengine.errors import InputError
from nasengine.search.new_run import new_run_settings
from nasengine.search.run_file import write_run_file
from tests.evaluators.prepared import write_supernet
from tests.search.small import quick_strategy, small_space
from tests.search.supernet_runs import STARTED, STRATEGY

SEARCH = "      evaluator: {type: supernet, images: 64}\n"
PREPARE = STRATEGY[STRATEGY.index("  - prepare") : STRATEGY.index("  - search")]


def reasons(text=STRATEGY, *overrides):
    with pytest.raises(InputError) as caught:
        new_run_settings(small_space(), quick_strategy(*overrides, text=text), device="cpu")
    return [str(problem) for problem in caught.value.problems]


def without_prepare(text=STRATEGY):
    return text.replace(PREPARE, "").replace(" start: prepare,", "")


def accepted(text):
    return new_run_settings(small_space(), quick_strategy(text=text), device="cpu")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """RUN/prepare of another run of the same strategy."""
    run = tmp_path_factory.mktemp("runs") / "other"
    write_supernet(run / "prepare", small_space())
    write_run_file(run, accepted(STRATEGY))
    return run / "prepare"


def test_what_fits_is_accepted(elsewhere):
    accepted(STRATEGY)
    accepted(STARTED)
    accepted(without_prepare().replace(SEARCH, f"      from: {elsewhere}\n{SEARCH}"))
    accepted(STARTED.replace("start: prepare", f"start: {elsewhere}"))
    accepted(STRATEGY.replace("start: prepare", f"start: {elsewhere}"))


def test_shared_weights_must_come_from_somewhere():
    (reason,) = reasons(without_prepare())
    assert reason.startswith("quick.yaml:9:18: the evaluator 'supernet' scores with shared weights, but no phase")
    assert reason.endswith("expected a prepare phase, or `from:` RUN/PHASE of a run")


def test_averages_that_masks_do_not_keep_are_not_scored_by(elsewhere, tmp_path):
    running = "search.evaluator.statistics=running"
    several = "prepare.sampler={type: multi_architecture, architectures: 4}"
    message = "statistics is running, and several architectures in one masked pass leave no averages"
    (reason,) = reasons(STRATEGY, running, several)
    assert reason.startswith(f"--set {running}: {message}")
    for fits in ((running,), (several,), (running, several, "prepare.several=views")):
        new_run_settings(small_space(), quick_strategy(*fits, text=STRATEGY), device="cpu")
    text = without_prepare().replace(SEARCH, f"      from: {elsewhere}\n{SEARCH}")
    text = text.replace("images: 64", "images: 64, statistics: running")
    accepted(text)
    masked = tmp_path / "prepare"
    shutil.copytree(elsewhere, masked)
    about = json.loads((masked / "supernet.json").read_text())
    (masked / "supernet.json").write_text(json.dumps({**about, "several": "masks"}))
    (reason,) = reasons(text.replace(str(elsewhere), str(masked)))
    assert message in reason


def test_a_budget_of_a_trial_that_trains_nothing_is_refused():
    (reason,) = reasons(STRATEGY, "search.evaluator.budget={epochs: 3}")
    assert "the evaluator 'supernet' trains nothing, so a budget for a trial would change nothing" in reason


def test_a_scheduler_has_nothing_to_stop():
    (reason,) = reasons(STRATEGY, "search.scheduler=successive_halving")
    assert "divides the budget of a trial, and the evaluator 'supernet' has none" in reason


def test_a_network_is_changed_where_it_is_prepared():
    norm = {"norm": {"affine": False}}
    strategy = quick_strategy(f"search.network={norm}", "prepare.sampler=single_path", text=STRATEGY)
    with pytest.raises(InputError) as caught:
        new_run_settings("pooling_resnet20", strategy, device="cpu")
    (reason,) = map(str, caught.value.problems)
    assert "runs the networks that were prepared, so `network:` would change nothing" in reason
    assert reason.endswith("expected it in the prepare phase")


def test_weights_come_from_one_place():
    two = STRATEGY.replace(PREPARE, PREPARE + PREPARE.replace("- prepare:", "- prepare:\n      name: second"))
    accepted(two)
    (reason,) = reasons(two.replace(SEARCH, f"      from: [prepare, second]\n{SEARCH}"))
    assert "the phase 'search' takes its weights from one place, not from 2" in reason


def test_a_search_leaves_no_weights():
    again = "  - search: {name: again, from: search, algorithm: exhaustive, evaluator: supernet}\n"
    (reason,) = reasons(STRATEGY + again)
    assert reason.startswith("quick.yaml:16:33: 'search' is a phase of the kind search, which leaves no shared weights")
    started = "  - search: {name: again, algorithm: exhaustive, evaluator: {type: standalone, start: search, budget: {epochs: 1}}}\n"  # noqa: E501
    (reason,) = reasons(STRATEGY + started)
    assert "'search' is a phase of the kind search, which leaves no shared weights" in reason
    (reason,) = reasons(STRATEGY.replace("start: prepare", "start: search"))
    assert "'search' is a phase of the kind search, which leaves no weights" in reason
    assert reason.endswith("expected a prepare phase or a retrain phase")


def test_only_what_trains_can_start(tmp_path):
    (reason,) = reasons(STRATEGY, "search.evaluator.start=prepare")
    assert "the evaluator 'supernet' trains nothing that could start from weights" in reason


@pytest.mark.parametrize("text", [STRATEGY, STARTED])
@pytest.mark.parametrize("change", ["validation: 0.5", "seed: 3", "limit: 256"])
def test_candidates_are_not_compared_on_images_that_the_weights_were_trained_on(text, change):
    (reason,) = reasons(text, f"prepare.data={{{change}}}")
    assert "compares candidates on images that the weights of 'prepare' were trained on" in reason
    assert change.replace(":", "") in reason


def test_weights_of_another_run_must_be_there_of_this_space_and_of_the_same_images(elsewhere, tmp_path):
    def naming(folder):
        return without_prepare().replace(SEARCH, f"      from: {folder}\n{SEARCH}")

    (reason,) = reasons(naming(f"{tmp_path}/nowhere"))
    assert "there is no folder" in reason
    (reason,) = reasons(naming(f"{tmp_path}/"))
    assert "holds no shared weights" in reason
    (reason,) = reasons(naming(write_supernet(tmp_path / "tiny")))
    assert "are of the space tiny" in reason
    (reason,) = reasons(naming(elsewhere), "search.data={validation: 0.3}")
    assert "were trained on" in reason
    assert "validation 0.25" in reason
    (reason,) = reasons(STARTED.replace("start: prepare", f"start: {elsewhere}"), "data.seed=1")
    assert "were trained on" in reason
    shutil.copytree(elsewhere, tmp_path / "alone" / "prepare")  # nobody can say what was held out
    accepted(naming(tmp_path / "alone" / "prepare"))


def test_a_retraining_from_shared_weights_of_another_space_is_refused(tmp_path):
    (reason,) = reasons(STRATEGY.replace("start: prepare", f"start: {write_supernet(tmp_path / 'tiny')}"))
    assert "are of the space tiny" in reason


def test_damaged_weights_of_another_run_are_refused_before_anything_runs(elsewhere, tmp_path):
    shutil.copytree(elsewhere.parent, tmp_path / "run")
    folder = tmp_path / "run" / "prepare"
    text = without_prepare().replace(SEARCH, f"      from: {folder}\n{SEARCH}")
    whole = (folder / "weights.safetensors").read_bytes()
    for damage in (whole[:1000], whole[:-1], b""):
        (folder / "weights.safetensors").write_bytes(damage)
        (reason,) = reasons(text)
        assert f"the shared weights cannot be read: {folder}/weights.safetensors" in reason
        assert reason.startswith("quick.yaml:9:13: ")
    (folder / "weights.safetensors").write_bytes(whole)
    (folder.parent / "run.yaml").write_text("a: [")
    (reason,) = reasons(text)
    assert f"{folder.parent}/run.yaml is damaged" in reason
    assert reason.startswith("quick.yaml:9:13: ")
