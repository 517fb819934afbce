"""A pricer's tables, extremes and windows on real networks, against counting each architecture."""

import math

import numpy as np
import pytest

from nasengine.costs import (
    COSTS,
    Costs,
    Pricer,
    breaches,
    check_constraints,
    costs,
    feasible,
    feasible_size,
)
from nasengine.errors import BuildError, InputError, UnknownNameError
from nasengine.space import SearchSpace, load_space, parse_space

HEAD = "task: {kind: image_classification, input: [3, 8, 8], classes: 10}\n"
TAIL = ", {type: global_average_pool}, {type: linear_head}]}"
SPACES = {
    "resolution_and_let": """
name: resolution_and_let
task: {kind: image_classification, input: [3, {choice: [8, 16]}, same], classes: 10}
let: {width: {choice: [4, 8, 12]}}
network: {type: sequential, layers: [
  {type: conv_norm_activation, width: {use: width}, kernel: {choice: [1, 3]}},
  {type: mbconv, width: {use: width}, kernel: {choice: [3, 5]}, expansion: {choice: [1, 2]},
   squeeze_excite: {choice: [false, true]}}
"""
    + TAIL,
    "shared_count": """
name: shared_count
task: {kind: image_classification, input: [3, {use: side}, same], classes: 10}
let: {depth: {choice: [0, 1, 2]}, side: {choice: [8, 16]}}
network: {type: sequential, layers: [
  {repeat: {use: depth}, of: {type: conv_norm_activation, width: {choice: [4, 6]}, kernel: {choice: [1, 3]}}},
  {optional: {type: sequential, layers: [
    {repeat: {use: depth}, of: {type: mbconv, width: {choice: [4, 6]}, kernel: 3, expansion: 2}}]}}
"""
    + TAIL,
    "typed_options": "name: typed_options\n"
    + HEAD
    + """
network: {type: sequential, layers: [
  {type: conv, width: {choice: [4, 6]}, kernel: 3},
  {choice: {none: {type: identity}, conv: {type: conv_norm_activation, width: {choice: [4, 8]}, kernel: 3},
            mb: {type: mbconv, width: 6, kernel: 3, expansion: 2}}},
  {choice: {pool: {type: max_pool, kernel: 2, stride: 2},
            stride: {type: conv, width: {choice: [5, 7]}, kernel: 3, stride: 2}}}
"""
    + TAIL,
    "optional_and_repeat": "name: optional_and_repeat\n"
    + HEAD
    + """
network: {type: sequential, layers: [
  {type: conv, width: 4, kernel: 3},
  {optional: {type: conv_norm_activation, width: {choice: [4, 8]}, kernel: 3, stride: {choice: [1, 2]}}},
  {repeat: {choice: [0, 1, 3]}, of: {type: residual, body: {type: relu_conv_norm, kernel: {choice: [1, 3]}}}},
  {optional: {type: conv, width: {choice: [3, 9]}, kernel: 1}}
"""
    + TAIL,
    "concatenation": "name: concatenation\n"
    + HEAD
    + """
network: {type: sequential, layers: [
  {repeat: {range: [1, 2, 1]}, of: {type: parallel, join: concat, branches: {subset: {size: [1, 2], of: {
     one: {type: conv, width: {choice: [2, 3]}, kernel: 1},
     three: {type: conv, width: {choice: [4, 6]}, kernel: 3},
     pool: {type: max_pool, kernel: 3, stride: 1}}}}}}
"""
    + TAIL,
    "cell": "name: cell\n"
    + HEAD
    + """
let: {cell: {type: cell, nodes: 3, edges: {all: {choice: {
  none: {type: zero}, skip: {type: identity}, conv: {type: relu_conv_norm, kernel: 3}}}}}}
network: {type: sequential, layers: [{type: conv, width: {choice: [4, 6]}, kernel: 3}, {use: cell}, {use: cell}
"""
    + TAIL,
    "related": "name: related\n"
    + HEAD
    + """
let: {a: {choice: [4, 6, 8]}, b: {choice: [4, 6, 8]}}
network: {type: residual_network, stem_width: 4, widths: [{use: a}, {use: b}, 8], downsample: max_pool,
          downsample_at: {subset: {of: [1, 2, 3], size: [1, 2]}}}
constraints: {macs: {max: 60000}, params: {min: 2000}}
relations: [{order: [let.a, let.b], is: not_decreasing}]
""",
}


