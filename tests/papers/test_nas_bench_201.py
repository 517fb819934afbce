"""NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326) as published: strings, counts, classes, accuracies.

The tables are read here by the csv module alone, independently of nasengine.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nasengine as nas
from nasengine.build import instantiate, resolve
from nasengine.costs import Pricer, costs
from nasengine.evaluators import make_evaluator
from nasengine.evaluators.tabular import describe, load_table
from nasengine.records import Architecture, Job
from nasengine.space import SearchSpace, load_space, space_from_mapping

EDGES = ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")  # by the node that they lead to, as the official strings have them
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"

Row = dict[str, str]


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("nas_bench_201")


@pytest.fixture(scope="module")
def rows(data_folder: Path) -> list[Row]:
    with (data_folder / "nas_bench_201" / "nb201.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def of_string(space: SearchSpace, text: str) -> Architecture:
    """The architecture of an official string |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."""
    found = {
        f"let.cell.edges.{source}-{target}": operation
        for target, node in enumerate(text.split("+"), start=1)
        for operation, source in re.findall(r"(\w+)~(\d)", node)
    }
    return space.architecture(found)


def to_string(architecture: Architecture) -> str:
    """The official string of an architecture."""
    nodes = (
        "|".join(f"{architecture[f'let.cell.edges.{source}-{target}']}~{source}" for source in range(target))
        for target in (1, 2, 3)
    )
    return "+".join(f"|{node}|" for node in nodes)


def of_digits(space: SearchSpace, digits: str) -> Architecture:
    """The architecture of a code of the tables, one digit for each edge."""
    chosen = (OPERATIONS[int(digit)] for digit in digits)
    return space.architecture({f"let.cell.edges.{edge}": option for edge, option in zip(EDGES, chosen, strict=True)})


def by_hand(digits: str, classes: int = 10) -> int:
    """Parameters, layer by layer: a convolution has no bias, its normalisation a scale and a shift for each channel."""

    def conv(kernel: int, inputs: int, width: int) -> int:
        return kernel**2 * inputs * width + 2 * width

    total = conv(3, 3, 16)
    for width in (16, 32, 64):
        total += 5 * sum(conv({"2": 1, "3": 3}[digit], width, width) for digit in digits if digit in "23")
    for width in (32, 64):
        total += conv(3, width // 2, width) + conv(3, width, width) + width // 2 * width
    return total + 2 * 64 + 64 * classes + classes


def classes_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """The numbers of equal keys together."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        found[key].append(number)
    return list(found.values())


def test_official_strings_and_architectures_are_each_others_inverse(space):
    assert space.size() == 5**6 == 15_625
    assert of_string(space, BEST) == space.known["arch_13714"].architecture == of_digits(space, "333123")
    for architecture in itertools.islice(space.enumerate(), 0, None, 97):
        assert of_string(space, to_string(architecture)) == architecture


