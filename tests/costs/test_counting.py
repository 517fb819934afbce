"""Costs of plain modules against numbers worked out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasengine.costs import COSTS, Costs, LayerBits, count, count_modules

FLOAT_BYTES = 4


def image(*shape: int, device: str = "meta") -> Tensor:
    return torch.empty(1, *shape, device=device)


def on_meta(make):
    with torch.device("meta"):
        return make()


def test_a_convolution_counts_outputs_times_its_kernel():
    network = on_meta(lambda: nn.Conv2d(6, 8, kernel_size=(3, 5), stride=2, padding=(1, 2), groups=2))
    costs = count(network, image(6, 8, 8))
    assert costs.macs == 8 * 4 * 4 * (6 // 2) * 3 * 5
    assert costs.params == 8 * 3 * 15 + 8


def test_a_transposed_convolution_counts_inputs_times_its_kernel():
    network = on_meta(lambda: nn.ConvTranspose2d(6, 8, kernel_size=4, stride=2, groups=2, bias=False))
    assert count(network, image(6, 5, 5)).macs == 6 * 5 * 5 * (8 // 2) * 16


def test_linear_layers_count_every_position():
    network = on_meta(lambda: nn.Linear(16, 7))
    assert count(network, torch.empty(1, 5, 16, device="meta")).macs == 5 * 16 * 7
    assert count(network, torch.empty(1, 16, device="meta")).macs == 16 * 7


def test_norms_activations_pooling_and_elementwise_products_count_nothing():
    network = on_meta(lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Hardswish(), nn.MaxPool2d(2), nn.LayerNorm(4)))
    assert count(network, image(4, 8, 8)).macs == 0


class Attention(nn.Module):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_attention_counts_both_of_its_products(device):
    heads, queries, keys, width, value_width = 4, 5, 6, 8, 8
    inputs = tuple(
        torch.empty(1, heads, *shape, device=device) for shape in ((queries, width), (keys, width), (keys, value_width))
    )
    assert count(Attention(), inputs).macs == heads * queries * keys * (width + value_width)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_multihead_attention_counts_projections_and_products_on_every_device(device):
    with torch.device(device):
        network = nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, batch_first=True)
    tokens, width = 5, 16
    projections, products, mlp = 4 * tokens * width * width, 2 * tokens * tokens * width, 2 * tokens * width * 32
    costs = count(network, torch.zeros(1, tokens, width, device=device))
    assert costs.macs == projections + products + mlp


def test_bitops_use_the_bits_of_each_layer_and_activation_bits_for_products_of_activations():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, tokens: Tensor) -> Tensor:
            hidden = self.second(self.first(tokens))
            return hidden @ hidden.transpose(1, 2)

    network = on_meta(Mixed)
    bits = {"first": LayerBits(4, 8), "": LayerBits(2, 6)}
    costs = count(network, torch.empty(1, 5, 8, device="meta"), bits=bits)
    assert costs.bitops == 5 * 64 * 4 * 8 + 5 * 64 * 32 * 32 + 5 * 5 * 8 * 6 * 6
    assert costs.size_bytes == (64 * 4 // 8 + 8 * 4 // 8) + (64 + 8) * 4
    plain = count(network, torch.empty(1, 5, 8, device="meta"))
    assert plain.bitops == plain.macs * 1024
    assert count(network, torch.empty(1, 5, 8, device="meta"), bits=lambda name: LayerBits(8, 8)).size_bytes == 144


def test_shared_parameters_count_once_and_buffers_not_at_all():
    first = on_meta(lambda: nn.Linear(8, 8, bias=False))
    second = on_meta(lambda: nn.Linear(8, 8, bias=False))
    second.weight = first.weight
    costs = count(nn.Sequential(first, second), torch.empty(1, 8, device="meta"))
    assert (costs.params, costs.size_bytes, costs.macs) == (64, 256, 128)
    norm = count(on_meta(lambda: nn.BatchNorm2d(4)), image(4, 2, 2))
    assert (norm.params, norm.size_bytes) == (8, 32)


def test_a_chain_holds_two_neighbouring_activations_at_its_widest_place():
    network = on_meta(lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1, stride=2)))
    # input 3x8x8 + 8x8x8 during the first, 8x8x8 + 16x4x4 during the second
    assert count(network, image(3, 8, 8)).peak_activation_bytes == FLOAT_BYTES * max(3 * 64 + 8 * 64, 8 * 64 + 16 * 16)


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        return images + self.body(images)


def test_a_residual_keeps_its_skip_alive():
    body = on_meta(lambda: nn.Sequential(nn.Conv2d(4, 12, 1), nn.Conv2d(12, 4, 1)))
    alone, skipped = count(body, image(4, 8, 8)), count(Residual(body), image(4, 8, 8))
    assert alone.peak_activation_bytes == FLOAT_BYTES * 64 * (4 + 12)
    assert skipped.peak_activation_bytes == FLOAT_BYTES * 64 * (4 + 12 + 4)  # the skip, while 12 become 4
    parts = count_modules(Residual(body), image(4, 8, 8))
    assert parts["body.1"].peak_activation_bytes == skipped.peak_activation_bytes
    assert parts[""].peak_activation_bytes == FLOAT_BYTES * 64 * 12  # skip, body and their sum


def test_work_in_place_and_views_need_no_memory():
    size = 4 * 64
    out_of_place = on_meta(lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()))
    in_place = on_meta(lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten()))
    assert count(out_of_place, image(1, 8, 8)).peak_activation_bytes == FLOAT_BYTES * 2 * size
    assert count(in_place, image(1, 8, 8)).peak_activation_bytes == FLOAT_BYTES * (64 + size)


def test_a_view_keeps_the_memory_it_looks_at_alive():
    class KeepsASlice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.middle, self.last = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 1, 1)

        def forward(self, images: Tensor) -> Tensor:
            wide = self.wide(images)
            part = wide[:, :1]
            return part + self.last(self.middle(wide))

    # all 8 channels stay for the sake of one, next to 2 channels, then 2 and 1
    assert count(on_meta(KeepsASlice), image(1, 8, 8)).peak_activation_bytes == FLOAT_BYTES * 64 * (8 + 2 + 1)


def test_the_count_is_the_same_on_meta_and_cpu_and_ignores_outputs_nobody_reads():
    def make() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))

    with torch.device("meta"):
        meta = make()
    expected = FLOAT_BYTES * max(3 * 64 + 4 * 36, 2 * 4 * 36)
    assert count(meta, image(3, 8, 8)) == count(make(), image(3, 8, 8, device="cpu"))
    assert count(meta, image(3, 8, 8)).peak_activation_bytes == expected


def test_two_inputs_are_alive_from_the_start():
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 4, 1)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.first(left).sum(1, keepdim=True) + right

    costs = count(on_meta(Late), (image(1, 8, 8), image(1, 8, 8)))
    assert costs.peak_activation_bytes == FLOAT_BYTES * 64 * (1 + 1 + 4)


def test_counting_leaves_modes_weights_and_random_state_alone():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.5)))
    network[2].eval()
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in network.state_dict().items()}
    count(network, torch.zeros(1, 3, 8, 8))
    assert [module.training for module in network.modules()] == [True, True, True, False, False]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.is_grad_enabled()


def test_a_network_that_raises_leaves_no_hook_behind():
    class Breaks(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise ValueError("broken")

    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            count(nn.Sequential(Breaks()), image(1, 2, 2))
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_parts_of_a_network_add_up_to_it():
    network = on_meta(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), Residual(nn.Conv2d(8, 8, 1)), nn.Flatten()))
    whole, parts = count(network, image(3, 8, 8)), count_modules(network, image(3, 8, 8)).values()
    for name, about in COSTS.items():
        amounts = [part.as_dict()[name] for part in parts]
        assert whole.as_dict()[name] == (max(amounts) if about.reduction == "max" else sum(amounts))


def test_costs_round_trip_through_json():
    costs = Costs(1, 2, 3, 4, 5)
    assert Costs.from_json(costs.to_json()) == costs
    assert list(costs.as_dict()) == list(COSTS)
