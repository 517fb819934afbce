"""Strategy files: what they may say, what is wrong with them, and that a strategy survives being written down."""

import json
import random
from pathlib import Path

import pytest

from nasengine.errors import InputError
from nasengine.objectives import Constraint, Objective
from nasengine.search.language.settings import Budget, PreparePhase, RetrainPhase, SearchPhase
from nasengine.search.language.strategy import check_strategy, load_strategy, parse_strategy, strategy_from_mapping
from nasengine.search.language.tables import built_tables
from nasengine.space import shipped

SKETCH = Path(__file__).parent / "sketch.yaml"

WHOLE = """
name: whole
about: everything at once
source: nobody, 2026
data: {validation: 0.3, batch: 64, augmentation: [crop_flip, {type: cutout, size: 4}], limit: 500, seed: 3}
objectives: {accuracy: maximize, macs: {direction: minimize, max: 5.0e+7}, params: {min: 100, max: 1.0e+6}}
lag: 4
phases:
  - search:
      algorithm: {type: regularized_evolution, population: 6, tournament: 3}
      evaluator: {type: standalone, optimizer: adamw, schedule: {type: cosine, last: 0.001}, budget: {epochs: 2}}
      budget: {trials: 20, hours: 1.5}
      network: {norm: batch}
      data: {held_out_per_class: 25}
  - retrain: {name: first, best: 2, seeds: 3, ema: 0.999, budget: {epochs: 3, steps_per_epoch: 7}}
  - retrain: {name: again, from: first, start: first, budget: {steps: 100}, quantization: none}
  - retrain: {name: known, architecture: known.default, budget: {epochs: 1}}
  - retrain: {name: given, architecture: {network.width: 3}, budget: {epochs: 1}, data: {validation: 0.0}}
"""


def problems_of(text: str, **keywords) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_strategy(text, "my.yaml", **keywords)
    return [str(problem) for problem in caught.value.problems]


def one_problem(text: str, **keywords) -> str:
    found = problems_of(text, **keywords)
    assert len(found) == 1, found
    return found[0]


def test_a_whole_strategy_is_read():
    strategy = parse_strategy(WHOLE, "my.yaml")
    assert strategy.objectives == (Objective("accuracy", "maximize"), Objective("macs", "minimize"))
    assert strategy.constraints == (Constraint("macs", None, 5e7), Constraint("params", 100, 1e6))
    assert (strategy.lag, strategy.data.batch, strategy.data.limit) == (4, 64, 500)
    search, first, again, known, given = strategy.phases
    assert isinstance(search, SearchPhase)
    assert isinstance(first, RetrainPhase)
    assert search.budget == Budget({"trials": 20, "seconds": 5400})
    assert search.evaluator.budget == Budget({"epochs": 2})
    assert search.evaluator.component.settings["optimizer"] == {"type": "adamw"}
    assert search.algorithm.settings == {"population": 6, "tournament": 3}
    assert (search.data.held_out_per_class, search.data.batch, first.data.held_out_per_class) == (25, 64, None)
    assert (first.best, first.seeds, first.trainer.type, first.trainer.settings) == (2, 3, "standalone", {"ema": 0.999})
    assert (again.origins, again.start, again.quantization) == (("first",), "first", "none")
    assert (known.architecture, given.architecture) == ("known.default", {"network.width": 3})
    assert given.data.validation == 0.0


def test_a_phase_that_holds_out_a_share_takes_back_a_number_per_class():
    text = WHOLE.replace("validation: 0.3", "held_out_per_class: 9")
    assert parse_strategy(text, "my.yaml").phase("given").data.held_out_per_class is None


@pytest.mark.parametrize("name", sorted(shipped("strategies")))
def test_a_shipped_strategy_equals_itself_after_being_written_down(name):
    strategy = load_strategy(name)
    assert strategy_from_mapping(json.loads(json.dumps(strategy.plain()))) == strategy


def test_a_whole_strategy_equals_itself_after_being_written_down():
    strategy = parse_strategy(WHOLE, "my.yaml")
    written = json.loads(json.dumps(strategy.plain()))
    assert strategy_from_mapping(written) == strategy
    assert strategy_from_mapping(written).plain() == written


def test_everything_unknown_in_the_six_published_methods_is_named_and_nothing_else():
    found = [(problem.mark.line, problem.message.split(" in ")[0]) for problem in check_strategy(SKETCH)]
    assert found == [
        (15, "unknown augmentation 'rand_augment'"),
        (18, "unknown loss 'token_mix'"),
        (19, "unknown algorithm 'constrained_evolution'"),
        (20, "unknown loss 'token_mix'"),
        (26, "unknown sampler 'reinforce_controller'"),
        (33, "unknown key 'quantization'"),
        (33, "unknown key 'entropy'"),
        (33, "unknown key 'cost'"),
        (33, "unknown key 'alternate'"),
        (36, "unknown trainer 'dsc_lora'"),
        (41, "unknown algorithm 'diversity_evolution'"),
        (41, "unknown evaluator 'rank_correlation'"),
        (47, "unknown trainer 'sensitivity'"),
        (48, "unknown algorithm 'integer_program'"),
    ]


