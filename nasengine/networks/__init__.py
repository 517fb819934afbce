"""Networks and the blocks they are made of: plain PyTorch, no word of search.

`NETWORK_TYPES` is what `type:` in a search space may name. To add a block or a network: write one plain
`nn.Module` with ordinary arguments in one file, and one line here. Arguments called `in_channels`,
`in_features`, `input_size` and `classes` need not be written in YAML where they can be inferred.
"""

from __future__ import annotations

from torch import nn

from nasengine.networks.blocks.activation import Activation
from nasengine.networks.blocks.convolution import Conv, ConvNormActivation, DepthwiseSeparable, ReluConvNorm
from nasengine.networks.blocks.heads import Linear, LinearHead
from nasengine.networks.blocks.mbconv import MBConv, SqueezeExcite
from nasengine.networks.blocks.normalization import BatchNorm, GroupNorm, LayerNorm
from nasengine.networks.blocks.pooling import AveragePool, GlobalAveragePool, MaxPool
from nasengine.networks.blocks.residual_block import BasicBlock, Bottleneck
from nasengine.networks.blocks.simple import Dropout, Flatten, Identity, Subsample, Zero
from nasengine.networks.blocks.transformer import TransformerBlock
from nasengine.networks.composition import Cell, Parallel, Residual, Sequential
from nasengine.networks.nas_bench_201_network import NasBench201Network
from nasengine.networks.residual_network import ResidualNetwork
from nasengine.networks.scaled_residual_network import ScaledResidualNetwork
from nasengine.networks.vit_resnas import VitResNas

NETWORK_TYPES: dict[str, type[nn.Module]] = {
    "sequential": Sequential,
    "parallel": Parallel,
    "residual": Residual,
    "cell": Cell,
    "residual_network": ResidualNetwork,
    "scaled_residual_network": ScaledResidualNetwork,
    "nas_bench_201_network": NasBench201Network,
    "vit_resnas": VitResNas,
    "conv": Conv,
    "conv_norm_activation": ConvNormActivation,
    "relu_conv_norm": ReluConvNorm,
    "depthwise_separable": DepthwiseSeparable,
    "basic_block": BasicBlock,
    "bottleneck": Bottleneck,
    "mbconv": MBConv,
    "squeeze_excite": SqueezeExcite,
    "transformer_block": TransformerBlock,
    "max_pool": MaxPool,
    "average_pool": AveragePool,
    "global_average_pool": GlobalAveragePool,
    "subsample": Subsample,
    "batch_norm": BatchNorm,
    "group_norm": GroupNorm,
    "layer_norm": LayerNorm,
    "activation": Activation,
    "dropout": Dropout,
    "flatten": Flatten,
    "linear": Linear,
    "linear_head": LinearHead,
    "identity": Identity,
    "zero": Zero,
}

__all__ = ["NETWORK_TYPES"]
