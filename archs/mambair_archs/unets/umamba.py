"""U-Mamba (arXiv 2401.04722): nnU-Net's residual network with Mamba at the bottleneck or in the encoder.

Two generations were published under one name; the figures of the paper belong to the first. Restoration wants layer
norms (an instance norm takes the level out of a picture) and a skip connection at full resolution.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks.dimensions import Dimensions, conv, transposed
from ..blocks.nnunet import BasicBlock, BasicResBlock, ConvNorm, MambaLayer, Norm
from ..config import StateDict, count, create, option, shape
from ..descriptor import Descriptor
from ..unet import UShape, UShapeConfig, describe_u_shape, output_form

Place = Literal["bot", "enc"]


@dataclass(frozen=True)
class Plan:
    """What nnU-Net plans for a data set.

    Attributes:
        dims: 2 for pictures, 3 for volumes.
        in_channels: of the input.
        out_channels: of the output.
        features: channels of every stage.
        strides: of every stage, the first one 1.
        convs: blocks of every stage of the encoder.
        convs_decoder: blocks of every stage of the decoder, the coarsest first.
        mamba: at the bottleneck or in the encoder.
        generation: 1 (January 2024) or 2 (March 2024).
        norm: kind of the norms.
        last_skip: whether the stage at full resolution has a skip connection.
        over_channels: stages of the encoder whose Mamba reads channels, each with its number of pixels.
    """

    dims: Dimensions
    in_channels: int
    out_channels: int
    features: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    convs: tuple[int, ...]
    convs_decoder: tuple[int, ...]
    mamba: Place
    generation: int
    norm: Norm
    last_skip: bool
    over_channels: tuple[tuple[int, int], ...] = ()


def plan(
    dims: Dimensions,
    features: Sequence[int],
    strides: Sequence[Sequence[int]],
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    mamba: Place = "bot",
    generation: int = 2,
    norm: Norm = "instance",
    last_skip: bool | None = None,
    input_size: Sequence[int] = (),
) -> Plan:
    """The published network for these features and strides.

    ``input_size`` is what the encoder of generation 2 chooses by: a stage of no more pixels than channels has its Mamba
    read channels, and the network then takes that size only. Without it all read pixels.
    """
    stages = len(features)
    modern = generation == 2
    convs = tuple(1 if modern and k >= -(-stages // 2) else 2 for k in range(stages))
    convs_decoder = tuple(1 if modern and k >= -(-stages // 2) else 2 for k in range(stages - 1))
    scale = [1] * dims
    over_channels = []
    for k, stride in enumerate(strides):
        scale = [have * more for have, more in zip(scale, stride, strict=True)]
        pixels = prod(-(-size // by) for size, by in zip(input_size, scale, strict=False)) if input_size else 0
        if modern and 0 < pixels <= features[k]:
            over_channels.append((k, pixels))
    return Plan(
        dims,
        in_channels,
        out_channels,
        tuple(features),
        tuple(tuple(stride) for stride in strides),
        convs,
        convs_decoder,
        mamba,
        generation,
        norm,
        (dims == 3 or not modern) if last_skip is None else last_skip,
        tuple(over_channels),
    )


class _Blocks(nn.Module):
    """Blocks in a row, under the name that the first generation has for them."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(x)
        return out