def test_a_network_of_the_benchmark_has_its_parts_and_its_parameters(space):
    network = nas.build(space, of_string(space, BEST), seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand("333123") == 1_073_466
    shapes: list[tuple[int, ...]] = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == [(2, 16, 32, 32)] * 5 + [(2, 32, 16, 16)] * 5 + [(2, 64, 8, 8)] * 5
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(nn.AvgPool2d) == 2  # one in each reduction; this cell has none


def test_costs_of_the_other_data_sets_follow_the_closed_forms(space):
    resolved = dict(space.tree.resolved)
    del resolved["known"]
    cifar100 = space_from_mapping({**resolved, "task": {**resolved["task"], "classes": 100}})
    small = {**resolved["task"], "input": [3, 16, 16], "classes": 120}
    imagenet16 = space_from_mapping({**resolved, "task": small})
    for digits in ("333123", "000000", "421211"):
        one, hundred, many = (costs(s, of_digits(s, digits)) for s in (space, cifar100, imagenet16))
        threes, ones = digits.count("3"), digits.count("2")
        assert one.params == 73_306 + 243_040 * threes + 28_000 * ones
        assert one.macs == 7_783_040 + 35_389_440 * threes + 3_932_160 * ones
        assert (hundred.params, hundred.macs) == (one.params + 5_850, one.macs + 5_760)
        assert (many.params, many.macs) == (one.params + 7_150, (one.macs - 640) // 4 + 7_680)


@pytest.mark.data
def test_random_networks_have_the_published_costs_and_run(space, rows):
    rng = np.random.default_rng(0)
    for row in rng.choice(rows, 20, replace=False):
        architecture = of_digits(space, row["ops"])
        with torch.device("meta"):
            network = instantiate(resolve(space, architecture))
            assert network(torch.empty(3, 3, 32, 32)).shape == (3, 10)
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert counted == int(row["params"]) == by_hand(row["ops"])
        assert costs(space, architecture).macs == int(row["macs"])


@pytest.mark.data
@pytest.mark.slow
def test_all_15625_prices_are_the_published_ones(space, rows):
    architectures = space.encode_many(of_digits(space, row["ops"]) for row in rows)
    assert len(np.unique(architectures, axis=0)) == 15_625
    priced = Pricer(space).price_encoded(architectures, ("params", "macs"))
    for name, amounts in priced.items():
        assert amounts.tolist() == [int(row[name]) for row in rows]


@pytest.mark.data
def test_the_table_has_the_published_anchors(rows):
    best = [rows[13_714][f"{data}_test_200e"] for data in ("c10", "c100", "in16")]
    assert (rows[13_714]["ops"], *best) == ("333123", "94.3733", "73.0933", "46.3333")
    assert rows[3_558]["ops"] == "132323"
    assert [float(rows[3_558][f"{data}_test_200e"]) for data in ("c10", "c100", "in16")] == [93.63, 70.6, 45.3]
    for data, most, where in (("c10", 94.3733, {6111, 13714}), ("c100", 73.5133, {9930}), ("in16", 47.3111, {857})):
        values = [float(row[f"{data}_test_200e"]) for row in rows]
        assert max(values) == most
        assert {number for number, value in enumerate(values) if value == most} == where


@pytest.mark.data
@pytest.mark.parametrize(("name", "column"), [("cifar10", "c10"), ("cifar100", "c100"), ("imagenet16", "in16")])
def test_the_shipped_descriptions_give_each_cell_its_own_numbers(space, rows, data_folder, name, column):
    table = load_table(describe(f"nas_bench_201_{name}", space, None, {}), space, str(data_folder))
    accuracy, test = table.description.measurements["accuracy"], table.truth("accuracy")
    for number in (857, 3_558, 13_714):
        row, at = rows[number], table.rows[of_digits(space, rows[number]["ops"]).key]
        for epochs, expected in ((12, "val_12e"), (199, "val_12e"), (200, "val_200e"), (300, "val_200e")):
            assert table.at("accuracy", {"epochs": epochs})[at] == pytest.approx(
                float(row[f"{column}_{expected}"]) / 100
            )
        assert table.at("macs", {})[at] == int(row["macs"])
        assert test[at] == pytest.approx(float(row[f"{column}_test_200e"]) / 100)
    assert accuracy.direction == "maximize"
    assert len(table.architectures) == 15_625


def published_text(digits: str) -> str:
    """A cell's text as the authors write it to count 6,466 of them (`to_unique_str`, zero considered)."""
    texts, operations = ["0"], iter(digits)
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = OPERATIONS[int(next(operations))]
            if operation == "none" or texts[source] == "#":
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(texts[source])
            else:
                terms.append(f"({texts[source]})@{operation}")
        texts.append("+".join(sorted(terms)))
    return texts[-1]


@pytest.mark.data
def test_the_published_classes_are_those_of_the_authors_text(rows):
    texts = classes_of(published_text(row["ops"]) for row in rows)
    assert len(texts) == 6_466
    assert texts == classes_of(row["iso_id"] for row in rows)


def difference(classes: Iterable[list[int]], apart: list[Hashable] | None, values: np.ndarray) -> tuple[int, float]:
    """Pairs within classes (that `apart` tells apart), and the mean difference of their values."""
    count, total = 0, 0.0
    for members in classes:
        parts = [members] if apart is None else classes_of(apart[number] for number in members)
        inside = np.abs(values[members][:, None] - values[members])
        keep = np.ones_like(inside, dtype=bool)
        for part in parts if apart is not None else []:
            keep[np.ix_(part, part)] = False
        chosen = np.triu(keep, 1)
        count, total = count + int(chosen.sum()), total + float(inside[chosen].sum())
    return count, total / count


@pytest.mark.data
def test_our_classes_fit_the_measured_accuracies_better_than_the_published_ones(space, rows):
    """Cells that only our key holds equal differ as two trainings do; those that only the text does, twice as much."""
    ours = [space.identity(of_digits(space, row["ops"])) for row in rows]
    theirs: list[Hashable] = [row["iso_id"] for row in rows]
    assert len(set(ours)) == 5_260

    connected = [number for number, row in enumerate(rows) if row["c10_zen"]]
    accuracy = np.array([float(rows[number]["c10_test_200e"]) for number in connected])
    mine, published = [ours[number] for number in connected], [theirs[number] for number in connected]
    in_both = difference(classes_of(zip(mine, published, strict=True)), None, accuracy)
    only_ours = difference(classes_of(mine), published, accuracy)
    only_theirs = difference(classes_of(published), mine, accuracy)
    assert [count for count, _ in (in_both, only_ours, only_theirs)] == [246_636, 437_751, 1_476]
    assert [round(mean, 2) for _, mean in (in_both, only_ours, only_theirs)] == [0.20, 0.21, 0.46]


@pytest.mark.data
def test_cells_that_the_image_does_not_cross_are_one_network(space, rows):
    """The table has no Zen score for exactly these 341."""
    nothing = space.identity(of_digits(space, "000000"))
    crossed = [space.identity(of_digits(space, row["ops"])) != nothing for row in rows]
    assert crossed == [bool(row["c10_zen"]) for row in rows]
    assert crossed.count(False) == 341


@pytest.mark.parametrize("digits", ["000000", "300000", "000300", "020010"])
def test_zero_and_disconnected_cells_are_trained_like_any_other(space, digits):
    tiny = {**space.tree.resolved["network"], "width": 4, "cells_per_stage": 1}
    resolved = {**space.tree.resolved, "network": tiny, "known": {}}
    resolved["task"] = {**resolved["task"], "input": [1, 8, 8], "classes": 4}
    plan = {
        "space": resolved,
        "evaluator": {"type": "standalone"},
        "data": {"name": "synthetic", "validation": 0.25, "batch": 32, "augmentation": None},
        "device": "cpu",
    }
    smaller = space_from_mapping(resolved)
    (result,) = make_evaluator(plan).evaluate([Job(0, of_digits(smaller, digits), {"epochs": 1}, 0)])
    assert (result.status, result.reason) == ("completed", "")
