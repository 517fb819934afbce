"""Runs with a prepared mixture of supernets, written without training anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nasengine.algorithms.supernet_samplers import BalancedMixture, Moment
from nasengine.runs import write_atomically
from nasengine.search.language.strategy import parse_strategy
from nasengine.search.run_file import Environment, RunSettings, write_run_file
from nasengine.search.run_view import Run
from nasengine.space.domain import Domain
from tests.report.written import SEARCH

PREPARED = """
name: prepared
data: {name: synthetic, validation: 0.25, batch: 32}
objectives: {accuracy: maximize}
phases:
  - prepare: {trainer: shared_weights, sampler: SAMPLER, budget: {epochs: {per_model: 3}}}
"""
EPOCHS, STEPS = 12, 300


def mixture_of(space, models: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """History and table of a mixture whose models are good with neighbours; the last are the best."""
    sampler = BalancedMixture(domain=Domain(space), models=models)
    count = len(sampler.configurations)
    worth = np.linspace(0.6, 0.9, count)
    family = np.arange(count) * models // count
    lines = []
    for epoch in range(EPOCHS):
        sampler.begin_epoch(Moment(epoch * STEPS, EPOCHS * STEPS, epoch, EPOCHS, STEPS))
        for step in range(STEPS):
            moment = Moment(epoch * STEPS + step, EPOCHS * STEPS, epoch, EPOCHS, STEPS)
            (drawn,) = sampler.draw(moment, np.random.default_rng([0, moment.step]))
            place = sampler.configurations.index(drawn.architectures[0])
            sampler.observe(moment, [drawn], [[worth[place] - 0.3 * float(family[place] != drawn.model)]])
        lines.append({"epoch": epoch + 1, "loss": 2.0 / (epoch + 1), "rate": 0.1, "seconds": 1.5, **sampler.record()})
    return lines, sampler.table()


def write_prepared_run(
    folder: Path,
    space,
    lines,
    table=None,
    *,
    sampler: str = "{type: balanced_mixture, models: 4}",
    search: bool = False,
) -> Run:
    text = PREPARED.replace("SAMPLER", sampler) + (SEARCH.format(name="search", trials=3) + "\n" if search else "")
    settings = RunSettings(space, parse_strategy(text, "prepared.yaml"), "synthetic", seed=3, environment=Environment())
    folder.mkdir(parents=True)
    write_run_file(folder, settings)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomically(folder / "prepare" / "history.jsonl", text)
    if table is not None:
        write_atomically(folder / "prepare" / "table.json", json.dumps(table))
    return Run(folder)
