"""model.py: the source of the classes of a network, the call that builds it with the found values, and its loader.

The file needs torch and safetensors and nothing else. What in it depends on the run is written by
`literals.write_value`; the rest is copied source and the fixed text below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from nasengine.build import ModuleCall
from nasengine.export.literals import CallText, write_value
from nasengine.export.source import Import, SourceCollector

RESERVED = (
    "MEAN",
    "STANDARD_DEVIATION",
    "CLASS_NAMES",
    "INPUT_SHAPE",
    "WEIGHTS",
    "build_network",
    "load",
    "normalize",
    "annotations",
)

HEAD = '''\
"""A network found by architecture search, as plain PyTorch; its weights are in weights.safetensors.

Needs torch and safetensors, nothing else:

{use}
"""

from __future__ import annotations
'''

USE = """\
    from model import load
    network = load()                                     # in evaluation mode, on the CPU
    scores = network(images)                             # images: {shape}, floating point"""

USE_IMAGES = """\
    from model import CLASS_NAMES, load, normalize
    network = load()                                     # in evaluation mode, on the CPU
    scores = network(normalize(images))                  # images: {shape}, values 0 to 255
    names = [CLASS_NAMES[i] for i in scores.argmax(1)]"""

NORMALIZE = '''\
def normalize(images: Tensor) -> Tensor:
    """(N, C, H, W) pixels from 0 to 255 to what the network was trained on."""
    mean = torch.tensor(MEAN, device=images.device).view(1, -1, 1, 1)
    standard_deviation = torch.tensor(STANDARD_DEVIATION, device=images.device).view(1, -1, 1, 1)
    return (images.float() / 255 - mean) / standard_deviation
'''

BUILD = '''\
def build_network() -> nn.Module:
    """The network with new random weights, in training mode."""
    return {call}
'''

LOAD = '''\
def load(weights: str | Path = WEIGHTS, device: str = "cpu") -> nn.Module:
    """The trained network, in evaluation mode."""
    network = build_network()
    network.load_state_dict(load_file(weights))
    return network.to(device).eval()
'''


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What happens to pixels before the network sees them, and what its scores stand for.

    Args:
        mean, standard_deviation: of pixels / 255, per channel.
        class_names: in the order of the scores.
    """

    mean: tuple[float, ...]
    standard_deviation: tuple[float, ...]
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The text of model.py, and the packages it imports besides torch and safetensors."""

    text: str
    needs: tuple[str, ...]


def write_model_file(
    call: ModuleCall,
    network: nn.Module,
    input_shape: Sequence[int],
    *,
    preprocessing: Preprocessing | None,
    own_packages: Iterable[str] = (),
) -> ModelFile:
    """The text of model.py.

    Args:
        call: the constructor call, everything explicit; see `build.resolve`.
        network: what it builds; the classes of its modules decide which entries of tables are kept.
        input_shape: (C, H, W).
        preprocessing: None for networks that take pixels as they are.
        own_packages: packages of plug-ins, whose source is copied like that of nasengine.

    Raises:
        ExportError: something cannot be written as plain source; the message names it.
    """
    collector = SourceCollector(
        own=["nasengine", *own_packages], used={type(module) for module in network.modules()}, reserved=RESERVED
    )
    for needed in (
        Import("pathlib", "Path", "Path"),
        Import("torch", "nn", "nn"),
        Import("safetensors.torch", "load_file", "load_file"),
    ):
        collector.require(needed)
    if preprocessing:
        collector.require(Import("torch", "", "torch"))
        collector.require(Import("torch", "Tensor", "Tensor"))
    built = write_value(_written(call, collector), indent=1, before=len("return "))

    channels, height, width = input_shape
    use = (USE_IMAGES if preprocessing else USE).format(shape=f"(N, {channels}, {height}, {width})")
    constants = [_constant("INPUT_SHAPE", tuple(input_shape), "(C, H, W)")]
    if preprocessing:
        constants += [
            _constant("MEAN", preprocessing.mean),
            _constant("STANDARD_DEVIATION", preprocessing.standard_deviation),
            _constant("CLASS_NAMES", preprocessing.class_names),
        ]
    constants.append('WEIGHTS = Path(__file__).with_name("weights.safetensors")')
    functions = ([NORMALIZE] if preprocessing else []) + [BUILD.format(call=built), LOAD]

    head = HEAD.format(use=use) + "\n" + collector.imports()
    text = join_statements([head, "\n".join(constants), *collector.definitions(), *functions])
    return ModelFile(text, tuple(sorted(collector.packages() - {"torch", "safetensors"})))


def join_statements(statements: Sequence[str]) -> str:
    """Two empty lines between classes and functions, one between runs of other statements."""
    text = statements[0].rstrip("\n")
    after_block = False
    for number, statement in enumerate(statements[1:]):
        code = next((line for line in statement.split("\n") if not line.startswith("#")), "")
        is_block = code.startswith(("class ", "def ", "@", "async "))
        empty = 3 if is_block or after_block else 2
        text += "\n" * (empty if number else max(empty - (not is_block), 2)) + statement.strip("\n")
        after_block = is_block
    return text + "\n"


def _constant(name: str, value: object, remark: str = "") -> str:
    text = f"{name} = {write_value(value, before=len(name) + 3)}"
    return f"{text}  # {remark}" if remark else text


def _written(value: object, collector: SourceCollector) -> object:
    """The call with its classes replaced by the names they have in the file."""
    if isinstance(value, ModuleCall):
        arguments = {name: _written(part, collector) for name, part in value.arguments.items()}
        return CallText(collector.add(value.target), arguments)
    if isinstance(value, Mapping):
        return {key: _written(part, collector) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_written(part, collector) for part in value)
    return value
