"""A trained network as a folder that needs no nasengine: written aside, proved equal, then put in its place.

architecture.json    the choices found
model.py             readable PyTorch: the classes used, the call with the found values, `load()`
weights.safetensors
model.onnx           where the extra `onnx` is installed
README.md            what was measured, and how to load it
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, nn

from nasengine.build import ModuleCall, build, example_input, instantiate, resolve
from nasengine.costs import Costs, costs
from nasengine.errors import ExportError, InputError, Problem
from nasengine.export.aside import aside, put_in_place
from nasengine.export.model_file import Preprocessing, write_model_file
from nasengine.export.proof import Proof, prove
from nasengine.export.readme import write_readme
from nasengine.networks.composition import Cell, Parallel, Sequential
from nasengine.records import Architecture
from nasengine.registry import allowed_modules
from nasengine.space import SearchSpace

FILES = ("architecture.json", "model.py", "weights.safetensors", "model.onnx", "README.md")
ONNX_MODULES = ("onnx", "onnxscript", "onnxruntime")

# Where an absent module is a slot that may be closed: nothing in these classes depends on a slot's number.
SLOTS: Mapping[type, str] = {Sequential: "layers", Parallel: "branches", Cell: "edges"}


@dataclass(frozen=True)
class Trained:
    """A network to export.

    Args:
        space, architecture: what was found, and where.
        weights: its weights, a safetensors file with the names of the trained network.
        network: arguments of the root network that the training changed; see `build.build`.
        preprocessing: of the data it was trained on; None if it takes pixels as they are.
        measurements: name -> value, for the README.
        about: what else the README should say (run, strategy, data, budget), in order.
    """

    space: SearchSpace
    architecture: Architecture
    weights: Path
    network: Mapping[str, object] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """What an export has left.

    Args:
        folder: where it is.
        files: their names.
        proof: what was compared with the trained network.
        costs: of the network.
        notes: what a person should know (why there is no model.onnx).
    """

    folder: Path
    files: tuple[str, ...]
    proof: Proof
    costs: Costs
    notes: tuple[str, ...] = ()


def export(trained: Trained, to: str | Path) -> Exported:
    """Write the folder `to`, after the proof that its files compute what the trained network computes.

    An earlier export at `to` is replaced, at the last moment.

    Raises:
        InputError: `to` holds something else, or cannot be made.
        ExportError: the network cannot be written as source, or the files do not prove equal; `to` is untouched.
    """
    to = Path(to)
    with contextlib.ExitStack() as stack:
        try:
            _check_destination(to)
            to.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(aside(to))
        except OSError as error:
            raise InputError(Problem(f"the folder {to} cannot be made: {error.strerror}")) from error
        folder.chmod(0o755)
        exported = _write(trained, folder)
        put_in_place(folder, to)
    return replace(exported, folder=to)


def _write(trained: Trained, folder: Path) -> Exported:
    overrides = dict(trained.network) or None
    network = build(trained.space, trained.architecture, network=overrides)
    weights = load_file(trained.weights)
    _load(network, weights, trained.weights)
    call = close_slots(resolve(trained.space, trained.architecture, network=overrides))
    input_shape = tuple(example_input(trained.space, trained.architecture).shape[1:])  # (C, H, W)
    plugins = plugin_packages(call)

    architecture = json.dumps(trained.architecture.to_json(), indent=2, ensure_ascii=False)
    (folder / "architecture.json").write_text(architecture + "\n", encoding="utf-8")
    model = write_model_file(call, network, input_shape, preprocessing=trained.preprocessing, own_packages=plugins)
    (folder / "model.py").write_text(model.text, encoding="utf-8")
    # Not by save_file, whose files only their owner may read.
    (folder / "weights.safetensors").write_bytes(save(_renamed(network, instantiate(call))))

    missing = [module for module in ONNX_MODULES if importlib.util.find_spec(module) is None]
    proof = prove(network, folder, input_shape, onnx=not missing, absent=plugins)
    notes = _notes(missing, proof, model.needs)
    if proof.onnx_difference is None:
        (folder / "model.onnx").unlink(missing_ok=True)
    counted = costs(trained.space, trained.architecture, network=overrides)
    files = tuple(name for name in FILES if name == "README.md" or (folder / name).exists())
    readme = write_readme(
        space=trained.space.name,
        architecture=trained.architecture,
        measurements=trained.measurements,
        costs=counted,
        about=trained.about,
        proof=proof,
        files=files,
        notes=notes,
        has_preprocessing=trained.preprocessing is not None,
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return Exported(folder, files, proof, counted, notes)


def close_slots(call: ModuleCall) -> ModuleCall:
    """The same network with the absent optional modules gone, instead of None in their place.

    None is also left out where it is an argument's default.
    """

    def closed(value: object) -> object:
        if isinstance(value, ModuleCall):
            defaults = inspect.signature(value.target).parameters
            arguments = {
                name: closed(part)
                for name, part in value.arguments.items()
                if part is not None or name not in defaults or defaults[name].default is not None
            }
            slot = SLOTS.get(value.target)
            if slot in arguments:
                arguments[slot] = _without_none(arguments[slot])
            return replace(value, arguments=arguments)
        if isinstance(value, Mapping):
            return {key: closed(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(closed(part) for part in value)
        return value

    whole = closed(call)
    assert isinstance(whole, ModuleCall)
    return whole


def _without_none(slots: object) -> object:
    if isinstance(slots, Mapping):
        return {name: slot for name, slot in slots.items() if slot is not None}
    return [slot for slot in slots if slot is not None] if isinstance(slots, (list, tuple)) else slots


def plugin_packages(call: ModuleCall) -> tuple[str, ...]:
    """The packages of a user whose source model.py must hold: those of --plugin, and of the classes called."""
    found = {module.partition(".")[0] for module in allowed_modules()}
    found |= {target.__module__.partition(".")[0] for target in _targets(call)}
    return tuple(sorted(found - {"nasengine", "torch"}))


def _targets(value: object) -> set[type[nn.Module]]:
    if isinstance(value, ModuleCall):
        return {value.target}.union(*(_targets(part) for part in value.arguments.values()))
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return set().union(*(_targets(part) for part in parts))


def _load(network: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise ExportError(f"the weights in {file} do not fit the network of this architecture: {first}") from error
    network.eval()


def _renamed(trained: nn.Module, exported: nn.Module) -> dict[str, Tensor]:
    """The trained weights under the names of the exported network, whose closed slots shift some numbers."""
    there, here = trained.state_dict(), exported.state_dict()
    if [tuple(tensor.shape) for tensor in there.values()] != [tuple(tensor.shape) for tensor in here.values()]:
        raise ExportError("closing the slots of absent modules changes the weights of the network")
    # Clones, since one tensor under two names (tied weights) is refused by safetensors.
    return {name: tensor.detach().clone() for name, tensor in zip(here, there.values(), strict=True)}


def _notes(missing: list[str], proof: Proof, needs: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    if missing:
        wanted = ", ".join(missing)
        notes.append(f"no model.onnx: {wanted} not installed; get it by: pip install 'nasengine[onnx]'")
    if proof.onnx_error:
        notes.append(f"no model.onnx: the ONNX exporter refuses this network: {proof.onnx_error}")
    if needs:
        notes.append(f"besides torch and safetensors, model.py needs {', '.join(needs)}, as its classes do")
    return tuple(notes)


def _check_destination(to: Path) -> None:
    if not to.exists():
        return
    if not to.is_dir():
        raise InputError(Problem(f"{to} is a file", expected="expected a folder to export to"))
    held = {path.name for path in to.iterdir()}
    if held and not ({"model.py", "weights.safetensors"} <= held <= {*FILES, "__pycache__"}):
        raise InputError(
            Problem(f"{to} holds files that are no earlier export", expected="expected a new or an empty folder")
        )
