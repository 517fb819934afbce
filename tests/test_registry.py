"""Tables, and what plug-ins may add to them."""

import pytest

from nasengine import registry
from nasengine.errors import InputError, UnknownNameError
from nasengine.registry import PluginKind, allowed_modules, load_plugins, look_up


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Write a module and give its name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_allowed", set())

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_an_unknown_name_is_answered_with_the_valid_and_the_nearest_ones():
    with pytest.raises(UnknownNameError, match="unknown fruit 'aple'") as caught:
        look_up({"apple": 1, "pear": 2}, "aple", "fruit")
    assert caught.value.problems[0].expected == "expected one of apple, pear; did you mean 'apple'?"


def test_a_plug_in_adds_its_entries_and_may_be_loaded_twice(plug_in):
    name = plug_in("fine_plug_in", "NASENGINE = {'fruit': {'quince': dict}}")
    fruit = {"apple": list}
    load_plugins([name, name], {"fruit": PluginKind(fruit, "a class")})
    assert list(fruit) == ["apple", "quince"]
    assert allowed_modules() == {name}


@pytest.mark.parametrize(
    ("file", "module"), [("blocks.py", "blocks"), ("./blocks.py", "blocks"), ("my/blocks.py", "my.blocks")]
)
def test_a_file_is_answered_with_the_module_to_name(file, module):
    with pytest.raises(InputError, match="is a file, not a module") as caught:
        load_plugins([file], {})
    assert caught.value.problems[0].expected == f"write --plugin {module}"


def test_a_name_that_is_taken_is_not_replaced(plug_in):
    fruit = {"apple": list}
    with pytest.raises(InputError, match="adds the fruit 'apple', but that name is taken"):
        load_plugins(
            [plug_in("greedy_plug_in", "NASENGINE = {'fruit': {'apple': dict}}")], {"fruit": PluginKind(fruit, "")}
        )
    assert fruit == {"apple": list}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: .*no_such_module"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def (", "cannot be imported: SyntaxError"),
        ("NASENGINE = 3", r"NASENGINE of the plug-in 'wrong_\d+' is 3\n  expected {kind: {name: thing}}"),
        ("NASENGINE = {'fruit': ['quince']}", r"is {'fruit': \['quince'\]}"),
        ("NASENGINE = {'friut': {}}", "did you mean 'fruit'?"),
    ],
)
def test_a_plug_in_that_is_wrong_is_bad_input(plug_in, text, says):
    with pytest.raises(InputError, match=says):
        load_plugins([plug_in(f"wrong_{abs(hash(text))}", text)], {"fruit": PluginKind({}, "a class")})
