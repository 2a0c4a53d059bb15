"""Swin-UMamba and its dagger form (arXiv 2402.03302): VMamba's first encoder under a UNETR-like or a scanning decoder.

Two generations of Swin-UMamba were published under one name; the paper's figures belong to the first, whose deepest
stage is computed and not used. The dagger is all of scans.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.convolution import Conv2d
from ..blocks.nnunet import InstanceNorm, Norm, make_norm, rectify
from ..blocks.patches import PatchEmbed, PatchExpand, PatchMerging
from ..blocks.pointwise import apply_linear
from ..blocks.stages import Stage
from ..config import StateDict, count, create, option, shape
from ..descriptor import Descriptor
from ..unet import UShape, UShapeConfig, describe_u_shape, output_form

STAGES = 4
DAGGER_DECODER_BLOCKS = 2


class VSSMEncoder(nn.Module):
    """VMamba's first encoder with the reductions apart from the stages."""

    def __init__(
        self, in_channels: int, dims: tuple[int, ...], depths: tuple[int, ...], d_state: int, patch: int
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(in_channels, dims[0], patch)
        self.layers = nn.ModuleList(Stage(dim, depth, d_state) for dim, depth in zip(dims, depths, strict=True))
        self.downsamples = nn.ModuleList(PatchMerging(dim, pad=False) for dim in dims[:-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of every stage before its reduction, of (batch, height, width, in)."""
        x = self.patch_embed(x)
        found = []
        for k, layer in enumerate(self.layers):
            x = layer(self.downsamples[k - 1](x) if k else x)
            found.append(x)
        return found

    def costs(self, pixels: float) -> Iterator[tuple[nn.Module, float]]:
        """Parts with the pixels that they see per input pixel; ``pixels`` are those of the first stage."""
        yield self.patch_embed, pixels
        for k, layer in enumerate(self.layers):
            yield layer, pixels / 4**k
        for k, merging in enumerate(self.downsamples, start=1):
            yield merging, pixels / 4**k


class _Conv(nn.Module):
    """A convolution under MONAI's name."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class UnetrBlock(nn.Module):
    """UNETR's residual block: two normed convolutions, and a normed 1x1 shortcut where the width changes.

    As published its instance norms have no weights.
    """

    def __init__(self, in_channels: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _Conv(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
        self.conv2 = _Conv(nn.Conv2d(channels, channels, 3, padding=1, bias=False))
        self.conv3 = _Conv(nn.Conv2d(in_channels, channels, 1, bias=False)) if in_channels != channels else None
        self.norm1, self.norm2, self.norm3 = (_plain_norm(norm, channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) to (batch, channels, height, width)."""
        y = self.norm2(self.conv2(rectify(self.norm1(self.conv1(x)))))
        return rectify(y + (x if self.conv3 is None else self.norm3(self.conv3(x))))


def _plain_norm(kind: Norm, channels: int) -> nn.Module:
    return InstanceNorm(channels, affine=False) if kind == "instance" else make_norm(kind, channels)


class UnetrUp(nn.Module):
    """A transposed convolution, joined by a skip, and a residual block."""

    def __init__(self, in_channels: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.transp_conv = _Conv(nn.ConvTranspose2d(in_channels, channels, 2, 2, bias=False))
        self.conv_block = UnetrBlock(2 * channels, channels, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(batch, in_channels, h, w) and (batch, channels, 2 h, 2 w) to the latter's shape."""
        out: Tensor = self.conv_block(torch.cat([self.transp_conv(x), skip], dim=1))
        return out


class _Layer(nn.Module):
    """A residual block under MONAI's name."""

    def __init__(self, in_channels: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.layer = UnetrBlock(in_channels, channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


@dataclass(frozen=True, kw_only=True)
class SwinUMambaConfig(UShapeConfig):
    """Options of :class:`SwinUMamba`."""

    embed_dim: int = option(96, "Channels of the encoder's first stage, twice those at full resolution.")
    depths: tuple[int, ...] = option((2, 2, 9, 2), "Blocks of each stage of the encoder.")
    d_state: int = option(16, "States per channel of the scan.")
    generation: int = option(2, "Of the published code: 1 (February 2024, without the deepest enlargement) or 2.")
    norm: Norm = option("layer", "Norms over channels, or over the picture as published.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.depths) != STAGES or min(self.depths) < 1 or self.embed_dim < 2 or self.embed_dim % 2:
            raise ValueError("depths must be four positive numbers, and embed_dim even")
        if self.generation not in (1, 2):
            raise ValueError(f"generation must be 1 or 2, got {self.generation}")


class SwinUMamba(UShape):
    """Swin-UMamba; image in, image out, values in [0, 1].

    Keyword options: see :class:`SwinUMambaConfig`.
    """

    config: SwinUMambaConfig
    multiple = 32

    def __init__(self, **options: Any) -> None:
        config = create(SwinUMambaConfig, options)
        super().__init__(config)
        dims = tuple(config.embed_dim * 2**k for k in range(STAGES))
        widths = (config.embed_dim // 2, *dims)
        norm = config.norm
        self.stem = nn.Sequential(nn.Conv2d(config.in_channels, widths[0], 7, 2, 3), make_norm(norm, widths[0]))
        self.vssm_encoder = VSSMEncoder(widths[0], dims, config.depths, config.d_state, patch=2)
        self.encoder1 = _Layer(config.in_channels, widths[0], norm)
        for k, (below, above) in enumerate(pairwise(widths), start=2):
            setattr(self, f"encoder{k}", _Layer(below, above, norm))
        if config.generation == 2:
            self.decoder6 = UnetrUp(widths[4], widths[4], norm)
        for k in range(5, 1, -1):
            setattr(self, f"decoder{k}", UnetrUp(widths[k - 1], widths[k - 2], norm))
        self.decoder1 = _Layer(widths[0], widths[0], norm)
        heads = (nn.Conv2d(width, config.out_channels, 1) for width in widths[:STAGES])
        self.out_layers = nn.ModuleList(_Conv(_Conv(head)) for head in heads)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Outputs at 1, 1/2, 1/4 and 1/8 of the size, of (batch, in, height, width)."""
        first = self.stem(x)
        features = [feature.permute(0, 3, 1, 2) for feature in self.vssm_encoder(first.permute(0, 2, 3, 1))]
        skips = [getattr(self, f"encoder{k}")(y) for k, y in enumerate([x, first, *features[:-1]], start=1)]
        y = self.decoder6(features[-1], skips[4]) if self.config.generation == 2 else skips[4]
        found = []
        for k in range(5, 1, -1):
            y = getattr(self, f"decoder{k}")(y, skips[k - 2])
            found.append(y)
        found[-1] = self.decoder1(found[-1])
        return [head(feature) for head, feature in zip(self.out_layers, reversed(found), strict=True)]

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        return self.outputs(x)[0]

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        yield self.stem, 0.25
        yield from self.vssm_encoder.costs(1 / 16)
        for name, module in self.named_children():
            stem, number = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz_")
            if stem == "encoder" or name == "decoder1":
                yield module, 4.0 ** (1 - int(number))
            elif stem == "decoder":
                yield module, 4.0 ** (2 - int(number))
        for k, head in enumerate(self.out_layers):
            yield head, 4.0**-k


@dataclass(frozen=True, kw_only=True)
class SwinUMambaDConfig(UShapeConfig):
    """Options of :class:`SwinUMambaD`."""

    embed_dim: int = option(96, "Channels of the first stage; each further one has twice as many.")
    depths: tuple[int, ...] = option((2, 2, 9, 2), "Blocks of each stage of the encoder.")
    d_state: int = option(16, "States per channel of the scan.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.depths) != STAGES or min(self.depths) < 1 or self.embed_dim < 1:
            raise ValueError("depths must be four positive numbers, and embed_dim positive")


class _DaggerDecoder(nn.Module):
    """Enlargements, concatenated with the encoder's features, two blocks each."""

    def __init__(self, dims: tuple[int, ...], out_channels: int, d_state: int) -> None:
        super().__init__()
        coarse_first = dims[-2::-1]
        self.stages = nn.ModuleList(Stage(dim, DAGGER_DECODER_BLOCKS, d_state) for dim in coarse_first)
        self.expand_layers = nn.ModuleList(PatchExpand(2 * dim, dim, 2) for dim in coarse_first)
        self.expand_layers.append(PatchExpand(dims[0], dims[0], 4))
        self.seg_layers = nn.ModuleList(Conv2d(dim, out_channels, 1) for dim in (*coarse_first, dims[0]))
        self.concat_back_dim = nn.ModuleList(nn.Linear(2 * dim, dim) for dim in coarse_first)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Outputs at 1, 1/4, 1/8 and 1/16 of the size."""
        y, outputs = features[-1], []
        for k, stage in enumerate(self.stages):
            joined = torch.cat([self.expand_layers[k](y), features[-2 - k]], dim=-1)
            merge = self.concat_back_dim[k]
            assert isinstance(merge, nn.Linear)
            y = stage(apply_linear(merge, joined))
            outputs.append(self.seg_layers[k](y))
        outputs.append(self.seg_layers[-1](self.expand_layers[-1](y)))
        return outputs[::-1]


class SwinUMambaD(UShape):
    """Swin-UMamba-dagger; image in, image out, values in [0, 1].

    Keyword options: see :class:`SwinUMambaDConfig`.
    """

    config: SwinUMambaDConfig
    multiple = 32

    def __init__(self, **options: Any) -> None:
        config = create(SwinUMambaDConfig, options)
        super().__init__(config)
        dims = tuple(config.embed_dim * 2**k for k in range(STAGES))
        self.vssm_encoder = VSSMEncoder(config.in_channels, dims, config.depths, config.d_state, patch=4)
        self.decoder = _DaggerDecoder(dims, config.out_channels, config.d_state)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Outputs at 1, 1/4, 1/8 and 1/16 of the size, of (batch, in, height, width)."""
        return [y.permute(0, 3, 1, 2) for y in self.decoder(self.vssm_encoder(x.permute(0, 2, 3, 1)))]

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        return self.outputs(x)[0]

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        yield from self.vssm_encoder.costs(1 / 16)
        decoder = self.decoder
        for k, (stage, merge) in enumerate(zip(decoder.stages, decoder.concat_back_dim, strict=True)):
            yield stage, 4.0 ** (k - 4)
            yield merge, 4.0 ** (k - 4)
        for k, expand in enumerate(decoder.expand_layers):
            yield expand, 4.0 ** (min(k, 3) - 5)
        for k, head in enumerate(decoder.seg_layers):
            yield head, 4.0 ** (k - 4) if k < 3 else 1.0


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like SwinUMamba's."""
    return "vssm_encoder.patch_embed.proj.weight" in state_dict and "stem.0.weight" in state_dict


def matches_dagger(state_dict: StateDict) -> bool:
    """Whether the keys look like SwinUMambaD's."""
    return (
        "vssm_encoder.patch_embed.proj.weight" in state_dict and "decoder.expand_layers.0.expand.weight" in state_dict
    )


def _infer(state_dict: StateDict, first: str, head: str) -> dict[str, Any]:
    in_channels, out_channels = shape(state_dict, first, 4)[1], shape(state_dict, head, 4)[0]
    block = "vssm_encoder.layers.0.blocks.0."
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "output": output_form(state_dict, in_channels, out_channels),
        "embed_dim": shape(state_dict, block + "ln_1.weight", 1)[0],
        "depths": tuple(count(state_dict, f"vssm_encoder.layers.{k}.blocks.") for k in range(STAGES)),
        "d_state": shape(state_dict, block + "self_attention.A_logs", 2)[1],
    }


def infer(state_dict: StateDict) -> SwinUMambaConfig:
    """Configuration of weights of SwinUMamba.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    return SwinUMambaConfig(
        **_infer(state_dict, "stem.0.weight", "out_layers.0.conv.conv.weight"),
        generation=2 if "decoder6.transp_conv.conv.weight" in state_dict else 1,
        norm="layer" if "stem.1.layer.weight" in state_dict else "instance",
    )


def infer_dagger(state_dict: StateDict) -> SwinUMambaDConfig:
    """Configuration of weights of SwinUMambaD.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    return SwinUMambaDConfig(
        **_infer(state_dict, "vssm_encoder.patch_embed.proj.weight", "decoder.seg_layers.3.weight")
    )


def describe(config: SwinUMambaConfig) -> Descriptor:
    """What inference has to know."""
    return describe_u_shape(config, SwinUMamba.multiple, bytes_per_pixel=4 * 8 * config.embed_dim)


def describe_dagger(config: SwinUMambaDConfig) -> Descriptor:
    """What inference has to know."""
    return describe_u_shape(config, SwinUMambaD.multiple, bytes_per_pixel=4 * 6 * config.embed_dim)
