"""What the settings of the balanced mixture do, without a network: a model of interference between configurations.

The real sampler draws and observes 36 pooling configurations of a ResNet-20; only the accuracies come from a model
fitted to the published table (search_spaces/tables/pooling36.csv). Configuration c on model m has the accuracy

    truth(c) - short - suffering(c) x (1 - kinship(c, m))

where kinship is the mean similarity of c to what the model trained lately (an exponential average over `memory`
epochs of its steps), similarity falls with the distance of two configurations' resolutions summed over the ten units,
and suffering(c) is set so that one model, trained on all alike, gives exactly the published column of M = 1. Accuracy
rises from chance as a model is trained; an observation is a batch of 128 images. Two numbers, `short` and the reach
of similarity, are fitted to the published columns of M = 2, 4 and 8, taking for these the best families that can be
made by hand; everything else follows.

It says whether models find families of their own and keep equal shares, and which settings may help; it cannot say
what a real supernet reaches. Its similarity is the distance that `smoothing` goes by and nearly the order of the space,
so it favours `smoothing` and `in_order` by construction; with the settings as published it ranks worse (M = 4) than the
publication, and all settings are compared on the same few seeds.

    OMP_NUM_THREADS=1 python benchmarks/mixture_simulation.py --out benchmarks/results/mixture_simulation.json

The same command goes on with what an earlier one has not come to.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from numpy.typing import NDArray

from nasengine import load_space
from nasengine.agreement import kendall
from nasengine.algorithms.supernet_samplers import BalancedMixture, Moment
from nasengine.space.domain import Domain

TABLE = Path(__file__).parents[1] / "search_spaces" / "tables" / "pooling36.csv"
STEPS, PER_MODEL = 195, 100  # batches of 128 in half the training images; epochs for each model
BATCH, HELD_OUT = 128, 25_000
CHANCE = 0.1
Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Accuracies of 36 configurations; shapes: C = 36 configurations, in the order of the sampler."""

    truth: Array
    published: dict[int, Array]
    similarity: Array
    short: float
    memory: float = 5.0
    by_lot: float = 0.003  # deviation of what the initial weights of a model do to a configuration

    @property
    def suffering(self) -> Array:
        """(C,) accuracy lost where nothing else of its model is alike."""
        lost: Array = self.truth - self.short - self.published[1]
        return lost / (1 - self.similarity.mean(axis=0))

    def accuracy(self, kinship: Array, skill: float | Array, lot: Array) -> Array:
        """Of a configuration or all of them on one model of this skill, from 0 to 1."""
        final = self.truth - self.short - self.suffering * (1 - kinship) + lot
        made: Array = CHANCE + (final - CHANCE) * skill
        return made


def world(reach: float, short: float) -> World:
    with TABLE.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    units = np.array([[0] * int(r["b1"]) + [1] * int(r["b2"]) + [2] * int(r["b3"]) for r in rows])
    distance = np.abs(units[:, None] - units[None]).sum(-1)
    columns = {m: np.array([float(row[f"m{m}"]) for row in rows]) / 100 for m in (1, 2, 4, 8)}
    truth = np.array([float(row["accuracy"]) for row in rows]) / 100
    return World(truth, columns, np.exp(-distance / reach), short)


