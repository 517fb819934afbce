"""Ray Tune with our searcher: the trials of our own search, told in order, saved and restored."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from nasengine.errors import InputError, RunError
from tests.search.small import quick_strategy, small_space

pytestmark = pytest.mark.ray
pytest.importorskip("ray")

TEXT = """
name: quick
data: {name: synthetic}
objectives: {accuracy: maximize, macs: minimize}
lag: 2
phases:
  - search:
      algorithm: {type: regularized_evolution, population: 4, tournament: 2}
      evaluator: {type: standalone, budget: {epochs: 1}}
      budget: {trials: 12}
"""


def searcher(seed: int = 3, *overrides: str) -> Any:
    from nasengine.search.ray_tune import TuneSearcher

    return TuneSearcher(small_space(), quick_strategy(text=TEXT), seed=seed, set=overrides)


def accuracy(config: dict[str, Any]) -> float:
    return float(sum(value for value in config["architecture"].values())) / 20


def drive(made: Any, backwards: bool) -> list[dict[str, Any]]:
    """All suggestions, with as many trials at once as it allows, ended oldest first or youngest first."""
    asked: list[dict[str, Any]] = []
    running: list[str] = []
    while True:
        config = made.suggest(str(len(asked)))
        if config == "FINISHED":
            return asked
        if config is None:
            ended = running.pop(-1 if backwards else 0)
            made.on_trial_complete(ended, {"accuracy": accuracy(asked[int(ended)])})
        else:
            running.append(str(len(asked)))
            asked.append(config)


def test_the_order_in_which_trials_end_changes_nothing() -> None:
    first = drive(searcher(), backwards=False)
    assert len(first) == 12
    assert first == drive(searcher(), backwards=True)
    assert first != drive(searcher(seed=4), backwards=False)


def test_it_proposes_what_our_own_search_proposes(tmp_path: Path) -> None:
    from nasengine.search.language.values import make_algorithm
    from nasengine.search.searching import make_domain, make_price

    space, strategy = small_space(), quick_strategy(text=TEXT)
    phase: Any = strategy.phases[0]
    price = make_price(space, phase, strategy.objectives, ())
    algorithm = make_algorithm(phase, make_domain(space, phase, ()), strategy.objectives, 3)
    from nasengine.records import Trial

    expected: list[Any] = []
    for number in range(12):
        if number >= 2:
            before = expected[number - 2]
            assert price is not None
            found = {"accuracy": accuracy({"architecture": before.architecture}), **price(before.architecture)}
            algorithm.tell(Trial(number - 2, before, "completed", found))
        expected.append(algorithm.ask(number))
    asked = drive(searcher(), backwards=False)
    assert [config["architecture"] for config in asked] == [one.architecture.to_json() for one in expected]


def test_a_trial_that_fails_or_reports_too_little_is_told_as_failed() -> None:
    made = searcher()
    for number in range(2):
        made.suggest(str(number))
    made.on_trial_complete("0", None, error=True)
    made.on_trial_complete("1", {"loss": 1.0})
    made.suggest("2")
    made.on_trial_complete("2", {"accuracy": float("nan")})
    assert [(trial.status, trial.reason) for trial in made._outcomes.values()] == [
        ("failed", "Tune reports an error"),
        ("failed", "did not report accuracy"),
        ("failed", "accuracy is nan"),
    ]
    assert "accuracy" not in made._outcomes[2].measurements


def test_a_restored_searcher_goes_on_where_the_saved_one_was(tmp_path: Path) -> None:
    whole = drive(searcher(), backwards=False)
    made = searcher()
    asked = [made.suggest(str(number)) for number in range(2)]
    for number in range(2, 7):
        made.on_trial_complete(str(number - 2), {"accuracy": accuracy(asked[number - 2])})
        asked.append(made.suggest(str(number)))
    made.save(str(tmp_path / "state.json"))
    again = searcher()
    again.restore(str(tmp_path / "state.json"))
    assert asked == whole[:7]
    again.on_trial_complete("5", {"accuracy": accuracy(asked[5])})
    assert again.suggest("7") == whole[7]
    with pytest.raises(RunError, match="another space, strategy or seed"):
        searcher(seed=9).restore(str(tmp_path / "state.json"))


def test_a_strategy_with_a_scheduler_is_refused() -> None:
    from nasengine.search.ray_tune import TuneSearcher

    with pytest.raises(InputError, match="Tune's own schedulers"):
        TuneSearcher("quickstart", "successive_halving")


@pytest.mark.slow
def test_tune_runs_with_it(ray_machines: Any, tmp_path: Path) -> None:
    from ray import tune

    sys.path.insert(0, str(Path(__file__).parents[2]))

    def train(config: dict[str, Any]) -> None:
        tune.report({"accuracy": float(sum(config["architecture"].values())) / 20})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Tune's own
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        found = tune.Tuner(
            train,
            tune_config=tune.TuneConfig(search_alg=searcher(), num_samples=-1, max_concurrent_trials=2),
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
        ).fit()
    measured = sorted(result.config["architecture"].items() for result in found)
    expected = sorted(config["architecture"].items() for config in drive(searcher(), backwards=False))
    assert sorted(map(sorted, measured)) == sorted(map(sorted, expected))
