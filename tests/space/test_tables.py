"""Tables, extremes and windows against brute force, on small spaces with costs made up from the choices."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from nasengine.errors import BuildError
from nasengine.space import SearchSpace, parse_space
from nasengine.space.discovery import Discovery
from nasengine.space.elimination import walk
from nasengine.space.tables import (
    UNKNOWN,
    CostTables,
    Table,
    combinations,
    complete,
    merge,
    relation_table,
)
from nasengine.space.windows import WindowedDraws, draw_until, nearest_prices

CONDITIONAL = """
name: conditional
task: {kind: image_classification, input: [3, {choice: [8, 16]}, same], classes: 10}
let: {width: {choice: [4, 8, 12]}}
network:
  type: sequential
  layers:
    - repeat: {choice: [1, 3]}
      of: {type: conv_norm_activation, width: {use: width}, kernel: {choice: [1, 3, 5]}}
    - optional: {type: conv_norm_activation, width: {choice: [6, 9]}, kernel: 1}
    - {choice: {none: {type: identity}, one: {type: conv, width: {choice: [2, 7]}, kernel: 1}}, weights: {none: 3}}
    - {type: global_average_pool}
    - {type: linear_head}
"""
RELATED = """
name: related
task: {kind: image_classification, input: [3, 8, 8], classes: 10}
let: {a: {choice: [1, 2, 3]}, b: {choice: [1, 2, 3]}, c: {choice: [1, 2, 3]}}
network:
  type: residual_network
  widths: [{use: a}, {use: b}, {use: c}]
relations:
  - {order: [let.a, let.b], is: not_decreasing}
  - {sum: [let.b, let.c], max: 4}
