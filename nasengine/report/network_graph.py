"""A network as a graph of its blocks: what feeds what, the shape each gives, what each costs.

Found by running the network once without memory and watching where tensors go, so it holds for any module,
whatever its forward does: an edge runs from the block that wrote a tensor to the block that reads it. Operations
between blocks that join several of them (a sum, a concatenation) or change the shape are nodes too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nasengine.build import ModuleCall, example_input, instantiate, resolve
from nasengine.costs import Costs, count_modules, total
from nasengine.costs.counting import tensors_in
from nasengine.networks import NETWORK_TYPES
from nasengine.networks.composition import Cell, Parallel, Residual, Sequential
from nasengine.records import Architecture
from nasengine.space import SearchSpace

Shape = tuple[int, ...]
Kind = Literal["input", "block", "join"]

CONTAINERS = (Sequential, Parallel, Residual, Cell, nn.ModuleList, nn.ModuleDict)
JOINS = {"aten::add": "+", "aten::add_": "+", "aten::cat": "concat", "aten::mul": "×", "aten::mean": "mean"}
UNSAID = frozenset({"in_channels", "in_features", "input_size", "classes"})  # the shapes say it


@dataclass(frozen=True, slots=True)
class Node:
    """A block of a network, or an operation between blocks.

    Args:
        kind: the input of the network, a block, or an operation that joins.
        title: what it is: the name that a space uses for its type, or the operation's sign.
        settings: how it is configured, in words.
        shape: what it gives for one image.
        costs: of everything in it.
        path: the module's name in the network.
        times: how many equal ones in a row it stands for; `costs` are those of all.
    """

    kind: Kind
    title: str
    settings: str = ""
    shape: Shape = ()
    costs: Costs = field(default_factory=Costs)
    path: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order in which they run, edges as pairs of their numbers, and what is spent between the blocks."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]
    between: Costs = field(default_factory=Costs)

    @property
    def costs(self) -> Costs:
        """Of the whole network."""
        return total((*(node.costs for node in self.nodes), self.between))


def network_graph(
    space: SearchSpace, architecture: Architecture, *, network: Mapping[str, Any] | None = None
) -> tuple[Graph, dict[str, Graph]]:
    """The graph of an architecture's network; and, by title, of each different cell where there are several cells.

    Args:
        space: must describe a network.
        architecture: of this space.
        network: arguments of the root network that replace those of the space, as in `build`.

    Raises:
        InputError: a space that has no plain network.
        BuildError: the network cannot be built.
    """
    call = resolve(space, architecture, network=network)
    try:
        with torch.device("meta"):
            return _graphs(instantiate(call), example_input(space, architecture), call)
    except Exception:  # a constructor or a forward that reads a value fails on meta tensors and nowhere else
        state = torch.get_rng_state()
        try:
            with torch.device("cpu"):
                return _graphs(instantiate(call), example_input(space, architecture, device="cpu"), call)
        finally:
            torch.set_rng_state(state)


def _graphs(network: nn.Module, example: Tensor, call: ModuleCall) -> tuple[Graph, dict[str, Graph]]:
    network.eval()
    costs = count_modules(network, example)
    calls = {found.path: found for found in _calls(call)}
    modules = dict(network.named_modules())
    cells = [name for name, module in modules.items() if isinstance(module, Cell)]
    # One cell is drawn where it stands; of many, each different one is drawn once, apart.
    closed = frozenset(cells) if len(cells) > 1 else frozenset()
    whole = _traced(network, example, costs, calls, set(_blocks(network, "", closed)))
    apart: dict[str, Graph] = {}
    drawn: set[Any] = set()
    for name in sorted(cells if closed else (), key=lambda name: name.count(".")):
        configuration = _look(modules[name], calls)
        if configuration in drawn or any(name.startswith(f"{outer}.") for outer in closed):
            continue
        drawn.add(configuration)
        inside = set(_blocks(modules[name], name, frozenset()))
        graph = _traced(network, example, costs, calls, inside, inside_of=name)
        apart[f"cell {len(drawn)}"] = graph
    return whole, apart


def _look(module: nn.Module, calls: Mapping[str, ModuleCall]) -> Any:
    """Equal for cells that look the same: widths apart, which grow along the network."""
    edges = module.edges.items() if isinstance(module, Cell) else ()
    return tuple((name, _title(edge, calls), _kernel(edge)) for name, edge in edges)


def _kernel(module: nn.Module) -> Any:
    return tuple(part.kernel_size for part in module.modules() if isinstance(part, nn.Conv2d))


def _calls(value: Any) -> Iterator[ModuleCall]:
    if isinstance(value, ModuleCall):
        yield value
        value = list(value.arguments.values())
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ():
        yield from _calls(part)


def _blocks(module: nn.Module, name: str, closed: frozenset[str], *, top: bool = True) -> Iterator[str]:
    """Names of the modules that are drawn as one block each: what is in the root and in compositions."""
    plain = isinstance(module, nn.Sequential) and any(any(part.children()) for part in module)
    if name in closed or not (top or plain or isinstance(module, CONTAINERS)):
        yield name
        return
    for child_name, child in module.named_children():
        yield from _blocks(child, f"{name}.{child_name}" if name else child_name, closed, top=False)


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, and remembers which node wrote which tensor last."""

    def __init__(self, running: Callable[[], str | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = running
        self.writer: dict[int, str] = {}
        self.kept: list[Any] = []  # storages, so that no address is used twice
        self.edges: dict[tuple[str, str], None] = {}
        self.joins: dict[str, tuple[str, Shape]] = {}
        self.order: dict[str, None] = {}

    def storage(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        self.kept.append(storage)
        address: int = storage._cdata
        return address

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        output = function(*arguments, **(keywords or {}))
        here = self.running()
        reads = [self.storage(tensor) for tensor in tensors_in((arguments, keywords or {}))]
        writes = {self.storage(tensor): tensor for tensor in tensors_in(output)}
        if here is None or (writes and set(writes) <= set(reads) and not function._schema.is_mutable):
            return output  # outside of what is drawn, or a view
        sources = list(dict.fromkeys(self.writer[read] for read in reads if read in self.writer))
        node = here or self._between(function._schema.name, sources, reads, writes)
        for source in sources:
            if node not in ("", source):
                self.edges[source, node] = None
        if node:
            self.order[node] = None
        for write in writes:
            self.writer[write] = node or (sources[0] if sources else "")
        return output

    def _between(self, operation: str, sources: list[str], reads: list[int], writes: dict[int, Tensor]) -> str:
        """The node of an operation between blocks; "" for one that just hands on, such as an activation."""
        shapes = [tuple(tensor.shape[1:]) for tensor in writes.values()]
        joined = [read for read in reads if read in self.writer]  # a sum of a tensor with itself joins too
        if (len(joined) < 2 and operation != "aten::mean") or not shapes:
            return ""
        name = f"between {len(self.joins)}"
        self.joins[name] = (JOINS.get(operation, operation.removeprefix("aten::").strip("_")), shapes[0])
        return name


def _traced(
    network: nn.Module,
    example: Tensor,
    costs: Mapping[str, Costs],
    calls: Mapping[str, ModuleCall],
    blocks: set[str],
    inside_of: str = "",
) -> Graph:
    """Run the network, and make the graph of these blocks (inside of one module, if it is named)."""
    modules = dict(network.named_modules())
    stack: list[str | None] = [None if inside_of else ""]
    tracer = _Tracer(lambda: stack[-1])
    shapes: dict[str, Shape] = {}
    hooks = []

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            if name == inside_of and inside_of:
                for tensor in tensors_in(inputs):
                    tracer.writer[tracer.storage(tensor)] = "input"
                    shapes["input"] = tuple(tensor.shape[1:])
            stack.append(name if name in blocks else "")

        return hook

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            stack.pop()
            found = next(tensors_in(output), None)
            if found is not None:
                shapes[name] = tuple(found.shape[1:])

        return hook

    for name in blocks | ({inside_of} if inside_of else set()):
        hooks.append(modules[name].register_forward_pre_hook(enter(name)))
        hooks.append(modules[name].register_forward_hook(leave(name)))
    if not inside_of:
        tracer.writer[tracer.storage(example)] = "input"
        shapes["input"] = tuple(example.shape[1:])
    try:
        with torch.no_grad(), tracer:
            network(example)
    finally:
        for handle in hooks:
            handle.remove()
    nodes = {"input": Node("input", "input", shape=shapes["input"])}
    for name in tracer.order:
        if name in tracer.joins:
            nodes[name] = Node("join", *_join(tracer.joins[name]), path=name)
            continue
        own = total(cost for part, cost in costs.items() if part == name or part.startswith(f"{name}."))
        module = modules[name]
        nodes[name] = Node("block", _title(module, calls), _settings(module, calls), shapes[name], own, name)
    spent = total(node.costs for node in nodes.values())
    whole = total(
        cost for part, cost in costs.items() if not inside_of or part == inside_of or part.startswith(f"{inside_of}.")
    )
    between = Costs(*(max(0, a - b) for a, b in zip(whole.as_dict().values(), spent.as_dict().values(), strict=True)))
    numbers = {name: number for number, name in enumerate(nodes)}
    edges = tuple((numbers[a], numbers[b]) for a, b in tracer.edges)
    return tidied(Graph(tuple(nodes.values()), edges, replace(between, peak_activation_bytes=0)))


def _join(found: tuple[str, Shape]) -> tuple[str, str, Shape]:
    return found[0], "", found[1]


def _title(module: nn.Module, calls: Mapping[str, ModuleCall]) -> str:
    """What a space calls the module's type, or its class in small letters."""
    call = calls.get(getattr(module, "node_path", ""))
    if call is not None and call.target is type(module):
        return call.type
    if type(module).__module__.startswith("torch.nn."):
        return type(module).__name__
    named = next((name for name, target in NETWORK_TYPES.items() if target is type(module)), None)
    return named or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(module).__name__).lower()


def _settings(module: nn.Module, calls: Mapping[str, ModuleCall]) -> str:
    """The arguments that a space gave it, or the layers that are in it."""
    call = calls.get(getattr(module, "node_path", ""))
    if call is not None and call.target is type(module) and not isinstance(module, Cell):
        said = [
            f"{name.replace('_', ' ')} {_word(value)}"
            for name, value in call.arguments.items()
            if name not in UNSAID and isinstance(value, (bool, int, float, str, list, tuple)) and value != ""
        ]
        return ", ".join(said)
    layers = Counter(filter(None, map(_layer, module.modules())))
    return ", ".join(f"{times} × {layer}" if times > 1 else layer for layer, times in layers.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _layer(module: nn.Module) -> str:
    """A layer in two words; empty for those that go without saying (norms, activations, containers)."""
    if isinstance(module, nn.Conv2d):
        depthwise = "depthwise " if 1 < module.groups == module.in_channels else ""
        return f"{_times(module.kernel_size)} {depthwise}conv"
    if isinstance(module, nn.Linear):
        return f"linear {module.in_features} → {module.out_features}"
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        return f"{_times(module.kernel_size)} {'max' if isinstance(module, nn.MaxPool2d) else 'average'}-pool"
    return ""


def _times(size: Any) -> str:
    return "×".join(map(str, size)) if isinstance(size, tuple) else f"{size}×{size}"


def tidied(graph: Graph) -> Graph:
    """The same network in fewer nodes: sums of sums as one, an activation as part of what it follows, and equal
    blocks in a row as one with a number.
    """
    merges = (_sum_of_sum, _follower, _twin)
    for merge in merges:
        number = 1
        while number < len(graph.nodes):
            joined = merge(graph, number)
            if joined is None:
                number += 1
            else:
                graph = joined
    return graph


def _only_source(graph: Graph, number: int) -> int | None:
    """The node that alone feeds this one, and nothing else."""
    sources = [a for a, b in graph.edges if b == number]
    if len(sources) != 1 or [b for a, b in graph.edges if a == sources[0]] != [number]:
        return None
    return sources[0]


def _sum_of_sum(graph: Graph, number: int) -> Graph | None:
    node = graph.nodes[number]
    if node.kind != "join" or node.title != "+":
        return None
    for source in [a for a, b in graph.edges if b == number]:
        other = graph.nodes[source]
        if (other.kind, other.title) == ("join", "+") and [b for a, b in graph.edges if a == source] == [number]:
            return _merged(graph, source, number, node)
    return None


def _follower(graph: Graph, number: int) -> Graph | None:
    """An activation right after a sum or a norm belongs to it."""
    source, node = _only_source(graph, number), graph.nodes[number]
    if source is None or node.kind != "block" or node.settings or node.costs.macs:
        return None
    before = graph.nodes[source]
    light = before.kind == "join" or (before.kind == "block" and not before.costs.macs and not before.settings)
    if before.shape != node.shape or not light or node.costs.params:
        return None
    return _merged(graph, source, number, replace(before, settings=node.title, costs=total((before.costs, node.costs))))


def _twin(graph: Graph, number: int) -> Graph | None:
    source, node = _only_source(graph, number), graph.nodes[number]
    if source is None or node.kind != "block":
        return None
    before = graph.nodes[source]
    one = (node.title, node.settings, node.shape, node.costs.params, node.costs.macs)
    other = (before.title, before.settings, before.shape, *_each(before))
    if one != other:
        return None
    return _merged(
        graph, source, number, replace(before, costs=total((before.costs, node.costs)), times=before.times + 1)
    )


def _each(node: Node) -> tuple[int, int]:
    return node.costs.params // node.times, node.costs.macs // node.times


def _merged(graph: Graph, source: int, number: int, node: Node) -> Graph:
    """The graph with `node` in the place of two neighbours."""
    keep = [k for k in range(len(graph.nodes)) if k != source]
    place = {old: new for new, old in enumerate(keep)}
    place[source] = place[number]
    nodes = tuple(node if k == number else graph.nodes[k] for k in keep)
    edges = dict.fromkeys((place[a], place[b]) for a, b in graph.edges if place[a] != place[b])
    return replace(graph, nodes=nodes, edges=tuple(edges))
