"""From a filled tree to constructor calls with nothing omitted: widths follow from what stands before a node.

Along composition nodes the shape of the data is known at each node, because what precedes it has been run
without memory. There, and at the root, these arguments need not be written:

    in_channels   channels of the feature map, or length of the vector, that goes in
    in_features   length of the vector that goes in
    input_size    height of the feature map (which must be square), or (height, width) for a tuple
    classes       of the task (and `scale`, for a network that enlarges images)
    width         as many as go in, where the constructor says None

Modules in the arguments of any other network are built from what is written, since only that network knows
what it will feed them; unless it says so (`places`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from nasengine.build.module_call import ModuleCall, NodeError
from nasengine.build.places import declared_places, default_of, fill_places
from nasengine.build.shapes import Shape, output_shape, write_shape
from nasengine.build.types import look_up_type, parameters
from nasengine.errors import InputError
from nasengine.networks.blocks.convolution import ConvNormActivation
from nasengine.networks.blocks.simple import Subsample
from nasengine.networks.composition import Cell, Parallel, Residual, Sequential
from nasengine.space.filling import ABSENT, Call

INFERRED = ("in_channels", "in_features", "input_size", "classes", "scale")
LARGEST_CELL = 200  # nodes, between which 19,900 edges are possible
OF_THE_TASK = ("classes", "scale")

Settings = Mapping[str, Any]


def infer(call: Call, shape: Shape, task: Settings) -> tuple[ModuleCall, Shape]:
    """Write out a node and all below it.

    Args:
        call: the node.
        shape: of the data that goes into it.
        task: settings of the task: {"classes": 10}.
    Returns: the explicit call, and the shape that comes out.
    Raises:
        NodeError: a node cannot be built, or cannot take what it gets.
    """
    target = target_of(call)
    if target in COMPOSITIONS:
        return COMPOSITIONS[target](call, shape, task)
    explicit = make_explicit(call, shape, task)
    try:
        return explicit, output_shape(explicit, shape)
    except NodeError as error:
        for name in [name for name in ("in_channels", "in_features") if name in call.arguments]:
            written, goes_in = call.arguments[name], _infer_argument(name, explicit, shape, task)
            if goes_in is not None and written != goes_in:
                found = f"cannot take its input of {write_shape(shape)}: {name} is {written}, but {goes_in} go in"
                raise explicit.fail(found, f"write {name}: {goes_in}, or leave it out") from error
        raise


def is_composition(call: Call) -> bool:
    """Whether shapes are known inside this node."""
    return target_of(call) in COMPOSITIONS


def target_of(call: Call) -> type[nn.Module]:
    """The class that a node names.

    Raises:
        NodeError: it names none.
    """
    try:
        return look_up_type(call.type)
    except InputError as error:
        problem = error.problems[0]
        raise _draft(call, nn.Module, {}).fail(f"cannot be built: {problem.message}", problem.expected) from error


def make_explicit(call: Call, shape: Shape | None, task: Settings) -> ModuleCall:
    """Write out a node that is no composition; `shape` is None where what goes in is not known.

    Raises:
        NodeError: an argument is unknown, or missing and not to be inferred.
    """
    target = target_of(call)
    known = parameters(target)
    places = _places_of(call, target, shape, task)
    given = {
        name: _value(value, f"{call.path}.{name}", task) for name, value in call.arguments.items() if name not in places
    }
    draft = _draft(call, target, given)
    for name in [name for name in call.arguments if name in places]:
        given[name] = fill_places(
            call.arguments[name], name, places[name], draft, call.argument_marks.get(name), partial(infer, task=task)
        )
    unknown = [name for name in given if name not in known.named and not known.takes_any]
    if unknown:
        raise draft.fail(f"has no argument {', '.join(map(repr, unknown))}", f"it takes {', '.join(known.named)}")
    explicit: dict[str, Any] = {}
    for name in known.named:
        if name in given:
            explicit[name] = given[name]
        elif name in INFERRED:
            found = _infer_argument(name, draft, shape, task)
            if found is not None:
                explicit[name] = found
            elif known.is_required(name):
                raise draft.fail(f"needs {name}, which cannot be inferred here", f"write {name}: …")
        elif known.is_required(name):
            raise draft.fail(f"needs {name}", f"write {name}: …")
        elif name == "width" and known.default(name) is None and "in_channels" in explicit:
            explicit[name] = explicit["in_channels"]
    explicit.update({name: value for name, value in given.items() if name not in explicit})
    return ModuleCall(target, call.type, explicit, call.path, call.mark)


def _places_of(call: Call, target: type[nn.Module], shape: Shape | None, task: Settings) -> Mapping[str, Any]:
    """What a network that is no composition says it feeds the modules in its arguments."""
    draft = _draft(call, target, {})

    def argument(name: str) -> Any:
        if name in call.arguments:
            return _value(call.arguments[name], f"{call.path}.{name}", task)
        inferred = _infer_argument(name, draft, shape, task) if name in INFERRED else None
        return default_of(draft, name) if inferred is None else inferred

    return declared_places(draft, shape, argument)


def _infer_argument(name: str, draft: ModuleCall, shape: Shape | None, task: Settings) -> Any:
    """The value of an argument that was not written, or None where nothing says what it is."""
    if name in OF_THE_TASK:
        return task.get(name)
    if shape is None:
        return None
    if name == "in_channels":
        return shape[0] if len(shape) in (1, 3) else None
    if name == "in_features":
        if len(shape) == 3:
            raise draft.fail(
                f"takes a vector, but gets a feature map of {write_shape(shape)}",
                "put {type: global_average_pool} or {type: flatten} before it",
            )
        return shape[-1] if shape else None
    if len(shape) != 3:
        return None
    height, width = shape[1:]
    annotation = str(parameters(draft.target).named[name].annotation)
    if "tuple" in annotation or "Sequence" in annotation or "list" in annotation:
        return [height, width]
    if height != width:
        raise draft.fail(f"takes square images, but gets {write_shape(shape)}")
    return height


def _value(value: Any, path: str, task: Settings) -> Any:
    """An argument of a node that is no composition: plain values, and modules fed by it alone."""
    if value is ABSENT:
        return None
    if isinstance(value, Call):
        return make_explicit(value, None, task) if not is_composition(value) else _unfed(value, task)
    if isinstance(value, Mapping):
        return {key: _value(item, f"{path}.{key}", task) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(item, f"{path}.{index}", task) for index, item in enumerate(value)]
    return value


def _unfed(call: Call, task: Settings) -> ModuleCall:
    """A composition node whose input is not known: its parts must say all they need."""
    target = target_of(call)
    arguments = {name: _value(value, f"{call.path}.{name}", task) for name, value in call.arguments.items()}
    if target is Sequential and isinstance(arguments.get("layers"), list):
        arguments["layers"] = [
            ModuleCall(Sequential, "sequential", {"layers": layer}, f"{call.path}.layers.{index}", call.mark)
            if isinstance(layer, list)
            else layer
            for index, layer in enumerate(arguments["layers"])
        ]
    return _draft(call, target, arguments)


def _draft(call: Call, target: type[nn.Module], arguments: Mapping[str, Any]) -> ModuleCall:
    return ModuleCall(target, call.type, arguments, call.path, call.mark)


# --- composition nodes -----------------------------------------------------------------------------------------


def _infer_item(
    item: Any, path: str, owner: ModuleCall, shape: Shape, task: Settings
) -> tuple[ModuleCall | None, Shape]:
    """One slot of a composition node: a node, an absent one (which hands on its input), or a list in series."""
    if item is ABSENT or item is None:
        return None, shape
    if isinstance(item, Call):
        return infer(item, shape, task)
    if isinstance(item, (list, tuple)):
        return _infer_series(item, ModuleCall(Sequential, "sequential", {}, path, owner.mark), path, shape, task)
    raise owner.fail(f"holds {item!r} where a node is expected", "a node is a mapping with a type: {type: …}")


def _infer_series(items: Any, owner: ModuleCall, path: str, shape: Shape, task: Settings) -> tuple[ModuleCall, Shape]:
    if not isinstance(items, (list, tuple)):
        raise owner.fail(f"needs a list of layers, got {items!r}")
    layers = []
    for index, item in enumerate(items):
        layer, shape = _infer_item(item, f"{path}.{index}", owner, shape, task)
        layers.append(layer)
    return ModuleCall(Sequential, owner.type, {"layers": layers}, owner.path, owner.mark), shape


def _arguments(call: Call, task: Settings, *modules: str) -> tuple[ModuleCall, dict[str, Any]]:
    """A draft of a composition node, and its arguments, those named `modules` as they are."""
    target = target_of(call)
    known = parameters(target)
    draft = _draft(call, target, {})
    unknown = [name for name in call.arguments if name not in known.named]
    if unknown:
        raise draft.fail(f"has no argument {', '.join(map(repr, unknown))}", f"it takes {', '.join(known.named)}")
    missing = [name for name in known.named if known.is_required(name) and name not in call.arguments]
    if missing:
        raise draft.fail(f"needs {', '.join(missing)}")
    return draft, {
        name: value if name in modules else _value(value, f"{call.path}.{name}", task)
        for name, value in call.arguments.items()
    }


def _in_order(draft: ModuleCall, arguments: Mapping[str, Any]) -> ModuleCall:
    """The finished call, its arguments in the order of the constructor."""
    ordered = {name: arguments[name] for name in parameters(draft.target).named if name in arguments}
    return replace(draft, arguments=ordered)


def _infer_sequential(call: Call, shape: Shape, task: Settings) -> tuple[ModuleCall, Shape]:
    draft, arguments = _arguments(call, task, "layers")
    return _infer_series(arguments["layers"], draft, f"{call.path}.layers", shape, task)


def _infer_parallel(call: Call, shape: Shape, task: Settings) -> tuple[ModuleCall, Shape]:
    draft, arguments = _arguments(call, task, "branches")
    branches = arguments["branches"]
    if not isinstance(branches, (list, tuple, Mapping)):
        raise draft.fail(f"needs a list or a mapping of branches, got {branches!r}")
    named = list(branches.items()) if isinstance(branches, Mapping) else list(enumerate(branches))
    explicit: dict[Any, ModuleCall | None] = {}
    outputs: list[Shape] = []
    for name, item in named:
        explicit[name], output = _infer_item(item, f"{call.path}.branches.{name}", draft, shape, task)
        if explicit[name] is not None:
            outputs.append(output)
    if not outputs:
        raise draft.fail("has no branch left to join", "make one branch not optional, or take a subset of at least 1")
    arguments["branches"] = explicit if isinstance(branches, Mapping) else list(explicit.values())
    if arguments.get("join", parameters(draft.target).default("join")) == "concat":
        joined = _concatenated(outputs, draft)
    else:
        joined = _equal(outputs, draft, "adds branches of different shapes")
    return _in_order(draft, arguments), joined


def _infer_residual(call: Call, shape: Shape, task: Settings) -> tuple[ModuleCall, Shape]:
    draft, arguments = _arguments(call, task, "body", "shortcut")
    body, output = _infer_item(arguments["body"], f"{call.path}.body", draft, shape, task)
    path = f"{call.path}.shortcut"
    shortcut, beside = _infer_item(arguments.get("shortcut"), path, draft, shape, task)
    if shortcut is None and body is not None and output != shape:
        shortcut = _make_shortcut(draft, path, shape, output)
        beside = output_shape(shortcut, shape)
    if body is not None:
        _equal([output, beside], draft, "adds a body and a shortcut of different shapes")
    arguments |= {"body": body, "shortcut": shortcut}
    return _in_order(draft, arguments), beside


def _make_shortcut(draft: ModuleCall, path: str, shape: Shape, output: Shape) -> ModuleCall:
    """The shortcut of a body that changes the shape: subsampling where it only strides, else a projection."""
    if len(shape) == len(output) == 3:
        stride = max(1, round(shape[1] / output[1]))
        if tuple(math.ceil(side / stride) for side in shape[1:]) == output[1:]:
            if shape[0] == output[0]:
                return ModuleCall(Subsample, "subsample", {"stride": stride}, path, draft.mark)
            projection = {
                "in_channels": shape[0],
                "width": output[0],
                "kernel": 1,
                "stride": stride,
                "activation": "identity",
            }
            return ModuleCall(ConvNormActivation, "conv_norm_activation", projection, path, draft.mark)
    raise draft.fail(
        f"has no shortcut from {write_shape(shape)} to {write_shape(output)}", "write shortcut: {type: …} yourself"
    )


def _infer_cell(call: Call, shape: Shape, task: Settings) -> tuple[ModuleCall, Shape]:
    draft, arguments = _arguments(call, task, "edges")
    edges, nodes = arguments["edges"], arguments["nodes"]
    if not isinstance(edges, Mapping) or type(nodes) is not int or not 2 <= nodes <= LARGEST_CELL:
        raise draft.fail(f"needs edges (a mapping from 'from-to' to nodes) and nodes (2 to {LARGEST_CELL})")
    explicit: dict[str, ModuleCall | None] = {str(name): None for name in edges}
    values = [shape]
    for target in range(1, nodes):
        brought: list[Shape] = []
        for source in range(target):
            name = f"{source}-{target}"
            if name in edges:
                explicit[name], output = _infer_item(
                    edges[name], f"{call.path}.edges.{name}", draft, values[source], task
                )
                if explicit[name] is not None:
                    brought.append(output)
        values.append(_equal(brought, draft, f"adds different shapes in node {target}") if brought else shape)
    arguments["edges"] = explicit
    concatenate = arguments.get("output", parameters(draft.target).default("output")) == "concat"
    return _in_order(draft, arguments), _concatenated(values[1:], draft) if concatenate else values[-1]


def _equal(shapes: list[Shape], draft: ModuleCall, complaint: str) -> Shape:
    if len(set(shapes)) > 1:
        raise draft.fail(f"{complaint}: {', '.join(map(write_shape, shapes))}")
    return shapes[0]


def _concatenated(shapes: list[Shape], draft: ModuleCall) -> Shape:
    if len({shape[1:] for shape in shapes}) > 1:
        raise draft.fail(
            f"concatenates along the channels what differs in more: {', '.join(map(write_shape, shapes))}",
            "a branch with a stride needs the same stride in the others",
        )
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


COMPOSITIONS: dict[type[nn.Module], Callable[[Call, Shape, Settings], tuple[ModuleCall, Shape]]] = {
    Sequential: _infer_sequential,
    Parallel: _infer_parallel,
    Residual: _infer_residual,
    Cell: _infer_cell,
}