"""


def space_of(text: str) -> SearchSpace:
    return SearchSpace(parse_space(text, "space.yaml"))


def every_row(space: SearchSpace) -> np.ndarray:
    return space.encode_many(list(space.enumerate()))


def parts_of(space: SearchSpace, row: np.ndarray) -> dict:
    """Costs of made-up parts, each of the options at a few paths; what is inactive costs nothing."""
    options = space.decode(row)
    value = {path: (len(str(o)) if isinstance(o, str) else int(o)) for path, o in options.items()}
    found = {}
    for first, second in itertools.combinations(sorted(value), 2):
        if (len(first) + len(second)) % 3 == 0:
            found["sum", f"{first}+{second}"] = (value[first] * value[second] * 17 + 1,)
    for path, amount in value.items():
        found["sum", path] = (amount * 101 + 3,)
        found["max", path] = (amount * 7 + len(path),)
    return found


def total_of(space: SearchSpace, row: np.ndarray, family: str) -> int:
    amounts = [a[0] for (kind, _), a in parts_of(space, row).items() if kind == family]
    return sum(amounts) if family == "sum" else max(amounts)


def discover(space: SearchSpace, **settings) -> Discovery:
    discovery = Discovery(
        space.decisions, lambda row: parts_of(space, row), lambda rng: space.sample_encoded(rng, 1)[0], **settings
    )
    discovery.run(in_a_row=50)
    return discovery


def tables_of(space: SearchSpace, family: str) -> CostTables:
    (tables,) = discover(space).tables(family, 1)
    return CostTables("made_up", family, merge(tables, family))


@pytest.fixture(scope="module", params=[CONDITIONAL, RELATED], ids=["conditional", "related"])
def space(request) -> SearchSpace:
    return space_of(request.param)


@pytest.fixture(scope="module", params=["sum", "max"])
def priced(request, space):
    rows = every_row(space)
    amounts = np.array([total_of(space, row, request.param) for row in rows])
    relations = [relation_table(space.decisions, relation) for relation in space.compiled_relations]
    tables = tables_of(space, request.param)
    return space, rows, amounts, walk(space.decisions, tables, relations)


def test_discovered_tables_price_every_architecture_exactly(priced):
    _, rows, amounts, laid = priced
    assert np.array_equal(laid.costs.price(rows), amounts)


def test_one_row_is_priced_like_many(priced):
    _, rows, amounts, laid = priced
    assert [laid.costs.price(rows[index : index + 1]).tolist() for index in range(len(rows))] == [[a] for a in amounts]


def test_extremes_are_those_of_brute_force(priced):
    _, rows, amounts, laid = priced
    for largest, expected in ((False, amounts.min()), (True, amounts.max())):
        amount, row = laid.extreme(largest=largest)
        assert amount == expected
        assert amounts[(rows == row).all(axis=1)].tolist() == [expected]


def test_draws_in_a_window_have_the_distribution_of_the_space_conditioned_on_it(priced):
    space, rows, amounts, laid = priced
    low, high = (int(q) for q in np.quantile(amounts, [0.45, 0.6]))
    inside = rows[(amounts >= low) & (amounts <= high)]
    weights = np.array(
        [math.prod(d.weights[o] for d, o in zip(space.decisions, row, strict=True) if o >= 0) for row in inside]
    )
    drawn, went = draw_until(
        WindowedDraws(laid, low, high),
        lambda r: (laid.costs.price(r) >= low) & (laid.costs.price(r) <= high),
        np.random.default_rng(5),
        6000,
    )
    counts = Counter(map(bytes, drawn))
    observed = np.array([counts.pop(bytes(row), 0) for row in inside])
    assert not counts  # nothing outside
    assert went.acceptance > 0.3
    assert len(inside) == 1 or stats.chisquare(observed, 6000 * weights / weights.sum()).pvalue > 1e-4


def test_bins_of_any_width_miss_nothing_inside_the_window(priced, monkeypatch):
    _, rows, amounts, laid = priced
    monkeypatch.setattr("nasengine.space.windows.MOST_BINS", 64)
    for low, high in ((int(amounts.min()), int(amounts.min())), (int(amounts.max()), int(amounts.max()))):
        expected = {bytes(row) for row in rows[(amounts >= low) & (amounts <= high)]}
        drawn, _ = draw_until(
            WindowedDraws(laid, low, high),
            lambda r, low=low, high=high: (laid.costs.price(r) >= low) & (laid.costs.price(r) <= high),
            np.random.default_rng(0),
            100 * len(expected),
        )
        assert {bytes(row) for row in drawn} == expected


def test_a_window_without_architectures_is_known_to_be_empty_and_its_neighbours_found(priced):
    _, _, amounts, laid = priced
    attained = np.unique(amounts)
    gap = int(np.argmax(np.diff(attained)))
    below, above = int(attained[gap]), int(attained[gap + 1])
    assert WindowedDraws(laid, below + 1, above - 1, finest=True).empty
    assert nearest_prices(laid, below + 1, above - 1) == (below, above)
    assert nearest_prices(laid, int(attained[-1]) + 1, 10**15) == (attained[-1], None)
    assert nearest_prices(laid, 0, int(attained[0]) - 1) == (None, attained[0])


def test_draws_depend_on_the_generator_alone(priced):
    _, _, amounts, laid = priced
    draws = WindowedDraws(laid, int(np.median(amounts)), int(amounts.max()))
    first, second = (draws.draw(np.random.default_rng(3), 50) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_part_that_depends_on_too_much_makes_its_family_wide_and_leaves_the_other():
    space = space_of(CONDITIONAL)

    def measure(row):
        found = {key: amounts for key, amounts in parts_of(space, row).items() if key[0] == "sum"}
        return {**found, ("max", "everything"): (int(row.astype(int).dot(7 ** np.arange(len(row)) % 1009)) + 10**6,)}

    discovery = Discovery(space.decisions, measure, lambda rng: space.sample_encoded(rng, 1)[0], limit=60, seed=1)
    discovery.run(in_a_row=30)
    assert list(discovery.wide) == ["max"]
    (tables,) = discovery.tables("sum", 1)
    rows = every_row(space)
    expected = [total_of(space, row, "sum") for row in rows]
    assert CostTables("c", "sum", merge(tables, "sum")).price(rows).tolist() == expected


def test_architectures_that_cannot_be_built_stay_unknown():
    space = space_of(CONDITIONAL)
    kernel = next(i for i, d in enumerate(space.decisions) if d.path == "network.layers.0.0.kernel")
    width = next(i for i, d in enumerate(space.decisions) if d.path == "let.width")

    def broken(row):
        return (row[kernel] == 2) & (row[width] == 0)

    def measure(row):
        if broken(row):
            raise BuildError("too wide a kernel")
        return {("sum", "part"): (int(row[kernel]) * 10 + int(row[width]) + 1,)}

    def draw(rng):
        while broken(row := space.sample_encoded(rng, 1)[0]):
            pass
        return row

    discovery = Discovery(space.decisions, measure, draw)
    discovery.run(in_a_row=30)
    (tables,) = discovery.tables("sum", 1)
    rows = every_row(space)
    priced = CostTables("c", "sum", tuple(tables)).price(rows)
    assert (priced[broken(rows.T)] == UNKNOWN).all()
    assert [int(CostTables("c", "sum", tuple(tables)).price(row[None])[0]) for row in rows] == priced.tolist()
    assert (priced[~broken(rows.T)] > 0).all()


def test_combinations_are_those_of_the_enumerated_architectures():
    space = space_of(CONDITIONAL)
    rows = every_row(space)
    for scope in itertools.combinations(range(len(space.decisions)), 3):
        found = combinations(space.decisions, scope, 1000)[:, list(scope)]
        assert {tuple(r) for r in found.tolist()} == {tuple(r) for r in rows[:, list(scope)].tolist()}
        assert len(found) == len({tuple(r) for r in found.tolist()})
    with pytest.raises(OverflowError):
        combinations(space.decisions, range(len(space.decisions)), 10)


def test_completed_rows_are_architectures_and_keep_what_was_given():
    space = space_of(CONDITIONAL)
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = space.sample_encoded(rng, 2)
        row = complete(space.decisions, [first], rng)
        assert np.array_equal(row, first)
        mixed = complete(space.decisions, [np.where(rng.random(len(first)) < 0.5, first, -2), second], rng)
        assert np.array_equal(space.canonical(mixed[None])[0], mixed)
        assert all(d.is_active(mixed) == (mixed[i] >= 0) for i, d in enumerate(space.decisions))


def test_merging_tables_changes_no_price():
    rng = np.random.default_rng(0)
    rows = rng.integers(-1, 2, (500, 4)).astype(np.int16)
    scopes = [(), (0,), (1, 2), (0, 1, 2), (2, 3), (3,), (1,)]
    for reduction in ("sum", "max"):
        tables = [Table(scope, rng.integers(0, 99, [3] * len(scope))) for scope in scopes]
        tables.append(Table((0, 3), np.full((3, 3), 5)))  # depends on neither
        merged = merge(tables, reduction)
        assert len(merged) < len(tables)
        before = CostTables("c", reduction, tuple(tables)).price(rows)
        assert np.array_equal(CostTables("c", reduction, merged).price(rows), before)


def test_a_part_that_depends_on_the_last_of_some_blocks_is_split_by_how_many_there_are():
    space = space_of("""
name: last_of_some
task: {kind: image_classification, input: [3, 8, 8], classes: 10}
network:
  type: sequential
  layers:
    - repeat: {choice: [1, 2, 3]}
      of: {type: conv, width: {choice: [2, 3, 5, 7, 11]}, kernel: {choice: [1, 3, 5, 7]}}
    - {type: global_average_pool}
    - {type: linear_head}
""")

    def cost(row: np.ndarray) -> int:
        options = space.decode(row)
        last = f"network.layers.0.{options['network.layers.0.repeat'] - 1}"
        return options[f"{last}.width"] * options[f"{last}.kernel"]

    discovery = Discovery(
        space.decisions,
        lambda row: {("sum", "head"): (cost(row),)},
        lambda rng: space.sample_encoded(rng, 1, by="choice")[0],
        limit=60,
    )
    discovery.run(in_a_row=100)
    assert discovery.wide == {}
    assert discovery.splits
    assert discovery.measured < 1000  # of 8420
    (tables,) = discovery.tables("sum", 1)
    rows = every_row(space)
    priced = CostTables("c", "sum", merge(tables, "sum"))
    assert priced.price(rows).tolist() == [cost(row) for row in rows]
    assert walk(space.decisions, priced).extreme(largest=True)[0] == 77
