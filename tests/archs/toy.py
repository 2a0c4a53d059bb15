"""A network of our own, complete: what CONTRIBUTING.md says one has to write."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mambair_archs.blocks.convolution import conv3x3
from mambair_archs.blocks.selective_scan import SS2D
from mambair_archs.config import StateDict, count, create, option, shape
from mambair_archs.descriptor import Descriptor
from mambair_archs.network import Network


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """Options of :class:`Toy`."""

    width: int = option(8, "Channels of the features.")
    layers: int = option(2, "Scans, one after the other.")

    def __post_init__(self) -> None:
        if self.width < 1 or self.layers < 1:
            raise ValueError(f"width {self.width} and layers {self.layers} must be at least 1")


class Toy(Network):
    """A few scans between two convolutions."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.config = config = create(ToyConfig, given)
        self.toy_first = conv3x3(3, config.width)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(config.layers))
        self.scans = nn.ModuleList(SS2D(config.width, 2, config.width) for _ in range(config.layers))
        self.toy_last = conv3x3(config.width, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.toy_first(image.permute(0, 2, 3, 1))
        for norm, scan in zip(self.norms, self.scans, strict=True):
            x = x + scan(x, norm)
        out: Tensor = image + self.toy_last(x).permute(0, 3, 1, 2)
        return out


def matches(state_dict: StateDict) -> bool:
    return "toy_first.weight" in state_dict


def infer(state_dict: StateDict) -> ToyConfig:
    return ToyConfig(width=shape(state_dict, "toy_first.weight", 4)[0], layers=count(state_dict, "scans."))


def describe(config: ToyConfig) -> Descriptor:
    return Descriptor(scale=1, in_channels=3, size_multiple=1, tile=256, bytes_per_pixel=4 * 20 * config.width)
