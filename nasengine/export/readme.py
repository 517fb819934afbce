"""The README.md of an exported network: what was measured, what it costs, and how to load it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nasengine.costs import COSTS, Costs
from nasengine.export.proof import Proof
from nasengine.records import Architecture

OF_FINAL_TRAINING = ("test_", "validation_")  # how the names of its measurements begin

LOAD_IMAGES = """\
```python
from model import CLASS_NAMES, load, normalize

network = load()                          # needs torch and safetensors, nothing else
scores = network(normalize(images))       # images: (N, C, H, W), values 0 to 255
names = [CLASS_NAMES[i] for i in scores.argmax(1)]
```"""

LOAD_PLAIN = """\
```python
from model import load

network = load()                          # needs torch and safetensors, nothing else
scores = network(images)
```"""

CONTENTS: Mapping[str, str] = {
    "architecture.json": "the choices found",
    "model.py": "the network as plain PyTorch, and `load()`",
    "weights.safetensors": "its weights",
    "model.onnx": "the same network for ONNX runtimes; any batch size, input `images`, output `scores`",
    "README.md": "this page",
}


def write_readme(
    *,
    space: str,
    architecture: Architecture,
    measurements: Mapping[str, float],
    costs: Costs,
    about: Mapping[str, str],
    proof: Proof,
    files: Sequence[str],
    notes: Sequence[str],
    has_preprocessing: bool,
) -> str:
    """The text of README.md; words that come from a user's files are shown as code, on one line."""
    counted = {**costs.as_dict(), "params": proof.params}
    parts = [
        f"# A network found in the space {as_code(space)}",
        LOAD_IMAGES if has_preprocessing else LOAD_PLAIN,
        *_measured(measurements, counted, about),
        "## Costs",
        _table(
            ("cost", "amount", "what it counts"),
            [(name, f"{counted[name]:,}", about_cost.what) for name, about_cost in COSTS.items()],
        ),
        "## Found",
        _table(("choice", "option"), [(as_code(path), as_code(option)) for path, option in architecture.items()])
        if len(architecture)
        else "The space leaves nothing open.",
    ]
    if about:
        parts += ["## How", _table(("", ""), [(name, as_code(value)) for name, value in about.items()])]
    parts += ["## Files", "\n".join(f"- `{name}`: {CONTENTS[name]}" for name in files)]
    proved = (
        f"Proved on export: loaded where nasengine cannot be imported, `model.py` has the parameters "
        f"({proof.params:,}) and the multiply-accumulates ({proof.macs:,}) of the trained network, and its "
        f"scores differ by at most {_difference(proof.difference)}"
    )
    if proof.onnx_difference is not None:
        proved += f", those of `model.onnx` by at most {_difference(proof.onnx_difference)}"
    parts += [proved + ".", *(f"Note: {as_code(note)}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _measured(measurements: Mapping[str, float], counted: Mapping[str, float], about: Mapping[str, str]) -> list[str]:
    """What was measured of these weights, and apart from it what the search measured of the same architecture.

    A network found by a trial of a search has both; what its final training measured is called test_… or
    validation_…. Costs have a table of their own.
    """
    weights = {name: value for name, value in measurements.items() if counted.get(name) != value}
    searched = {}
    if "trial" in about:
        searched = {name: value for name, value in weights.items() if not name.startswith(OF_FINAL_TRAINING)}
    weights = {name: value for name, value in weights.items() if name not in searched}
    trained_for = f", trained for {as_code(about['trained for'])}" if "trained for" in about else ""
    parts = [f"## These weights{trained_for}", _values(weights)]
    if searched:
        other = "Of the same architecture with other weights, trained as the search trains its candidates."
        parts += [f"## In the search, trial {as_code(about['trial'])}", other, _values(searched)]
    return parts


def _values(measurements: Mapping[str, float]) -> str:
    if not measurements:
        return "Nothing was measured."
    return _table(("", "value"), [(as_code(name), _number(value)) for name, value in measurements.items()])


def _difference(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def as_code(value: object) -> str:
    """A value as inline code that no content can break out of."""
    if isinstance(value, tuple):
        value = ", ".join(str(item) for item in value) or "none"
    text = " ".join(str(value).split()).replace("|", "\\|")
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    if not text:
        return "(empty)"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