def simulate(
    given: World,
    sampler: BalancedMixture,
    seed: int,
    *,
    every_step: bool = False,
    per_model: int = PER_MODEL,
    worth: float = 0.0,
) -> dict[str, Any]:
    """One training.

    Args:
        every_step: balance anew at each step instead of each epoch.
        per_model: epochs for each model.
        worth: deviation of what the initial weights of a model do to all configurations alike.
    """
    models, epochs = sampler.models, per_model * sampler.models
    rng = np.random.default_rng([seed, 77])
    lots = rng.normal(0, given.by_lot, (len(given.truth), models))
    lots += np.random.default_rng([seed, 78]).normal(0, worth, models)
    kinship = np.tile(given.similarity.mean(axis=0)[:, None], (1, models))
    trained = np.zeros(models)
    rate = 1 / (given.memory * STEPS)
    suffering, base = given.suffering, given.truth - given.short
    index = {one: place for place, one in enumerate(sampler.configurations)}
    certain = None
    for epoch in range(epochs):
        for step in range(STEPS):
            moment = Moment(epoch * STEPS + step, epochs * STEPS, epoch, epochs, STEPS)
            if step == 0 or every_step:
                sampler.begin_epoch(moment)
            for model, origin in (sampler.begins_as(moment) if step == 0 else {}).items():
                kinship[:, model], trained[model], lots[:, model] = kinship[:, origin], trained[origin], lots[:, origin]
            (drawn,) = sampler.draw(moment, np.random.default_rng([seed, moment.step]))
            c, m = index[drawn.architectures[0]], drawn.model
            trained[m] += 1
            kinship[:, m] += rate * (given.similarity[c] - kinship[:, m])
            skill = 1 - np.exp(-8 * trained[m] / (per_model * STEPS))
            final = base[c] - suffering[c] * (1 - kinship[c, m]) + lots[c, m]
            accuracy = CHANCE + (final - CHANCE) * skill
            sampler.observe(moment, [drawn], [[rng.binomial(BATCH, accuracy) / BATCH]])
        assigned = sampler.probabilities()
        shared = models == 1 or assigned.mean(axis=0).min() > 0  # no longer, or never, all to one while together
        if certain is None and shared and assigned.max(axis=1).mean() > 0.9:
            certain = (epoch + 1) / epochs
    probabilities = sampler.probabilities()
    owner = probabilities.argmax(axis=1)
    skills = 1 - np.exp(-8 * trained / (per_model * STEPS))
    accuracies = np.stack([given.accuracy(kinship[:, m], skills[m], lots[:, m]) for m in range(models)], axis=1)
    own = accuracies[np.arange(len(owner)), owner]
    measured = rng.binomial(HELD_OUT, own) / HELD_OUT
    scores = np.array(sampler.table()["scores"])[np.arange(len(owner)), owner]
    same = owner[:, None] == owner[None]
    others = ~np.eye(len(owner), dtype=bool)
    sizes = np.bincount(owner, minlength=models)
    late = {owner[c] for c in (30, 31, 33)}
    return {
        "kendall": kendall(measured, given.truth),
        "kendall_of_scores": kendall(scores, given.truth),
        "kendall_with_published": kendall(measured, given.published[models]),
        "truth_of_winner": float(given.truth[measured.argmax()]),
        "smallest_family": int(sizes.min()),
        "largest_family": int(sizes.max()),
        "cohesion": float(given.similarity[same & others].mean() / given.similarity[others].mean()),
        "late_together": float(len(late) == 1),
        "certainty": float(probabilities.max(axis=1).mean()),
        "certain_from": certain,
        "share_of_steps": [float(trained.min() / trained.sum()), float(trained.max() / trained.sum())],
    }


