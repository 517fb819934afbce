"""The trainings of a retrain phase: seeds of their own."""

from nasengine.search.retraining import training_seed


def test_the_seeds_of_repeats_differ_and_do_not_depend_on_each_other():
    seeds = {training_seed(seed, repeat) for seed in range(20) for repeat in range(20)}
    assert len(seeds) == 400
