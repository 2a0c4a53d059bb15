"""nnMamba (arXiv 2402.03526): a residual encoder with MICCSS, and convolutions up again; and its classifier."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.dimensions import Dimensions, batch_norm, conv
from ..blocks.miccss import MICCSS, res_mamba_stage
from ..config import StateDict, count, create, option, shape
from ..descriptor import Descriptor
from ..unet import UShape, UShapeConfig, describe_u_shape, output_form

Head = Literal["restoration", "published"]
REDUCTION = 16


class DoubleConv(nn.Module):
    """Two convolutions with batch norm and a rectifier each."""

    def __init__(self, dims: Dimensions, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv(dims, in_channels, channels, 3, stride),
            batch_norm(dims, channels),
            nn.ReLU(),
            conv(dims, channels, channels, 3),
            batch_norm(dims, channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, ...) to (batch, channels, ...), divided by the stride."""
        out: Tensor = self.conv(x)
        return out


class SkipScale(nn.Module):
    """A gate per channel made of the mean of the features (squeeze and excitation, arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = max(channels // REDUCTION, 1)
        self.layer1 = nn.Linear(channels, reduced)
        self.layer2 = nn.Linear(reduced, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to the same shape."""
        gate = torch.sigmoid(self.layer2(F.relu(self.layer1(x.flatten(2).mean(2)))))
        return x * gate.view(*gate.shape, *[1] * (x.dim() - 2))


def attach(network: nn.Module, dims: Dimensions, in_channels: int, channels: int, blocks: int) -> None:
    """Give a module everything but its head, under the published names."""
    parts = {"in_conv": DoubleConv(dims, in_channels, channels, stride=2)}
    for k in range(3):
        network.add_module(f"att{k + 1}", SkipScale(channels * 2**k))
        network.add_module(f"layer{k + 1}", res_mamba_stage(dims, channels * 2**k, channels * 2 ** (k + 1), blocks))
        parts[f"conv{5 + k}"] = DoubleConv(dims, 12 * channels // 2**k, 4 * channels // 2**k)
    for name, part in parts.items():
        network.add_module(name, part)


def features(network: Any, x: Tensor) -> dict[str, Tensor]:
    """Named features of (batch, in, ...); ``conv7`` twice enlarged is as large as x."""
    found = {"in_conv": network.in_conv(x)}
    last = found["in_conv"]
    for k in (1, 2, 3):
        last = found[f"layer{k}"] = getattr(network, f"layer{k}")(last)
    for k, skip in ((5, "layer2"), (6, "layer1"), (7, "in_conv")):
        gate = getattr(network, f"att{8 - k}")
        joined = torch.cat([enlarge(last), gate(found[skip])], dim=1)
        last = found[f"conv{k}"] = getattr(network, f"conv{k}")(joined)
    return found


def enlarge(x: Tensor) -> Tensor:
    """Twice the size, linear along every axis."""
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    return F.interpolate(x, scale_factor=2.0, mode=mode, align_corners=False)


class NNMambaSegBody(nn.Module):
    """nnMambaSeg as published, in two or three dimensions: it ends in batch norm and a rectifier."""

    def __init__(self, dims: Dimensions, in_channels: int, channels: int, blocks: int, classes: int) -> None:
        super().__init__()
        attach(self, dims, in_channels, channels, blocks)
        self.conv8 = DoubleConv(dims, channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, ...), sizes multiples of 16, to (batch, classes, ...)."""
        out: Tensor = self.conv8(enlarge(features(self, x)["conv7"]))
        return out


class NNMambaEncoder(nn.Module):
    """nnMamba's classifier: a MICCSS stem without flips, plain residual stages, and the means of all stages."""

    def __init__(
        self, dims: Dimensions, in_channels: int, channels: int = 32, blocks: int = 3, classes: int = 2
    ) -> None:
        super().__init__()
        self.in_conv = DoubleConv(dims, in_channels, channels, stride=2)
        self.mamba_layer_stem = MICCSS(dims, channels, d_state=8, siamese=False)
        for k in range(3):
            stage = res_mamba_stage(dims, channels * 2**k, channels * 2 ** (k + 1), blocks, with_mamba=False)
            self.add_module(f"layer{k + 1}", stage)
        self.mlp = nn.Sequential(
            nn.Linear(14 * channels, channels), nn.ReLU(), nn.Dropout(0.5), nn.Linear(channels, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, ...) to scores (batch, classes)."""
        first = self.in_conv(x)
        y = self.mamba_layer_stem(first) + first
        means = []
        for k in (1, 2, 3):
            y = getattr(self, f"layer{k}")(y)
            means.append(y.flatten(2).mean(2))
        out: Tensor = self.mlp(torch.cat(means, dim=1))
        return out


@dataclass(frozen=True, kw_only=True)
class NNMambaSegConfig(UShapeConfig):
    """Options of :class:`NNMambaSeg`."""

    channels: int = option(32, "Channels at half resolution; each further level has twice as many.")
    blocks: int = option(3, "Residual blocks per level; all but the first share one Mamba.")
    head: Head = option("restoration", "A plain last convolution, or the published one, which ends in a rectifier.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels < 1 or self.blocks < 1:
            raise ValueError("channels and blocks must be at least 1")


class NNMambaSeg(UShape):
    """nnMambaSeg on pictures; image in, image out, values in [0, 1].

    Keyword options: see :class:`NNMambaSegConfig`.
    """

    config: NNMambaSegConfig
    multiple = 16

    def __init__(self, **options: Any) -> None:
        config = create(NNMambaSegConfig, options)
        super().__init__(config)
        attach(self, 2, config.in_channels, config.channels, config.blocks)
        published = config.head == "published"
        head = (
            DoubleConv(2, config.channels, config.out_channels)
            if published
            else nn.Conv2d(config.channels, config.out_channels, 3, padding=1)
        )
        self.conv8 = head

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        out: Tensor = self.conv8(enlarge(features(self, x)["conv7"]))
        return out

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        levels = {"in_conv": 1, "conv7": 1, "att1": 1, "layer1": 2, "conv6": 2, "att2": 2, "layer2": 3, "conv5": 3}
        levels |= {"att3": 3, "layer3": 4, "conv8": 0}
        for name, module in self.named_children():
            if not name.startswith("att"):
                yield module, 4.0 ** -levels[name]

    def once(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        for k in (1, 2, 3):
            yield getattr(self, f"att{k}"), 1.0


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like nnMambaSeg's."""
    return "in_conv.conv.0.weight" in state_dict and "att1.layer1.weight" in state_dict


def infer(state_dict: StateDict) -> NNMambaSegConfig:
    """Configuration of weights of two dimensions.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    channels, in_channels = shape(state_dict, "in_conv.conv.0.weight", 4)[:2]
    published = "conv8.conv.0.weight" in state_dict
    out_channels = shape(state_dict, "conv8.conv.0.weight" if published else "conv8.weight", 4)[0]
    return NNMambaSegConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        output=output_form(state_dict, in_channels, out_channels),
        channels=channels,
        blocks=count(state_dict, "layer1."),
        head="published" if published else "restoration",
    )


def describe(config: NNMambaSegConfig) -> Descriptor:
    """What inference has to know."""
    return describe_u_shape(config, NNMambaSeg.multiple, bytes_per_pixel=4 * 12 * config.channels)