def space_of(text: str) -> SearchSpace:
    return SearchSpace(parse_space(text, "space.yaml"))


@pytest.fixture(scope="module", params=SPACES)
def everything(request):
    """A space, a pricer with tables, and every architecture with its costs, counted one by one."""
    space = space_of(SPACES[request.param])
    pricer = Pricer(space)
    pricer.compile()
    architectures = list(space.enumerate())
    if len(architectures) > 250:
        chosen = np.random.default_rng(0).choice(len(architectures), 250, replace=False)
        architectures = [architectures[i] for i in chosen]
    return space, pricer, architectures, [costs(space, a) for a in architectures]


def test_tables_price_like_counting(everything):
    space, pricer, architectures, counted = everything
    assert pricer.without_tables == {}
    priced = pricer.price_encoded(space.encode_many(architectures))
    assert [Costs(*amounts) for amounts in zip(*(priced[n].tolist() for n in COSTS), strict=True)] == counted
    assert pricer.price_many(architectures[:5]) == counted[:5]
    assert pricer.price(architectures[0]) == counted[0]


def test_bounds_are_attained_and_nothing_lies_outside(everything):
    space, pricer, _, _ = everything
    rows = space.encode_many(list(space.enumerate()))
    priced = pricer.price_encoded(rows)
    for name in COSTS:
        least, most = pricer.bounds(name)
        assert (least.amount, most.amount) == (priced[name].min(), priced[name].max())
        for found in (least, most):
            assert costs(space, found.architecture).as_dict()[name] == found.amount
            assert space.satisfies(found.architecture)


def test_windows_on_several_costs_hold_together(everything):
    space, pricer, _, _ = everything
    priced = pricer.price_encoded(space.encode_many(list(space.enumerate())))
    windows = {name: (None, float(np.quantile(priced[name], 0.8))) for name in ("macs", "params")}
    windows["peak_activation_bytes"] = (float(np.quantile(priced["peak_activation_bytes"], 0.1)), None)
    sampler = pricer.within(windows)
    drawn = sampler.sample_many(np.random.default_rng(0), 50)
    for architecture in drawn:
        found = costs(space, architecture).as_dict()
        assert space.satisfies(architecture)
        for name, (low, high) in windows.items():
            assert (low or 0) <= found[name] <= (high or math.inf)
    assert sampler.sample(np.random.default_rng(7)) == sampler.sample(np.random.default_rng(7))


@pytest.fixture(scope="module")
def related():
    space = space_of(SPACES["related"])
    pricer = Pricer(space)
    return space, pricer


def test_windows_without_architectures_name_the_nearest_prices(related):
    _, pricer = related
    least, most = pricer.bounds("macs")
    with pytest.raises(InputError, match=f"no architecture .* macs up to 10.*\n.*{least.amount:,}"):
        pricer.within({"macs": (None, 10)})
    with pytest.raises(InputError, match=f"macs from 1,000,000,000.*\n.*{most.amount:,}"):
        pricer.within({"macs": (1e9, None)})
    with pytest.raises(InputError, match="the window of macs is empty"):
        pricer.within({"macs": (2, 1)})
    with pytest.raises(UnknownNameError, match="did you mean 'macs'"):
        pricer.within({"mac": (1, 2)})
    with pytest.raises(InputError, match="needs the name of a cost"):
        pricer.within({})


def test_windows_that_exclude_each_other_say_how_many_draws_were_kept(related):
    _, pricer = related
    cheapest = pricer.bounds("params")[0].amount
    with pytest.raises(InputError, match=r"only 0 of \d+ draws"):
        pricer.within({"macs": (pricer.bounds("macs")[1].amount, None), "params": (None, cheapest)}).sample(
            np.random.default_rng(0)
        )


@pytest.mark.parametrize("width", ["{choice: [0, -2]}", "0"])
def test_a_space_in_which_nothing_can_be_built_has_no_bounds_and_windows(width):
    text = f"name: none\n{HEAD}network: {{type: sequential, layers: [{{type: conv, width: {width}}}{TAIL}"
    space = SearchSpace(parse_space(text, "t"))
    for ask in (lambda: Pricer(space).bounds("macs"), lambda: Pricer(space).within({"macs": (None, 1e9)})):
        with pytest.raises(InputError, match="no architecture of none satisfies the relations and has a network"):
            ask()


