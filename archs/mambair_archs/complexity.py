"""Parameters and operations of a network, counted from its structure.

Multiply-accumulates follow the convention of the published tables (fvcore's, with the scan rule of
state-spaces/mamba issue 110): a convolution or linear layer counts one per weight and output pixel, a layer norm 5 per
value, global pooling 1 per value, a selective scan 9 * state + 1 per channel and direction.
"""

from collections.abc import Iterator
from typing import Protocol

from torch import nn

from .blocks.attentive_state_space import ASSM
from .blocks.channel_attention import ChannelAttention
from .blocks.coefficients import view_size
from .blocks.selective_scan import SelectiveScan2d
from .blocks.window_attention import WindowAttention


class Staged(Protocol):
    """A network that says at which resolution its modules work, and to which grid it pads its input."""

    multiple: int

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """Modules with the number of pixels they see per input pixel."""
        ...


def parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def _per_pixel(module: nn.Module) -> int:
    """Operations per pixel of ``module`` and everything inside it."""
    own = 0
    if isinstance(module, ChannelAttention):
        return module.channels  # the gate itself works once per image
    if isinstance(module, nn.Conv2d | nn.Linear):
        own = module.weight.numel()
    elif isinstance(module, nn.LayerNorm):
        own = 5 * module.weight.numel()
    if isinstance(module, SelectiveScan2d):
        own += module.x_proj_weight.numel() + module.dt_projs_weight.numel()
        own += 9 * module.A_logs.numel() + module.Ds.numel()
    if isinstance(module, WindowAttention):
        own += 2 * module.window**2 * module.proj.in_features
    if isinstance(module, ASSM):
        own += module.embeddingB.num_embeddings * module.selectiveScan.A_logs.shape[1]
    return own + sum(_per_pixel(child) for child in module.children())


def macs(network: Staged, height: int, width: int) -> float:
    """Multiply-accumulates for one input of ``height`` x ``width`` pixels, the network's padding included.

    A network with a global view works at that size; what it then does to every pixel is not counted.
    """
    if longest := getattr(network, "global_view", 0):
        height, width = view_size(height, width, longest)
    height, width = (-(-size // network.multiple) * network.multiple for size in (height, width))
    return height * width * sum(pixels * _per_pixel(module) for module, pixels in network.stages())
