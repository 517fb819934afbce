"""What a plain network costs: every tensor operation is seen once as it runs, each counted by its shapes.

    macs      convolution        outputs × input channels per group × kernel elements
              transposed         inputs × output channels per group × kernel elements
              matrix products    product of the three (four, batched) sizes; linear layers are such products
              attention          its two products, queries × keys and probabilities × values, whatever the kernel
              everything else    0: biases, norms, activations, pooling, element-wise products
    bitops    MACs × weight bits × activation bits; where both factors are activations, activation bits twice
    params    each parameter tensor once, given to the first module that holds it
    size      parameters × their bits; buffers are left out: batch-norm statistics fold into the layer
              before them, and published sizes leave them out too
    peak      see `liveness`; network in eval mode, batch norms and activations as operations of their own

The network runs once, in eval mode and without gradients, on whatever device it is: on the meta device
nothing is computed and nothing stored, which is how architectures are priced. On a real device all
activations are kept until the count is done. Attention runs as plain products on every device, so that
the numbers do not depend on the machine; its matrix of probabilities is therefore an activation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from nasengine.costs import meta_cache
from nasengine.costs.liveness import Liveness
from nasengine.costs.records import Costs, LayerBits

Arguments = tuple[Any, ...]
FLOAT = LayerBits()


def _convolution(arguments: Arguments, output: Tensor) -> tuple[int, Tensor, Tensor]:
    inputs, weight, transposed = arguments[0], arguments[1], arguments[6]
    per_output_element = math.prod(weight.shape[1:])
    positions = inputs.numel() if transposed else output.numel()
    return positions * per_output_element, inputs, weight


def _product(first: int) -> Callable[[Arguments, Tensor], tuple[int, Tensor, Tensor]]:
    """A matrix product whose factors are the arguments `first` and `first + 1`."""

    def macs(arguments: Arguments, output: Tensor) -> tuple[int, Tensor, Tensor]:
        left, right = arguments[first], arguments[first + 1]
        return output.numel() * left.shape[-1], left, right

    return macs


def _linear(arguments: Arguments, output: Tensor) -> tuple[int, Tensor, Tensor]:
    return output.numel() * arguments[0].shape[-1], arguments[0], arguments[1]


def _attention(arguments: Arguments, output: Tensor) -> tuple[int, Tensor, Tensor]:
    query, key, value = arguments[:3]
    pairs = math.prod(query.shape[:-1]) * key.shape[-2]
    return pairs * (query.shape[-1] + value.shape[-1]), query, key


MACS: dict[str, Callable[[Arguments, Tensor], tuple[int, Tensor, Tensor]]] = {
    "aten::convolution": _convolution,
    "aten::_convolution": _convolution,
    "aten::convolution_overrideable": _convolution,
    "aten::mm": _product(0),
    "aten::bmm": _product(0),
    "aten::mv": _product(0),
    "aten::dot": _product(0),
    "aten::addmm": _product(1),
    "aten::addmv": _product(1),
    "aten::baddbmm": _product(1),
    "aten::addbmm": _product(1),
    "aten::_addmm_activation": _product(1),
    "aten::linear": _linear,
    "aten::scaled_dot_product_attention": _attention,
    "aten::_scaled_dot_product_flash_attention": _attention,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_efficient_attention": _attention,
    "aten::_scaled_dot_product_cudnn_attention": _attention,
}


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors in what a function took or gave: alone, or in lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, knows which module is running, and adds up."""

    def __init__(self, bits: Callable[[str], LayerBits]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bits = bits
        self.running: list[str] = [""]
        self.macs: dict[str, int] = {}
        self.bitops: dict[str, int] = {}
        self.liveness = Liveness()
        self.weights: set[int] = set()
        self.kept: dict[int, Any] = {}  # storages, kept so that no address is used twice

    def storage(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        address: int = storage._cdata
        self.kept.setdefault(address, storage)
        return address

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Arguments = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        output = meta_cache.run(function, arguments, keywords or {})
        module = self.running[-1]
        count = MACS.get(function._schema.name)
        if count is not None:
            macs, left, right = count(arguments, output if isinstance(output, Tensor) else output[0])
            bits = self.bits(module)
            weighted = self.storage(left) in self.weights or self.storage(right) in self.weights
            self.macs[module] = self.macs.get(module, 0) + macs
            self.bitops[module] = self.bitops.get(module, 0) + (
                macs * bits.activation * (bits.weight if weighted else bits.activation)
            )
        reads = {self.storage(tensor) for tensor in tensors_in((arguments, keywords))}
        writes = {self.storage(tensor): tensor.untyped_storage().nbytes() for tensor in tensors_in(output)}
        is_view = bool(writes) and writes.keys() <= reads and not function._schema.is_mutable
        if not is_view:
            self.liveness.operation(module, reads, writes)
        return output


@contextlib.contextmanager
def _module_stack(network: nn.Module, running: list[str]) -> Iterator[None]:
    """Keep the names of the modules whose forward is running on top of `running`."""
    names = {id(module): name for name, module in network.named_modules()}

    def enter(module: nn.Module, _inputs: object) -> None:
        running.append(names.get(id(module), running[-1]))

    def leave(module: nn.Module, _inputs: object, _outputs: object) -> None:
        running.pop()

    before = register_module_forward_pre_hook(enter)
    after = register_module_forward_hook(leave, always_call=True)
    try:
        yield
    finally:
        before.remove()
        after.remove()


@contextlib.contextmanager
def _as_plain_operations(network: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, attention as plain products; the network's own modes are put back."""
    training = [module for module in network.modules() if module.training]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    network.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module in training:
            module.training = True


def count_modules(
    network: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    bits: Mapping[str, LayerBits] | Callable[[str], LayerBits] | None = None,
) -> dict[str, Costs]:
    """What each module costs by itself, the modules inside it left out.

    Args:
        network: a plain module, on the device of `example`.
        example: its input, or its inputs, at batch 1: (1, C, H, W) for images.
        bits: of a module's weights and activations, by its name in `named_modules()`; 32 and 32 if left out.

    Returns:
        {module name: costs}, of modules that cost anything; the network itself is "". Parameters, MACs,
        BitOPs and sizes add up to the network's; its peak is the largest of the peaks.
    """
    if bits is None:
        bits_of: Callable[[str], LayerBits] = lambda name: FLOAT  # noqa: E731
    elif isinstance(bits, Mapping):
        table = bits
        bits_of = lambda name: table.get(name, FLOAT)  # noqa: E731
    else:
        bits_of = bits
    inputs = example if isinstance(example, tuple) else (example,)
    counter = _Counter(bits_of)
    params: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        counter.weights.add(counter.storage(parameter))
        module = name.rpartition(".")[0]
        params[module] = params.get(module, 0) + parameter.numel()
        sizes[module] = sizes.get(module, 0) + (parameter.numel() * bits_of(module).weight + 7) // 8
    for tensor in inputs:
        counter.liveness.begin_with(counter.storage(tensor), tensor.untyped_storage().nbytes())
    with _as_plain_operations(network), _module_stack(network, counter.running), counter:
        outputs = network(*inputs)
    peaks = counter.liveness.peaks(counter.storage(tensor) for tensor in tensors_in(outputs))
    names = {**params, **counter.macs, **peaks}
    return {
        name: Costs(
            params=params.get(name, 0),
            macs=counter.macs.get(name, 0),
            bitops=counter.bitops.get(name, 0),
            size_bytes=sizes.get(name, 0),
            peak_activation_bytes=peaks.get(name, 0),
        )
        for name in names
    }


def count(
    network: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    bits: Mapping[str, LayerBits] | Callable[[str], LayerBits] | None = None,
) -> Costs:
    """What a network costs: `count_modules`, put together.

    Args:
        network: a plain module, on the device of `example`.
        example: its input, or its inputs, at batch 1: (1, C, H, W) for images.
        bits: of a module's weights and activations, by its name in `named_modules()`; 32 and 32 if left out.
    """
    return total(count_modules(network, example, bits=bits).values())


def total(parts: Iterable[Costs]) -> Costs:
    """Costs of the whole from those of its parts: sums, and the largest of the peaks."""
    parts = tuple(parts)
    return Costs(
        params=sum(part.params for part in parts),
        macs=sum(part.macs for part in parts),
        bitops=sum(part.bitops for part in parts),
        size_bytes=sum(part.size_bytes for part in parts),
        peak_activation_bytes=max((part.peak_activation_bytes for part in parts), default=0),
    )