def test_the_six_published_methods_are_read_once_their_types_are_built():
    class Anything:
        needs_evaluator = needs_budget = False

        def __init__(self, **settings: object) -> None: ...

    class Every(dict[str, object]):
        def __contains__(self, name: object) -> bool:
            return True

        def __getitem__(self, name: str) -> object:
            return Anything

    tables = {kind: Every() for kind in built_tables()}
    documents = SKETCH.read_text().split("\n---\n")
    mixture, vit, fliqs, quantnas, emq, hawq = (
        parse_strategy(text, "sketch.yaml", tables={**tables, "retrain trainer": Every()}) for text in documents
    )
    assert [phase.kind for phase in mixture.phases] == ["prepare", "search", "retrain"]
    prepare = mixture.phases[0]
    assert isinstance(prepare, PreparePhase)
    assert prepare.budget == Budget({"epochs": 100}, per_model=True)
    assert prepare.trainer.settings["sampler"]["temperature"] == [1, 100]
    assert vit.phase("fine_tune_392").origins == ("retrain",)
    assert fliqs.phase("search").require == {"probability": 0.99}
    assert fliqs.phase("retrain").when == "not_converged"
    assert quantnas.phases[0].budget == Budget({"epochs": 20, "steps_per_epoch": 250})
    assert quantnas.phase("low_rank").trainer.type == "dsc_lora"
    assert emq.phase("search").evaluator.component.settings["table"] == "mixed_precision_cifar"
    assert hawq.phase("search").evaluator.start == "full_precision"
    for strategy in (mixture, vit, fliqs, quantnas, emq, hawq):
        written = json.loads(json.dumps(strategy.plain()))
        assert strategy_from_mapping(written, tables={**tables, "retrain trainer": Every()}) == strategy


def test_a_problem_says_where_what_was_expected_and_the_nearest_name():
    assert one_problem(WHOLE.replace("lag: 4", "lagg: 4")) == (
        "my.yaml:7:1: unknown key 'lagg' in the strategy\n"
        "    7 | lagg: 4\n"
        "        ^\n"
        "  expected one of about, data, lag, name, objectives, phases, source; did you mean 'lag'?"
    )


