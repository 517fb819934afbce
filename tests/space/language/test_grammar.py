"""A whole space file: its keys, its sections, and everything that is wrong with one reported at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from nasengine.errors import InputError
from nasengine.space.holes import Choice, ListOf, MapOf, Range, Value
from nasengine.space.language.expansion import MAX_EXPANDED
from nasengine.space.language.grammar_proxy import OPERATIONS
from nasengine.space.language.parsing import parse_space
from nasengine.space.loading import load_space
from tests.own_time import own_time
from tests.space.grammar_helpers import FILE, HEAD, around, only_problem, problems, tree

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_nine_published_spaces_parse(path):
    space = parse_space(path.read_text(), str(path))
    assert space.name == path.stem
    assert space.root_key == ("proxy" if path.stem == "emq_proxy" else "network")
    assert "extends" not in space.resolved


def test_a_space_keeps_its_texts_and_its_plain_values():
    space = tree("about: |\n  two\n  lines\nsource: someone\nconstraints: {macs: {max: 1e6}}\n")
    assert (space.name, space.about, space.source, space.file) == ("small", "two\nlines\n", "someone", FILE)
    assert space.resolved["constraints"] == {"macs": {"max": 1e6}}
    assert space.lines[FILE][0] == "name: small"


# --- the top level ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("¦- a", "a list stands at the top level", "a mapping with name, task and network"),
        ("¦word", "the word 'word' stands at the top level", "a mapping"),
        (HEAD + "¦netwrok: {type: x}", "unknown key 'netwrok' in a space", "did you mean 'network'?"),
        ("¦" + HEAD, "the space has no 'network'", "a key 'network' (or 'proxy')"),
        ("¦task: {kind: x, input: [3, 8, 8]}\nnetwork: {type: x}", "the space has no 'name'", "a key 'name'"),
        ("¦name: x\nnetwork: {type: x}", "the space has no 'task'", "task: {kind: …"),
        (around().replace("small", "¦[1]"), "a list stands at name", "a name"),
        (around().replace("small", "¦my space"), "the word 'my space' stands at name", "letters, digits, _ and -"),
        (around(more="about: ¦3"), "the number 3 stands at about", "a word"),
        (around("¦{layers: []}"), "the network has no type", "{type: name, argument: value, …}"),
        (around("¦[1]"), "the network is no node with a type", "{type: name"),
        (around("¦null"), "the network is empty", "{type: name"),
        (around("¦{choice: [1, 2]}"), "the network is no node with a type", "{type: name"),
        (around("{choice: {a: {type: x}, b: ¦{width: 3}}}"), "the network has no type", "{type: name"),
    ],
)
def test_a_wrong_top_level_is_refused(text, message, expected):
    problem = only_problem(text)
    assert problem.message == message
    assert expected in problem.expected


def test_network_and_proxy_exclude_each_other():
    found = only_problem(around(more="¦proxy: {type: branched}"))
    assert found.message == "the space has a network and a proxy"


def test_the_root_may_be_a_choice_of_whole_networks_or_shared():
    assert isinstance(parse_space(around("{choice: {a: {type: x}, b: {type: y}}}"), FILE).root, Choice)
    shared = around("{use: n}", "let: {n: {type: x, width: {choice: [1, 2]}}}")
    assert parse_space(shared, FILE).root_key == "network"


def test_all_problems_of_a_file_are_reported_at_once_in_its_order():
    found = problems(
        "¦nam: small\n"
        "task: {kind: image_classification, input: [3, ¦-1, ¦wide], classes: 10}\n"
        "let: {¦spare: 1}\n"
        "network:\n"
        "  type: sequential\n"
        "  layers:\n"
        "    - {type: conv, width: {¦choise: [1]}, kernel: {choice: [3, ¦3]}}\n"
        "    - {type: conv, width: {range: ¦[9, 1]}}\n"
        "relations: [{order: [a, b], is: ¦incresing}]\n"
        "known: {x: {architecture: {}, macs: ¦many}}\n"
    )
    assert len(found) == 9
    assert found[0].expected.endswith("did you mean 'name'?")


def test_of_very_many_problems_the_first_fifty_are_shown():
    layers = ", ".join(["{range: 1}"] * 80)
    with pytest.raises(InputError) as caught:
        parse_space(around(f"{{type: net, layers: [{layers}]}}"), FILE)
    assert len(caught.value.problems) == 51
    assert caught.value.problems[-1].message == "… and 30 more problems"


def test_a_file_that_is_wrong_everywhere_is_answered_in_seconds():
    names = ", ".join(f"some_long_name_{i}: 1" for i in range(3000))
    uses = ", ".join(f"{{use: same_long_nmae_{i}}}" for i in range(3000))
    text = around(f"{{type: net, layers: [{uses}]}}", f"let: {{{names}}}")
    with own_time() as seconds:
        with pytest.raises(InputError, match="and many more problems"):
            parse_space(text, FILE)
        assert seconds() < 5.0


def test_a_problem_of_an_alias_is_reported_once():
    found = only_problem(around("{type: net, a: &x {range: ¦3}, b: *x, c: [*x, *x]}"))
    assert found.message == "the number 3 stands at network.a.range"


# --- task ------------------------------------------------------------------------------------------------------


def test_the_resolution_may_be_a_hole_and_the_width_the_same():
    head = "name: x\ntask: {kind: k, input: [3, {choice: [160, 192]}, same], classes: 10, extra: true}\n"
    task = parse_space(around(head=head), FILE).task
    assert task is not None
    assert (task.kind, task.channels, task.width) == ("k", 3, None)
    assert task.settings == {"classes": 10, "extra": True}
    assert isinstance(task.height, Choice)
    ranged = parse_space(around(head=head.replace("{choice: [160, 192]}", "{range: [128, 256, 32]}")), FILE).task
    assert ranged is not None
    assert isinstance(ranged.height, Range)
    fixed = parse_space(around(head="name: x\ntask: {kind: k, input: [1, 48, 64]}\n"), FILE).task
    assert fixed is not None
    assert isinstance(fixed.height, Value)
    assert fixed.width is not None
    assert (fixed.height.value, fixed.width.value) == (48, 64)


@pytest.mark.parametrize(
    ("task", "message", "expected"),
    [
        ("¦3", "the number 3 stands at task", "{kind: …"),
        ("¦{input: [3, 8, 8]}", "the task has no 'kind'", "a key 'kind'"),
        ("¦{kidn: k, input: [3, 8, 8]}", "the task has no 'kind'", "is 'kidn' meant to be it?"),
        ("¦{kind: k}", "the task has no 'input'", "a key 'input'"),
        ("{kind: k, input: ¦[3, 8]}", "a list stands at task.input", "three sizes"),
        ("{kind: k, input: ¦32}", "the number 32 stands at task.input", "three sizes"),
        ("{kind: ¦[k], input: [3, 8, 8]}", "a list stands at task.kind", "a name"),
        ("{kind: k, input: [¦0, 8, 8]}", "the number 0 stands at task.input.0", "an integer of at least 1"),
        ("{kind: k, input: [3, ¦8.5, 8]}", "the number 8.5 stands at task.input.1", "an integer of at least 1"),
        ("{kind: k, input: [3, 8, ¦sam]}", "the word 'sam' stands at task.input.2", "did you mean 'same'?"),
        ("{kind: k, input: [3, 8, ¦0]}", "the number 0 stands at task.input.2", "an integer of at least 1"),
        ("{kind: k, input: [3, 8, ¦{choice: [8, 9]}]}", "a mapping stands at task.input.2", "the width not"),
        ("{kind: k, input: [3, ¦{choice: {a: 1}}, same]}", "a mapping stands at task.input.1", "a choice or range"),
        ("{kind: k, input: [3, {choice: [8, ¦0]}, same]}", "the option 0 stands at task.input.1", "at least 1"),
        ("{kind: k, input: [3, 8, 8], classes: ¦{choice: [1]}}", "a mapping stands at task.classes", "a plain value"),
    ],
)
def test_a_wrong_task_is_refused(task, message, expected):
    problem = only_problem(around(head=f"name: x\ntask: {task}\n"))
    assert problem.message == message
    assert expected in problem.expected


# --- quantization ----------------------------------------------------------------------------------------------


def test_a_quantization_rule_keeps_its_formats_and_settings():
    space = tree(
        """
        let: {formats: [int4, int8]}
        quantization:
          - {at: network.stem, per: network, format: int8}
          - {at: "**.conv*", format: {choice: {use: formats}}, weights: {quantizer: max}, activations: lsq}
          - {at: "**", per: choice, weight_format: {choice: [int2, int4]}, activation_format: fp8_e4m3}
        """
    )
    first, second, third = space.quantization
    assert (first.at, first.per, list(first.formats)) == ("network.stem", "network", ["format"])
    assert second.per == "layer"
    assert isinstance(second.formats["format"], Choice)
    assert [o.label for o in second.formats["format"].options] == ["int4", "int8"]
    assert isinstance(second.settings["weights"], MapOf)
    assert isinstance(second.settings["activations"], Value)
    assert list(third.formats) == ["weight_format", "activation_format"]


@pytest.mark.parametrize(
    ("rules", "message", "expected"),
    [
        ("¦{at: x}", "a mapping stands at quantization", "a list of rules"),
        ("[¦int8]", "the word 'int8' stands at quantization.0", "a rule: {at"),
        ("[¦{format: int8}]", "quantization.0 has no 'at'", "a key 'at'"),
        ("[{at: ¦'a..b', format: int8}]", "the word 'a..b' stands at quantization.0.at", "names divided by dots"),
        ("[{at: ¦'a**', format: int8}]", "the word 'a**' stands at quantization.0.at", "names divided by dots"),
        ("[¦{at: x}]", "the rule quantization.0 has no format", "`format`, or `weight_format`"),
        ("[{at: x, format: int8, ¦weight_format: int4}]", "the rule quantization.0 has a format and a weight_format",
         "`format` (of both)"),
        ("[{at: x, per: ¦layr, format: int8}]", "the word 'layr' stands at quantization.0.per", "mean 'layer'?"),
        ("[{at: x, format: ¦8}]", "the number 8 stands at quantization.0.format", "the name of a number format"),
        ("[{at: x, format: {choice: [int8, ¦4]}}]", "the option 4 stands at quantization.0.format", "number format"),
        ("[{at: x, format: ¦{choice: {a: int8}}}]", "a mapping stands at quantization.0.format", "a choice of names"),
        ("[{at: x, format: int8, weights: {q: ¦{choice: [a, b]}}}]", "a choice stands inside quantization.0.weights",
         "only formats may be chosen"),
        ("[{at: x, format: int8, weights: ¦3}]", "the number 3 stands at quantization.0.weights", "a quantizer"),
        ("[{at: x, format: int8, ¦fmt: 1}]", "unknown key 'fmt' in quantization.0",
         "expected one of"),
        ("[{at: '**', format: int8}, ¦{at: x, format: int4}]", "the rule quantization.1 is never reached",
         "the first match wins; put it last"),
    ],
)  # fmt: skip
def test_a_wrong_quantization_rule_is_refused(rules, message, expected):
    problem = only_problem(around(more=f"quantization: {rules}"))
    assert problem.message == message
    assert expected in problem.expected


# --- constraints, relations, known -----------------------------------------------------------------------------


def test_constraints_bound_costs_at_one_end_or_both():
    bounds = tree("constraints: {macs: {min: 1e6, max: 2000000}, params: {max: 3}}").constraints
    assert [(b.cost, b.low, b.high) for b in bounds] == [("macs", 1e6, 2e6), ("params", None, 3.0)]


def test_relations_order_or_sum_paths():
    order, total = tree(
        "relations: [{order: [let.a, network.x.0], is: equal}, {sum: [network.a.repeat], min: 1, max: 2.5}]"
    ).relations
    assert (order.kind, order.paths, order.order) == ("order", ("let.a", "network.x.0"), "equal")
    assert (total.kind, total.paths, total.low, total.high) == ("sum", ("network.a.repeat",), 1.0, 2.5)


def test_known_architectures_keep_options_costs_and_marks():
    known = tree("known: {a: {architecture: {network.x: [4, [7]], network.y: true}, macs: 3, about: text}}").known["a"]
    assert known.options == {"network.x": (4, (7,)), "network.y": True}
    assert known.costs == {"macs": 3.0}
    assert known.about == "text"
    assert known.option_marks["network.y"].line == 4


@pytest.mark.parametrize(
    ("section", "message", "expected"),
    [
        ("constraints: ¦[1]", "a list stands at constraints", "{cost: {min"),
        ("constraints: {macs: ¦3}", "the number 3 stands at constraints.macs", "{min: number, max: number}"),
        ("constraints: {macs: ¦{}}", "constraints.macs has neither 'min' nor 'max'", "at least one"),
        ("constraints: {macs: {max: ¦1_000}}", "the word '1_000' stands at constraints.macs.max", "no separators"),
        ("constraints: {macs: {max: ¦true}}", "true stands at constraints.macs.max", "a number"),
        ("constraints: {macs: {¦min: 3, max: 2}}", "constraints.macs runs from 3 to 2", "min before max"),
        ("constraints: {macs: {max: 2, ¦maximum: 3}}", "unknown key 'maximum' in constraints.macs", "mean 'max'?"),
        ("relations: ¦{order: [a, b]}", "a mapping stands at relations", "a list of {order"),
        ("relations: [{¦paths: [a]}]", "unknown key 'paths' in relations.0", "expected one of is"),
        ("relations: [¦{is: equal}]", "relations.0 is no relation", "{order: [paths], is: not_decreasing} or {sum"),
        ("relations: [{¦ordr: [a, b], is: equal}]", "unknown key 'ordr' in relations.0", "did you mean 'order'?"),
        ("relations: [¦{order: [a, b]}]", "relations.0 has no 'is'", "a key 'is'"),
        ("relations: [{order: [a, b], is: ¦rising}]", "the word 'rising' stands at relations.0.is", "not_decreasing"),
        ("relations: [{order: ¦[a], is: equal}]", "relations.0.order names 1 paths", "at least 2 paths"),
        ("relations: [{order: [a, ¦a], is: equal}]", "the path a stands twice in relations.0.order", "once"),
        ("relations: [{order: [a, ¦'b c'], is: equal}]", "the word 'b c' stands at relations.0.order.1", "path"),
        ("relations: [{order: [a, ¦3], is: equal}]", "the number 3 stands at relations.0.order.1", "path of a choice"),
        ("relations: [¦{sum: [a]}]", "relations.0 has neither 'min' nor 'max'", "at least one"),
        ("relations: [{sum: [a], max: 3, ¦is: equal}]", "unknown key 'is' in relations.0", "expected one of max"),
        ("known: ¦3", "the number 3 stands at known", "{name: {architecture"),
        ("known: {a: ¦{macs: 3}}", "known.a has no 'architecture'", "{architecture: {path: option}"),
        ("known: {a: {architecture: ¦[1]}}", "a list stands at known.a.architecture", "{path of a choice: option}"),
        ("known: {a: {architecture: {b: ¦{c: 1}}}}", "a mapping stands at known.a.architecture.b", "an option"),
        ("known: {a: {architecture: {}, macs: ¦many}}", "the word 'many' stands at known.a.macs", "a published cost"),
        ("known: {a: {architecture: {}, about: ¦3}}", "the number 3 stands at known.a.about", "a text"),
    ],
)
def test_a_wrong_constraint_relation_or_known_architecture_is_refused(section, message, expected):
    found = problems(around(more=section))
    assert found[0].message == message
    assert expected in found[0].expected


# --- proxy -----------------------------------------------------------------------------------------------------


BRANCH = "{input: weight, operations: [log, {choice: [abs, sqrt]}]}"
MISSPELT = "{input: {choice: [weight, ¦wieght]}, operations: [abs]}"


def proxy(text: str) -> str:
    return f"name: p\nproxy: {text}\n"


def test_a_proxy_needs_no_task_and_may_choose_inputs_operations_and_the_join():
    space = parse_space(
        proxy(f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: {{choice: [sum, product]}}}}"), FILE
    )
    assert space.task is None
    assert isinstance(space.root, MapOf)
    assert isinstance(space.root.entries["branches"], ListOf)


def test_the_table_of_operations_is_the_one_of_the_paper():
    assert len(OPERATIONS) == 20
    assert len(set(OPERATIONS)) == 20


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("¦[1]", "a list stands at proxy", "a mapping with a type"),
        ("¦{branches: []}", "proxy has no type", "a key 'type'"),
        ("{type: ¦brnched}", "unknown type 'brnched' in proxy", "did you mean 'branched'?"),
        (f"{{type: branched, branches: ¦[{BRANCH}], join: sum}}", "a list stands at proxy.branches", "two branches"),
        (f"{{type: branched, branches: [{BRANCH}, ¦3], join: sum}}", "the number 3 stands at proxy.branches.1",
         "{input"),
        (f"¦{{type: branched, branches: [{BRANCH}, {BRANCH}]}}", "proxy has no 'join'", "a key 'join'"),
        (f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: ¦summ}}", "unknown join 'summ' in proxy.join",
         "did you mean 'sum'?"),
        (f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: sum, ¦wight: 1}}", "unknown key 'wight' in proxy",
         "expected one of branches, join, type"),
        (f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: ¦null}}", "nothing (null) stands at proxy.join",
         "the name of a join"),
        (f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: ¦3}}", "the number 3 stands at proxy.join",
         "a join"),
        (f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: {{choice: ¦[]}}}}",
         "the choice in proxy.join has nothing to choose from", "a list of values"),
        (f"{{type: branched, branches: [{BRANCH}, {MISSPELT}], join: sum}}",
         "unknown input 'wieght' in proxy.branches.1.input", "did you mean 'weight'?"),
        (f"{{type: branched, branches: [{BRANCH}, {{input: weight, operations: ¦[]}}], join: sum}}",
         "a list stands at proxy.branches.1.operations", "a list of operations"),
        (f"{{type: branched, branches: [{BRANCH}, {{input: weight, operations: [¦logg]}}], join: sum}}",
         "unknown operation 'logg' in proxy.branches.1.operations.0", "did you mean 'log'"),
        (f"{{type: branched, branches: [{BRANCH}, {{input: weight, operations: [¦{{a: b}}]}}], join: sum}}",
         "a mapping stands at proxy.branches.1.operations.0", "the name of an operation"),
    ],
)  # fmt: skip
def test_a_wrong_proxy_is_refused(text, message, expected):
    problem = only_problem(proxy(text))
    assert problem.message == message
    assert expected in problem.expected


def test_words_of_a_shared_hole_are_checked_where_they_are_written():
    text = proxy(
        f"{{type: branched, branches: [{BRANCH}, {BRANCH}], join: {{use: j}}}}\nlet: {{j: {{choice: [sum, ¦sun]}}}}"
    )
    assert only_problem(text).message == "unknown join 'sun' in proxy.join"


# --- bounds ----------------------------------------------------------------------------------------------------


def test_nested_repeats_that_expand_to_too_much_are_refused_at_the_smallest_such_part():
    inner = "¦{repeat: 1000, of: {repeat: {choice: [1, 1000]}, of: {type: conv}}}"
    found = only_problem(around(f"{{type: net, a: {{repeat: 9, of: {inner}}}}}"))
    assert found.message.startswith("the network has up to 18,0")
    assert f"at most {MAX_EXPANDED:,}" in found.expected


def test_copies_by_a_shared_count_are_bounded_too():
    text = around(
        "{type: x, a: {repeat: {use: n}, of: {repeat: {use: n}, of: [1, 2, 3]}}}", "let: {n: {choice: [1, 900]}}"
    )
    with pytest.raises(InputError, match=r"the network has up to .* nodes and options, every copy counted"):
        parse_space(text, "f.yaml")


def test_copies_of_a_subset_with_many_selections_are_refused():
    items = ", ".join(map(str, range(16)))
    found = only_problem(around(f"{{type: net, a: ¦{{repeat: 50, of: {{subset: {{of: [{items}], size: 8}}}}}}}}"))
    assert found.message.startswith("the network has up to 644,")


def test_chained_uses_that_expand_to_too_much_are_refused():
    chain = "".join(f"  x{i}: [{{use: x{i - 1}}}, {{use: x{i - 1}}}]\n" for i in range(1, 40))
    text = around("{type: net, a: {use: x39}}", f"let:\n  x0: {{choice: [1, 2]}}\n{chain}")
    with pytest.raises(InputError, match=r"the network has up to .* nodes and options, every copy counted"):
        parse_space(text, FILE)


def test_plain_uses_that_expand_to_too_much_are_refused():
    chain = "".join(f"  x{i}: [{{use: x{i - 1}}}, {{use: x{i - 1}}}]\n" for i in range(1, 40))
    text = around("{type: net, a: {use: x39}}", f"let:\n  x0: [1, 2]\n{chain}")
    with pytest.raises(InputError, match=r"space\.yaml:\d+:\d+: with its uses of let substituted"):
        parse_space(text, FILE)


@pytest.mark.parametrize("end", ["{choice: [1, 2]}", "3"])
def test_a_chain_of_a_thousand_uses_is_refused_without_running_out_of_stack(end):
    chain = "".join(f"  x{i}: [{{use: x{i - 1}}}]\n" for i in range(1, 1000))
    text = around("{type: net, a: {use: x999}}", f"let:\n  x0: {end}\n{chain}")
    with pytest.raises(InputError, match="nested deeper than"):
        parse_space(text, FILE)


def test_a_space_as_deep_as_the_bounds_allow_can_be_loaded(tmp_path):
    deep = "[" * 40 + "{choice: [1, 2]}" + "]" * 40
    path = tmp_path / "deep.yaml"
    path.write_text(
        around(f"{{type: net, a: {'[' * 40}{{use: x}}{']' * 40}}}", f"let: {{x: {deep}}}").replace("small", "deep")
    )
    assert len(load_space(path).decisions) == 1
