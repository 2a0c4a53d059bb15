"""Parameters and operations of a network, counted from its structure.

Multiply-accumulates follow the convention of the published tables (fvcore's, with the scan rule of
state-spaces/mamba issue 110): a convolution or linear layer counts one per weight and output pixel, a layer norm 5 per
value, global pooling 1 per value, a selective scan 9 * state + 1 per channel and direction.
"""

from torch import nn

from .network import Counted, Network, view_size


def parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def _per_pixel(module: nn.Module) -> float:
    """Operations per pixel of ``module`` and everything inside it."""
    own = sum(_per_pixel(child) for child in module.children())
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
        own += module.weight.numel()
    elif isinstance(module, nn.LayerNorm):
        own += 5 * module.weight.numel()
    return module.macs_per_pixel(own) if isinstance(module, Counted) else own


def macs(network: Network, height: int, width: int) -> float:
    """Multiply-accumulates for one input of ``height`` x ``width`` pixels, the network's padding included.

    A network with a global view works at that size; what it then does to every pixel is not counted.
    """
    if network.global_view:
        height, width = view_size(height, width, network.global_view)
    height, width = (-(-size // network.multiple) * network.multiple for size in (height, width))
    fixed = sum(positions * _per_pixel(module) for module, positions in network.once())
    return height * width * sum(pixels * _per_pixel(module) for module, pixels in network.stages()) + fixed