def test_all_problems_of_a_file_are_reported_at_once_in_its_order():
    text = (
        WHOLE.replace("validation: 0.3", "validation: 1.3")
        .replace("accuracy: maximize", "accuracy: most")
        .replace("population: 6", "poplation: 6")
        .replace("optimizer: adamw", "optimizer: {type: adamw, rte: 0.1}")
        .replace("best: 2", "best: two")
        .replace("from: first", "from: frist")
    )
    messages = [line.split(": ", 1)[1].split("\n")[0] for line in problems_of(text)]
    assert messages == [
        "data.validation is 1.3",
        "objectives.accuracy is the word 'most'",
        "unknown key 'poplation' in phases.search.algorithm",
        "unknown key 'rte' in phases.search.evaluator.optimizer",
        "phases.first.best is the word 'two'",
        "phases.again names no phase: 'frist'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("lag: 4", "lags: 4", "unknown key 'lags' in the strategy"),
        ("lag: 4", "lag: 0", "lag is 0"),
        ("lag: 4", "lag: 2.5", "lag is 2.5"),
        ("lag: 4", "lag: true", "lag is the truth value true"),
        ("phases:", "phasen:", "the strategy has no phases"),
        ("  - search:", "  - serch:", "did you mean 'search'?"),
        ("hours: 1.5", "weeks: 1.5", "unknown key 'weeks' in phases.search.budget"),
        ("hours: 1.5", "hours: 1.5, minutes: 3", "gives the time 2 times"),
        ("trials: 20", "trials: 0", "phases.search.budget.trials is 0"),
        ("trials: 20", "trials: many", "phases.search.budget.trials is the word 'many'"),
        ("{epochs: 2}", "{epochs: 2, steps: 3}", "gives both epochs and steps"),
        ("{epochs: 2}", "{steps_per_epoch: 2}", "gives steps_per_epoch alone"),
        ("{epochs: 2}", "{epochs: {per_model: 2}}", "budget.epochs is a mapping"),
        (", budget: {epochs: 2}}", "}", "phases.search.evaluator has no budget for a trial"),
        ("data: {held_out_per_class: 25}", "data: {name: fashion}", "unknown key 'name' in phases.search.data"),
        ("{epochs: 2}", "2", "phases.search.evaluator.budget is the number 2"),
        ("{trials: 20, hours: 1.5}", "[]", "phases.search.budget is a list"),
        ("type: standalone, ", "", "phases.search.evaluator has no type"),
        ("type: standalone", "type: [standalone]", "the type of phases.search.evaluator is a list"),
        ("type: cosine", "type: cosin", "did you mean 'cosine'?"),
        ("last: 0.001", "last: low", "the argument 'last' of cosine in phases.search.evaluator.schedule is the word"),
        ("population: 6", "population: 6.5", "the argument 'population' of regularized_evolution"),
        ("population: 6", "seed: 6", "the argument 'seed' of regularized_evolution"),
        ("ema: 0.999", "em: 0.999", "did you mean 'ema'"),
        ("name: again, from", "name: search, from", "a second phase is called 'search'"),
        ("name: again", "name: first", "a second phase is called 'first'"),
        ("name: again", "name: ../x", "a phase cannot be called '../x'"),
        ("name: again", "name: best", "a phase cannot be called 'best'"),
        ("start: first", "start: known", "which is no phase before it"),
        ("architecture: known.default", "architecture: knwn.default", "known.architecture is the word 'knwn.default'"),
        ("architecture: known.default", "architecture: known.a, best: 1", "gives both architecture and best"),
        ("{name: known, architecture: known.default, budget: {epochs: 1}}", "{name: known}", "has no budget"),
        (
            "data: {held_out_per_class: 25}",
            "data: {held_out_per_class: 2, validation: 0.1}",
            "gives both validation and",
        ),
        ("max: 5.0e+7", "max: 5.0e+7, least: 2", "unknown key 'least' in objectives.macs"),
        ("min: 100, max: 1.0e+6", "min: 100, max: 10", "has its min 100 above its max 10"),
        ("source: nobody, 2026", "source: [nobody]", "source is a list"),
        ("network: {norm: batch}", "network: batch", "phases.search.network is the word 'batch'"),
        ("augmentation: [crop_flip", "augmentation: [crop_filp", "did you mean 'crop_flip'"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(old, new, expected):
    assert WHOLE.count(old) == 1, old
    found = problems_of(WHOLE.replace(old, new))
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith("my.yaml:") for problem in found)


PREPARED = """
objectives: {accuracy: maximize}
phases:
  - prepare:
      trainer: shared_weights
      sampler: {type: balanced_mixture, models: 4}
      optimizer: {type: sgd, rate: 0.1}
      schedule: {type: cosine, last: 0.001}
      budget: {epochs: {per_model: 100}}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "where", "expected"),
    [
        ("per_model:", "per_models:", "9:25: unknown key 'per_models' in phases.prepare.budget.epochs", "'per_model'"),
        ("epochs:", "epoch:", "9:16: unknown key 'epoch' in phases.prepare.budget\n", "'epochs'"),
        ("models:", "modles:", "6:41: unknown key 'modles' in phases.prepare.sampler", "'models'"),
        ("rate:", "rat:", "7:30: unknown key 'rat' in phases.prepare.optimizer", "'rate'"),
        ("last:", "lst:", "8:32: unknown key 'lst' in phases.prepare.schedule", "'last'"),
        ("schedule:", "shedule:", "8:7: unknown key 'shedule' in phases.prepare\n", "'schedule'"),
        ("budget:", "budgt:", "9:7: unknown key 'budgt' in phases.prepare\n", "'budget'"),
        ("trainer:", "trainr:", "5:7: phases.prepare has no trainer, but a key 'trainr'", "'trainer'"),
        ("{type: balanced", "{tpe: balanced", "6:17: phases.prepare.sampler has no type, but a key 'tpe'", "'type'"),
        ("{type: sgd", "{typ: sgd", "7:19: phases.prepare.optimizer has no type, but a key 'typ'", "'type'"),
    ],
)
def test_a_misspelt_key_of_a_preparation_is_named_with_the_nearest_at_every_level(right, wrong, where, expected):
    assert PREPARED.count(right) == 1
    problem = one_problem(PREPARED.replace(right, wrong))
    assert problem.startswith(f"my.yaml:{where}")
    assert f"; did you mean {expected}" in problem


def test_a_component_of_a_preparation_without_a_type_is_told_the_types_there_are():
    for kind, given in (("sampler", "type: balanced_mixture, "), ("schedule", "type: cosine, ")):
        problem = one_problem(PREPARED.replace(given, ""))
        assert f"phases.prepare.{kind} has no type\n" in problem
        assert f"expected `type:` with one of {', '.join(sorted(built_tables()[kind]))}" in problem


def test_an_amount_for_each_model_has_no_other_keys():
    text = PREPARED.replace("per_model: 100", "per_model: 100, models: 4")
    assert "9:41: unknown key 'models' in phases.prepare.budget.epochs" in one_problem(text)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("{per_model: {epochs: 100}}", "{epochs: {per_model: 100}}"),
        ("{per_model: {epochs: 2, hours: 1.5}}", "{epochs: {per_model: 2}, hours: {per_model: 1.5}}"),
        ("{per_model: many}", "{epochs: {per_model: 100}}"),
        ("{per_model: {epoch: 2}, hours: 1}", "{epochs: {per_model: 100}}"),
    ],
)
def test_a_budget_that_names_per_model_before_the_unit_is_told_the_right_order(wrong, meant):
    problem = one_problem(PREPARED.replace("{epochs: {per_model: 100}}", wrong))
    assert problem.startswith("my.yaml:9:16: phases.prepare.budget names per_model before the unit\n")
    assert problem.endswith(f"expected the unit first: {meant}")


def test_a_strategy_without_objectives_or_search_says_so():
    found = problems_of("phases: [{retrain: {budget: {epochs: 1}}}]")
    assert [line.split(": ", 1)[1].split("\n")[0] for line in found] == [
        "the strategy has no objectives",
        "phases.retrain has nothing to train",
    ]


def test_an_unknown_component_may_be_one_of_a_plug_in():
    text = "objectives: {accuracy: maximize}\nphases: [{search: {algorithm: xyz, evaluator: standalone}}]"
    assert ", or your own by --plugin MODULE" in "".join(problems_of(text))


def test_bounds_without_a_direction_are_no_objective():
    text = WHOLE.replace("{accuracy: maximize, macs: {direction: minimize, max: 5.0e+7}, ", "{")
    assert "nothing to maximize or minimize" in one_problem(text)


def test_a_search_with_a_known_algorithm_needs_an_evaluator():
    text = "objectives: {accuracy: maximize}\nphases: [{search: {algorithm: exhaustive}}]"
    assert "phases.search has no evaluator" in one_problem(text)


def test_the_name_of_a_strategy_is_that_of_its_file_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(WHOLE.replace("name: whole\n", ""))
    assert load_strategy(path).name == "mine"


def test_a_file_of_two_strategies_can_be_checked_but_not_loaded(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(WHOLE + "---\n" + WHOLE)
    assert check_strategy(path) == []
    with pytest.raises(InputError, match="a second strategy starts here"):
        load_strategy(path)


def test_values_that_only_a_constructor_can_judge_are_checked_without_a_space(tmp_path):
    path = tmp_path / "values.yaml"
    text = WHOLE.replace("tournament: 3", "tournament: 9, known: [default]")
    path.write_text(text.replace("adamw", "{type: sgd, momentum: 1.5}").replace("ema: 0.999", "ema: 1.5"))
    found = [(problem.mark.line, problem.message) for problem in check_strategy(path)]
    assert found == [
        (10, "regularized_evolution with tournament 9 and population 6"),
        (11, "momentum of optimizer 'sgd' is 1.5"),
        (15, "ema is 1.5"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "3", "a: [", "\t- x", "phases: &a [*a]"])
def test_what_is_no_strategy_is_refused_with_a_reason(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    assert check_strategy(path)
    with pytest.raises(InputError):
        load_strategy(path)


def test_a_missing_strategy_names_the_nearest_shipped_one():
    assert "did you mean 'random_search'" in str(check_strategy("random_serch")[0])


def test_mutated_strategies_are_read_or_refused_with_a_place(tmp_path):
    """400 files in each of which a few characters or lines are changed; none may end in anything but an InputError."""
    rng = random.Random(0)
    sources = [WHOLE, *(path.read_text() for path in shipped("strategies").values()), SKETCH.read_text()]
    refused = 0
    for _ in range(400):
        text = list(rng.choice(sources))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(text))
            kind = rng.randrange(3)
            if kind == 0:
                text[place] = rng.choice("{}[]:,-#'\"&*!|>%@` \n\tx0.")
            elif kind == 1:
                del text[place : place + rng.randint(1, 12)]
            else:
                text.insert(
                    place, rng.choice(["null", "{}", "[]", "-1", "1e999", "true", "~", ": ", "\n- ", "type: x"])
                )
            if not text:
                text = ["x"]
        (tmp_path / "mutated.yaml").write_text("".join(text))
        problems = check_strategy(tmp_path / "mutated.yaml")
        refused += bool(problems)
        assert all(problem.mark is not None and problem.mark.line >= 1 for problem in problems), problems
    assert refused > 200