def mean_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of every figure, with the standard deviation (of a sample) of the rank correlation."""
    made: dict[str, Any] = {}
    for name in results[0]:
        values = [result[name] for result in results if result[name] is not None]
        made[name] = np.mean(values, axis=0).round(4).tolist() if values else None
    made["kendall_deviation"] = round(
        float(np.std([result["kendall"] for result in results], ddof=min(1, len(results) - 1))), 4
    )
    return made


def settings_to_try() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(label, settings of the sampler, arguments of `simulate`)."""
    tried: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    tried += [("models", {"models": m}, {}) for m in (1, 2, 4, 8)]
    tried += [("models, equal total", {"models": m}, {"per_model": PER_MODEL // m}) for m in (2, 4, 8)]
    tried += [("assignment", {"models": 4, "assignment": a}, {}) for a in ("unbalanced", "fixed", "in_order")]
    tried += [("temperature", {"models": 4, "temperature": [1, t]}, {}) for t in (30, 60, 150, 200, 300)]
    tried += [("temperature from", {"models": 4, "temperature": [f, 100]}, {}) for f in (20, 50)]
    resting = ([1, 60, 60, 100], [1, 100, 100], [1, 80, 80, 200], [1, 100, 150])
    tried += [("temperature resting", {"models": 4, "temperature": list(t)}, {}) for t in resting]
    tried += [("momentum", {"models": 4, "momentum": b}, {}) for b in (0.5, 0.7, 0.8, 0.95, 0.98)]
    tried += [("momentum, sharper", {"models": 4, "momentum": b, "temperature": [1, 150]}, {}) for b in (0.8, 0.95)]
    for reach, tops in ((1.0, (100, 200, 300)), (2.0, (100, 200, 300, 500)), (3.0, (300, 500))):
        tried += [("smoothing", {"models": 4, "smoothing": reach, "temperature": [1, t]}, {}) for t in tops]
    sharp = {"smoothing": 2.0, "temperature": [1, 300]}
    tried += [("smoothing", {"models": m, **sharp}, {}) for m in (2, 8)]
    tried += [("smoothing", {"models": 4, "momentum": b, **sharp}, {}) for b in (0.8, 0.95)]
    tried += [("smoothing, equal total", {"models": 4, **sharp}, {"per_model": PER_MODEL // 4})]
    tried += [("longer", {"models": 4}, {"per_model": 2 * PER_MODEL})]
    tried += [("together", {"models": m, "together": t}, {}) for m, t in ((4, 0.1), (4, 0.25), (4, 0.5), (8, 0.25))]
    tried += [("together, smoothing", {"models": 4, "together": 0.25, **sharp}, {})]
    for worth, top in itertools.product((0.0, 0.01), (200, 300)):
        sharper = {"models": 4, "together": 0.25, "temperature": [1, top]}
        tried += [("together, sharper", sharper, {"worth": worth})]
    for worth in (0.01, 0.02):
        alone = {"models": 4}
        tried += [("unequal worth", alone | {"together": t} if t else alone, {"worth": worth}) for t in (0, 0.25)]
        tried += [("unequal worth", {"models": 4, "together": t, **sharp}, {"worth": worth}) for t in (0, 0.25)]
    tried += [("balanced every step", {"models": 4}, {"every_step": True})]
    return tried


def families(similarity: Array, models: int) -> NDArray[np.int64]:
    """(C,) a model for each configuration: equal families, alike within; the best of a few searches by swapping two."""
    best: tuple[float, NDArray[np.int64]] | None = None
    for seed in range(3):
        owner = np.random.default_rng(seed).permutation(len(similarity)) % models
        swapped = True
        while swapped:
            swapped = False
            for one, other in itertools.combinations(range(len(owner)), 2):
                to = np.stack([similarity[:, owner == m].sum(1) for m in range(models)], axis=1)
                a, b = owner[one], owner[other]
                gain = to[one, b] + to[other, a] - to[one, a] - to[other, b] + 2 * (1 - similarity[one, other])
                if a != b and gain > 1e-9:
                    owner[one], owner[other] = b, a
                    swapped = True
        within = float(sum(similarity[np.ix_(owner == m, owner == m)].sum() for m in range(models)))
        if best is None or within > best[0]:
            best = within, owner
    assert best is not None
    return best[1]


def by_hand(given: World, models: int) -> Array:
    """(C,) accuracies with the best families from the beginning, fully trained, without noise."""
    owner = families(given.similarity, models)
    kinship = np.array([given.similarity[c, owner == owner[c]].mean() for c in range(len(owner))])
    return given.accuracy(kinship, 1.0, np.zeros(len(owner)))


def fitted() -> tuple[World, list[dict[str, Any]]]:
    """The world in which families made by hand come nearest to the published columns of M = 2, 4 and 8."""
    tried: list[dict[str, Any]] = []
    worlds: list[World] = []
    for reach in (4.0, 8.0, 16.0):
        for short in (0.035, 0.045, 0.052):
            made = world(reach, short)
            columns = {models: by_hand(made, models) for models in (2, 4, 8)}
            errors = {m: float(np.abs(column - made.published[m]).mean()) for m, column in columns.items()}
            taus = {m: kendall(column, made.truth) for m, column in columns.items()}
            worlds.append(made)
            tried.append({"reach": reach, "short": short, "error": float(np.mean(list(errors.values()))), "tau": taus})
            shown = "  ".join(f"M = {m}: {100 * errors[m]:.2f} points, tau {taus[m]:.2f}" for m in columns)
            print(f"reach {reach:4.0f}  short {short:.3f}  families by hand against published: {shown}", flush=True)
    best = int(np.argmin([one["error"] for one in tried]))
    print(f"taken: reach {tried[best]['reach']:.0f}, short {tried[best]['short']}", flush=True)
    return worlds[best], tried


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=900, help="begin no further setting after so long")
    arguments = parser.parse_args()
    began = time.perf_counter()
    given, tried = fitted()
    report: dict[str, Any] = {
        "machine": describe_machine(),
        "seeds": arguments.seeds,
        "fit": tried,
        "short": given.short,
        "rows": [],
    }
    done = []
    if arguments.out and arguments.out.is_file():
        before = json.loads(arguments.out.read_text(encoding="utf-8"))
        done = before["rows"] if before["seeds"] == arguments.seeds and before["short"] == given.short else []
    head = "tau (dev)     of scores  winner  families  cohesion  late  certain from"
    print(f"{'setting':<40} {head}")
    domain = Domain(load_space("pooling_resnet20"))
    for label, settings, how in settings_to_try():
        asked = {"label": label, "settings": settings, "how": how}
        row = next((known for known in done if {**known, **asked} == known), None)
        if row is None:
            if time.perf_counter() - began > arguments.seconds:
                print("out of time", flush=True)
                break
            samplers = [BalancedMixture(domain=domain, **settings) for _ in range(arguments.seeds)]
            results = [simulate(given, sampler, seed, **how) for seed, sampler in enumerate(samplers)]
            row = {**asked, "figures": mean_of(results)}
        report["rows"].append(row)
        shown = f"{label} {' '.join(str(value) for value in {**settings, **how}.values())}"
        figures = row["figures"]
        print(
            f"{shown:<40} {figures['kendall']:.3f} ({figures['kendall_deviation']:.3f})  "
            f"{figures['kendall_of_scores']:.3f}     {100 * figures['truth_of_winner']:.2f}   "
            f"{figures['smallest_family']:.0f}-{figures['largest_family']:.0f}     {figures['cohesion']:.2f}      "
            f"{figures['late_together']:.1f}   {figures['certain_from']}",
            flush=True,
        )
        if arguments.out:
            arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