class _Stem(nn.Module):
    """The first convolution of the first generation."""

    def __init__(self, given: Plan) -> None:
        super().__init__()
        one = (1,) * given.dims
        self.convs = nn.Sequential(
            ConvNorm(given.dims, given.in_channels, given.features[0], 3, one, given.norm, activate=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convs(x)
        return out


def _stage(given: Plan, in_channels: int, channels: int, depth: int, stride: tuple[int, ...]) -> nn.Module:
    first = BasicResBlock if given.generation == 2 else BasicBlock
    one = (1,) * given.dims
    blocks: list[nn.Module] = [first(given.dims, in_channels, channels, stride, given.norm)]
    blocks += [BasicBlock(given.dims, channels, channels, one, given.norm) for _ in range(depth - 1)]
    return nn.Sequential(*blocks) if given.generation == 2 else _Blocks(blocks)


class Encoder(nn.Module):
    """Stem and strided stages, each with a Mamba after it where the plan wants one."""

    def __init__(self, given: Plan) -> None:
        super().__init__()
        features, last = given.features, len(given.features) - 1
        if given.generation == 2:
            self.stem = _stage(given, given.in_channels, features[0], given.convs[0], (1,) * given.dims)
        else:
            self.stem = _Stem(given)
        if given.mamba == "enc":
            grids = dict(given.over_channels)
            every = given.dims == 3 or given.generation == 1
            self.mamba_layers = nn.ModuleList(
                MambaLayer(grids.get(k, channels), k in grids) if every or k % 2 == last % 2 else nn.Identity()
                for k, channels in enumerate(features)
            )
        self.stages = nn.ModuleList(
            _stage(given, features[max(k - 1, 0)], channels, given.convs[k], given.strides[k])
            for k, channels in enumerate(features)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of every stage of (batch, in, ...)."""
        x = self.stem(x)
        found = []
        for k, stage in enumerate(self.stages):
            x = stage(x)
            if hasattr(self, "mamba_layers"):
                x = self.mamba_layers[k](x)
            found.append(x)
        return found


class Upsample(nn.Module):
    """Nearest neighbours and a 1x1 convolution."""

    def __init__(self, given: Plan, in_channels: int, channels: int, factor: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = conv(given.dims, in_channels, channels, 1)
        self.factor = tuple(map(float, factor))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, ...) to (batch, channels, ...), enlarged."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=self.factor, mode="nearest"))
        return out


class Decoder(nn.Module):
    """Enlargements, each joined by the features of the encoder, and a head per resolution."""

    def __init__(self, given: Plan, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder  # listed here again, as the published checkpoints do
        self.last_skip = given.last_skip
        stages, ups, heads = [], [], []
        coarse_first = given.features[::-1]
        for k, (below, channels) in enumerate(pairwise(coarse_first)):
            factor = given.strides[-1 - k]
            ups.append(
                Upsample(given, below, channels, factor)
                if given.generation == 2
                else transposed(given.dims, below, channels, factor)
            )
            joined = 2 if given.last_skip or k < len(coarse_first) - 2 else 1
            stages.append(_stage(given, joined * channels, channels, given.convs_decoder[k], (1,) * given.dims))
            heads.append(conv(given.dims, channels, given.out_channels, 1))
        self.stages = nn.ModuleList(stages)
        if given.generation == 2:
            self.upsample_layers = nn.ModuleList(ups)
        else:
            self.transpconvs = nn.ModuleList(ups)
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, features: list[Tensor], deep: bool = False) -> list[Tensor]:
        """Outputs from full to low resolution; only the first unless ``deep``."""
        ups = self.upsample_layers if hasattr(self, "upsample_layers") else self.transpconvs
        x, outputs = features[-1], []
        for k, (up, stage, head) in enumerate(zip(ups, self.stages, self.seg_layers, strict=True)):
            x = up(x)
            last = k == len(self.stages) - 1
            if self.last_skip or not last:
                x = torch.cat([x, features[-2 - k]], dim=1)
            x = stage(x)
            if deep or last:
                outputs.append(head(x))
        return outputs[::-1]


class UMambaBody(nn.Module):
    """The network of a plan as published: logits of (batch, in, ...), whose sizes fit the strides."""

    encoder: Encoder
    decoder: Decoder

    def __init__(self, given: Plan) -> None:
        super().__init__()
        attach(self, given)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, ...) to (batch, out, ...)."""
        return run(self, x)[0]


def attach(network: nn.Module, given: Plan) -> None:
    """Give a module the parts of a plan, under their published names."""
    encoder = Encoder(given)
    network.encoder = encoder
    if given.mamba == "bot":
        if given.generation == 2:
            network.mamba_layer = MambaLayer(given.features[-1])
        else:
            layer = MambaLayer(given.features[-1])
            network.ln, network.mamba = layer.norm, layer.mamba
    network.decoder = Decoder(given, encoder)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def run(network: Any, x: Tensor, deep: bool = False) -> list[Tensor]:
    """Outputs of a module that has the parts of a plan, from full to low resolution; one unless ``deep``."""
    features = network.encoder(x)
    if hasattr(network, "mamba_layer"):
        features[-1] = network.mamba_layer(features[-1])
    elif hasattr(network, "ln"):
        tokens = network.mamba(network.ln(features[-1].flatten(2).mT))
        features[-1] = tokens.mT.reshape(features[-1].shape)
    outputs: list[Tensor] = network.decoder(features, deep)
    return outputs


@dataclass(frozen=True, kw_only=True)
class UMambaConfig(UShapeConfig):
    """Options of :class:`UMamba`."""

    features: tuple[int, ...] = option((32, 64, 128, 256), "Channels of each stage; each further one halves the size.")
    mamba: Place = option("bot", "Where Mamba stands: at the bottleneck, or in the encoder.")
    generation: int = option(2, "Of the published code: 1 (January 2024) or 2 (March 2024).")
    norm: Norm = option("layer", "Norms over channels, or over the picture as published.")
    last_skip: bool = option(True, "Whether full resolution has a skip connection; generation 2 was published without.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.features) < 2 or min(self.features) < 1:
            raise ValueError(f"features must be two or more positive numbers, got {self.features}")
        if self.generation not in (1, 2):
            raise ValueError(f"generation must be 1 or 2, got {self.generation}")

    @property
    def multiple(self) -> int:
        """Grid in pixels to which the picture is padded."""
        return int(2 ** (len(self.features) - 1))


class UMamba(UShape):
    """U-Mamba on pictures; image in, image out, values in [0, 1].

    Keyword options: see :class:`UMambaConfig`.
    """

    config: UMambaConfig

    def __init__(self, **options: Any) -> None:
        config = create(UMambaConfig, options)
        super().__init__(config)
        self.multiple = config.multiple
        strides = [(1, 1), *((2, 2) for _ in config.features[1:])]
        given = plan(
            2,
            config.features,
            strides,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            mamba=config.mamba,
            generation=config.generation,
            norm=config.norm,
            last_skip=config.last_skip,
        )
        attach(self, given)

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        return run(self, x)[0]

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        encoder, decoder = self.encoder, self.decoder
        assert isinstance(encoder, Encoder)
        assert isinstance(decoder, Decoder)
        yield encoder.stem, 1.0
        for parts in (encoder.stages, getattr(encoder, "mamba_layers", ())):
            for k, part in enumerate(parts):
                yield part, 4.0**-k
        for name, part in self.named_children():
            if name in ("mamba_layer", "ln", "mamba"):
                yield part, 4.0 ** (1 - len(self.config.features))
        last = len(decoder.stages) - 1
        for name, parts in decoder.named_children():
            if name != "encoder":
                for k, part in enumerate(parts.children()):
                    yield part, 4.0 ** (k - last - (name == "transpconvs"))


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like U-Mamba's."""
    return "decoder.seg_layers.0.weight" in state_dict and any(key.startswith("encoder.stem.") for key in state_dict)


def infer(state_dict: StateDict) -> UMambaConfig:
    """Configuration of weights of two dimensions.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    generation = 2 if "encoder.stem.0.conv1.weight" in state_dict else 1
    block = "0.conv1.weight" if generation == 2 else "blocks.0.conv1.conv.weight"
    stem = "encoder.stem.0.conv1" if generation == 2 else "encoder.stem.convs.0.conv"
    stages = count(state_dict, "encoder.stages.")
    features = tuple(shape(state_dict, f"encoder.stages.{k}.{block}", 4)[0] for k in range(stages))
    in_channels = shape(state_dict, f"{stem}.weight", 4)[1]
    out_channels = shape(state_dict, "decoder.seg_layers.0.weight", 4)[0]
    joined = shape(state_dict, f"decoder.stages.{stages - 2}.{block}", 4)[1]
    return UMambaConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        output=output_form(state_dict, in_channels, out_channels),
        features=features,
        mamba="enc" if any(key.startswith("encoder.mamba_layers.") for key in state_dict) else "bot",
        generation=generation,
        norm="layer" if any(key.endswith(".layer.weight") for key in state_dict) else "instance",
        last_skip=joined == 2 * features[0],
    )


def describe(config: UMambaConfig) -> Descriptor:
    """What inference has to know."""
    return describe_u_shape(config, config.multiple, bytes_per_pixel=4 * 10 * config.features[0])
