"""What the U-shaped networks of the field share: padding to their grid, the form of the output, and who can be added.

The networks themselves (:mod:`mambair_archs.unets`) were published for segmentation, dehazing or deraining. Here each
is a restoration network as well: three channels out and, in the usual form, the input added to them.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .blocks.padding import crop_axes, pad_axes
from .config import StateDict, option
from .descriptor import Descriptor
from .network import Network

Output = Literal["residual", "aod", "plain"]
"""Form of the output: added to the input; ``k x - k + 1`` with ``k = relu(output)`` (AOD-Net, 1707.06543); alone."""

AOD = "aod"
"""Name of the tensor that tells weights of that form from others."""


@dataclass(frozen=True, kw_only=True)
class UShapeConfig:
    """Options of every U-shape."""

    in_channels: int = option(3, "Channels of the input.")
    out_channels: int = option(3, "Channels of the output.")
    output: Output = option("residual", "Whether the input is added, transmits as in AOD-Net, or is left out.")

    def __post_init__(self) -> None:
        if self.in_channels < 1 or self.out_channels < 1:
            raise ValueError("in_channels and out_channels must be at least 1")
        if self.output != "plain" and self.in_channels != self.out_channels:
            raise ValueError(f"output {self.output!r} needs as many output channels as input channels")


class UShape(Network):
    """A network on (batch, channels, height, width) whose body wants sizes that are multiples of :attr:`multiple`."""

    config: UShapeConfig

    def __init__(self, config: UShapeConfig) -> None:
        super().__init__()
        self.config = config
        if config.output == "aod":
            self.register_buffer(AOD, torch.ones(1, dtype=torch.uint8))

    def body(self, x: Tensor) -> Tensor:
        """The network proper: (batch, in, height, width), sizes multiples, to (batch, out, height, width)."""
        raise TypeError(f"{type(self).__name__} has no body")

    def base(self, x: Tensor) -> Tensor:
        """The input in the size of the output."""
        return x

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch: (batch, in, height, width) to (batch, out, height * scale, width * scale), any size.

        Raises:
            ValueError: the number of channels is not the network's.
        """
        if image.dim() != 4 or image.shape[1] != self.config.in_channels:
            raise ValueError(f"expected (batch, {self.config.in_channels}, height, width), got {tuple(image.shape)}")
        x = pad_axes(image, (self.multiple, self.multiple))
        out = finish(self.config.output, self.body(x), self.base(x))
        return crop_axes(out, tuple(size * self.scale for size in image.shape[2:])).contiguous()


def finish(form: Output, out: Tensor, image: Tensor) -> Tensor:
    """What the network's output ``out`` makes of the input; they have one size."""
    if form == "plain":
        return out
    if form == "residual":
        return out + image
    k = torch.relu(out)
    return k * image - k + 1


def output_form(state_dict: StateDict, in_channels: int, out_channels: int) -> Output:
    """The form that weights were trained in; those of a segmentation of three classes look like a restoration's."""
    if AOD in state_dict:
        return "aod"
    return "residual" if in_channels == out_channels else "plain"


def describe_u_shape(config: UShapeConfig, multiple: int, bytes_per_pixel: int, tile: int = 512) -> Descriptor:
    """What inference has to know of a U-shape: tiles as large as may be, because it is made to see far."""
    return Descriptor(
        scale=1,
        in_channels=config.in_channels,
        size_multiple=multiple,
        tile=tile,
        bytes_per_pixel=bytes_per_pixel,
    )