def test_a_space_without_choices_has_the_bounds_and_windows_of_its_one_architecture():
    space = SearchSpace(
        parse_space("name: one\n" + HEAD + "network: {type: sequential, layers: [{type: conv, width: 4}" + TAIL, "t")
    )
    pricer = Pricer(space)
    (only,) = space.enumerate()
    for name, amount in costs(space, only).as_dict().items():
        assert pricer.bounds(name) == ((amount, only), (amount, only))
        for low, high in ((amount, amount), (amount - 1, None), (None, amount + 1)):
            assert pricer.within({name: (low, high)}).sample(np.random.default_rng(0)) == only
        for low, high in ((amount + 1, None), (None, amount - 1)):
            with pytest.raises(InputError, match=f"the nearest that architectures have: {amount:,}"):
                pricer.within({name: (low, high)})


def test_constraints_are_checked_and_counted(related):
    space, pricer = related
    architectures = list(space.enumerate())
    expected = [c.macs <= 60000 and c.params >= 2000 for c in pricer.price_many(architectures)]
    assert 0 < sum(expected) < len(expected)
    assert feasible(space, pricer, space.encode_many(architectures)).tolist() == expected
    assert feasible_size(space, pricer) == sum(expected)
    assert [bool(breaches(space.constraints, pricer, a)) for a in architectures] == [not e for e in expected]
    worst = pricer.bounds("macs")[1]
    assert f"macs {worst.amount:,} above 60,000" in breaches(space.constraints, pricer, worst.architecture)


def test_an_unknown_cost_in_constraints_is_reported_with_its_place_and_the_nearest_name():
    text = SPACES["related"].replace("params: {min: 2000}", "parms: {min: 2000}")
    space = space_of(text)
    problems = check_constraints(space)
    assert [p.message for p in problems] == ["unknown cost 'parms' in constraints"]
    assert "did you mean 'params'" in problems[0].expected
    line = next(i for i, text_line in enumerate(text.splitlines(), 1) if "parms" in text_line)
    assert problems[0].mark.line == line
    assert problems[0].line_text == text.splitlines()[line - 1]
    with pytest.raises(InputError, match="parms"):
        feasible_size(space, Pricer(space))


def test_a_few_architectures_are_priced_without_waiting_for_tables():
    space = load_space("mobile_cnn")
    pricer = Pricer(space)
    architectures = [space.sample(np.random.default_rng(i)) for i in range(3)]
    assert pricer.price_many(architectures) == [costs(space, a) for a in architectures]
    assert not pricer.compiled


def test_enough_architectures_make_it_compile():
    space = space_of(SPACES["related"])
    pricer = Pricer(space, compile_after=3)
    pricer.price_many(list(space.enumerate())[:4])
    assert pricer.compiled


def test_costs_that_depend_on_too_much_are_counted_one_by_one():
    space = space_of(SPACES["cell"])
    pricer = Pricer(space, widest=8)
    pricer.compile()
    assert "peak_activation_bytes" in pricer.without_tables
    architectures = [space.sample(np.random.default_rng(i)) for i in range(4)]
    assert pricer.price_many(architectures) == [costs(space, a) for a in architectures]
    with pytest.raises(InputError, match=r"has no tables: .* depends on"):
        pricer.bounds("peak_activation_bytes")


def test_overrides_of_the_network_change_its_price():
    space = space_of(SPACES["related"])
    architecture = next(iter(space.enumerate()))
    plain, wider = Pricer(space), Pricer(space, network={"stem_width": 16})
    assert wider.price(architecture).macs > plain.price(architecture).macs
    assert costs(space, architecture, network={"stem_width": 16}) == wider.price(architecture)


def test_an_architecture_without_a_network_is_a_build_error():
    text = "network: {type: sequential, layers: [{type: conv, width: 4, groups: {choice: [1, 3]}}" + TAIL
    space = space_of(f"name: broken\n{HEAD}{text}")
    broken = space.architecture({"network.layers.0.groups": 3})
    pricer = Pricer(space)
    with pytest.raises(BuildError):
        pricer.price(broken)
    pricer.compile()
    assert pricer.price(space.architecture({"network.layers.0.groups": 1})).macs > 0
    with pytest.raises(BuildError):
        pricer.price(broken)
