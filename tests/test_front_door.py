"""`import nasengine`: light, and its functions found under their names."""

import subprocess
import sys

import nasengine as nas


def test_the_front_door_is_lazy_and_its_packages_can_be_called():
    code = """
import sys
import nasengine as nas
assert not {"torch", "numpy", "yaml"} & set(sys.modules), "importing nasengine loads too much"
assert set(nas.__all__) <= set(dir(nas))
space = nas.load_space("quickstart")
assert "torch" not in sys.modules
from nasengine.build import resolve
import nasengine.search.language.strategy as strategies
assert nas.build.resolve is resolve
assert isinstance(nas.load_strategy("random_search"), strategies.Strategy)
architecture = space.known["default"].architecture
assert sum(p.numel() for p in nas.build(space, architecture).parameters()) == nas.costs(space, architecture).params
for name in nas.__all__:
    assert callable(getattr(nas, name)) or name == "__version__", name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_shows_the_functions_and_not_their_packages():
    """Each package when it has just been imported, after those that it imports itself."""
    code = """
import importlib, inspect, pydoc
import nasengine as nas
for name in ("build", "costs", "export", "search"):
    importlib.import_module("nasengine." + name)
    shown = getattr(nas, name)
    function = getattr(importlib.import_module(nas._HOMES[name]), name)
    assert inspect.signature(shown) == inspect.signature(function), name
    page = pydoc.plain(pydoc.render_doc(shown))
    assert name + str(inspect.signature(function)) in page, page
    assert all(line.strip() in page for line in function.__doc__.splitlines()), page
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_plugins_are_loaded_from_python():
    from nasengine.evaluators import load_plugins

    assert nas.load_plugins is load_plugins
