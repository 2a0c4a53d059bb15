"""VM-UNet (arXiv 2402.02491) and Mamba-UNet (arXiv 2402.05079): VMamba's first encoder, mirrored.

VM-UNet adds the encoder's features before each enlargement, Mamba-UNet concatenates them after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks.convolution import Conv2d, conv3x3
from ..blocks.patches import PatchEmbed, PatchExpand, PatchMerging
from ..blocks.pointwise import apply_linear
from ..blocks.stages import Stage, encoder
from ..blocks.vss import ScanBlock
from ..config import StateDict, count, create, option, shape
from ..descriptor import Descriptor
from ..unet import UShape, UShapeConfig, describe_u_shape, output_form

PATCH = 4


@dataclass(frozen=True, kw_only=True)
class ScanUNetConfig(UShapeConfig):
    """Options of both."""

    embed_dim: int = option(96, "Channels of the first stage; each further one has twice as many.")
    depths: tuple[int, ...] = option((2, 2, 2, 2), "Blocks of each stage of the encoder.")
    d_state: int = option(16, "States per channel of the scan.")
    detail: bool = option(False, "Add a convolution of the input to the last features: patches of 4 x 4 lose detail.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.depths) < 2 or min(self.depths) < 1 or self.d_state < 1:
            raise ValueError(f"depths must be two or more positive numbers, got {self.depths}")
        if self.embed_dim < PATCH or self.embed_dim % PATCH:
            raise ValueError(f"embed_dim must be a multiple of {PATCH}, got {self.embed_dim}")

    @property
    def dims(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.embed_dim * 2**k for k in range(len(self.depths)))

    @property
    def multiple(self) -> int:
        """Grid in pixels to which the picture is padded."""
        return PATCH << (len(self.depths) - 1)


@dataclass(frozen=True, kw_only=True)
class VMUNetConfig(ScanUNetConfig):
    """Options of :class:`VMUNet`; the published recipe's are the default."""

    depths_decoder: tuple[int, ...] = option((2, 2, 2, 1), "Blocks of each stage of the decoder, the coarsest first.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.depths_decoder) != len(self.depths) or min(self.depths_decoder) < 1:
            raise ValueError(f"depths_decoder must be {len(self.depths)} positive numbers, got {self.depths_decoder}")


class _ScanUNet(UShape):
    """The common part: patches, encoder, and stages with their cost."""

    config: ScanUNetConfig

    def __init__(self, config: ScanUNetConfig, features: int) -> None:
        super().__init__(config)
        self.multiple = config.multiple
        self.patch_embed = PatchEmbed(config.in_channels, config.embed_dim, PATCH)
        self.layers = encoder(config.dims, config.depths, config.d_state)
        if config.detail:
            self.stem = conv3x3(config.in_channels, features)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Deepest features, and what entered each stage, of channels-last pictures."""
        x = self.patch_embed(x)
        skips = []
        for layer in self.layers:
            skips.append(x)
            x = layer(x)
        return x, skips

    def with_detail(self, features: Tensor, image: Tensor) -> Tensor:
        """Full-resolution features, and those of the image if there are any."""
        return features + self.stem(image) if self.config.detail else features

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        for name, module in self.named_children():
            if name == "layers":
                for k, stage in enumerate(self.layers):
                    yield from _stage(stage, k, self.config.embed_dim)
            elif name in ("layers_up", "concat_back_dim"):
                for k, stage in enumerate(module.children()):
                    yield from _stage(stage, len(self.layers) - 1 - k, self.config.embed_dim)
            else:
                coarse = {"patch_embed": 0, "norm_up": 0, "up": 0, "final_up": 0, "norm": len(self.layers) - 1}
                yield module, _pixels(coarse[name]) if name in coarse else 1.0


def _pixels(level: int) -> float:
    return 4.0**-level / PATCH**2


def _stage(stage: nn.Module, level: int, dim: int) -> Iterator[tuple[nn.Module, float]]:
    """Parts of a stage; a reduction works on the cells of the next level, an enlargement where its width belongs."""
    for module in stage.modules():
        if isinstance(module, PatchExpand):
            yield module, _pixels((module.expand.in_features // dim).bit_length() - 1)
        elif isinstance(module, PatchMerging):
            yield module, _pixels(level + 1)
        elif isinstance(module, ScanBlock) or (module is stage and isinstance(stage, nn.Linear)):
            yield module, _pixels(level)


class VMUNet(_ScanUNet):
    """VM-UNet; image in, image out, values in [0, 1].

    Keyword options: see :class:`VMUNetConfig`.
    """

    config: VMUNetConfig

    def __init__(self, **options: Any) -> None:
        config = create(VMUNetConfig, options)
        dims = config.dims
        features = config.embed_dim // PATCH
        super().__init__(config, features)
        self.layers_up = nn.ModuleList(
            Stage(dim, depth, config.d_state, upsample=PatchExpand(2 * dim, dim, 2) if dim != dims[-1] else None)
            for dim, depth in zip(reversed(dims), config.depths_decoder, strict=True)
        )
        self.final_up = PatchExpand(dims[0], features, PATCH)
        self.final_conv = Conv2d(features, config.out_channels, 1)

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        image = x.permute(0, 2, 3, 1)
        y, skips = self.encode(image)
        for k, stage in enumerate(self.layers_up):
            y = stage(y + skips[-k] if k else y)
        out: Tensor = self.final_conv(self.with_detail(self.final_up(y), image))
        return out.permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class MambaUNetConfig(ScanUNetConfig):
    """Options of :class:`MambaUNet`; the published recipe's are the default."""


class MambaUNet(_ScanUNet):
    """Mamba-UNet; image in, image out, values in [0, 1].

    Keyword options: see :class:`MambaUNetConfig`.
    """

    config: MambaUNetConfig

    def __init__(self, **options: Any) -> None:
        config = create(MambaUNetConfig, options)
        dims, depths = config.dims, config.depths
        super().__init__(config, config.embed_dim)
        self.norm = nn.LayerNorm(dims[-1])
        rest = list(zip(reversed(dims[:-1]), reversed(depths[:-1]), strict=True))
        self.layers_up = nn.ModuleList([PatchExpand(dims[-1], dims[-2], 2)])
        self.layers_up.extend(_decoder_stage(dim, depth, config) for dim, depth in rest)
        self.concat_back_dim = nn.ModuleList([nn.Identity(), *(nn.Linear(2 * dim, dim) for dim, _ in rest)])
        self.norm_up = nn.LayerNorm(dims[0])
        self.up = PatchExpand(dims[0], dims[0], PATCH)
        self.output = Conv2d(dims[0], config.out_channels, 1, bias=False)

    def body(self, x: Tensor) -> Tensor:
        """See :class:`UShape`."""
        image = x.permute(0, 2, 3, 1)
        y, skips = self.encode(image)
        y = self.layers_up[0](self.norm(y))
        for stage, merge, skip in zip(self.layers_up[1:], self.concat_back_dim[1:], skips[-2::-1], strict=True):
            assert isinstance(merge, nn.Linear)
            assert isinstance(stage, Stage)
            y = stage.run(apply_linear(merge, torch.cat([y, skip], dim=-1)))
            y = y if stage.upsample is None else stage.upsample(y)
        out: Tensor = self.output(self.with_detail(self.up(self.norm_up(y)), image))
        return out.permute(0, 3, 1, 2)


def _decoder_stage(dim: int, depth: int, config: MambaUNetConfig) -> Stage:
    up = PatchExpand(dim, dim // 2, 2) if dim > config.embed_dim else None
    return Stage(dim, depth, config.d_state, upsample=up)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like VMUNet's."""
    return "layers_up.0.blocks.0.ln_1.weight" in state_dict


def matches_mamba_unet(state_dict: StateDict) -> bool:
    """Whether the keys look like MambaUNet's."""
    return "concat_back_dim.1.weight" in state_dict and "layers_up.0.expand.weight" in state_dict


def _infer(state_dict: StateDict, head: str) -> dict[str, Any]:
    embed_dim, in_channels = shape(state_dict, "patch_embed.proj.weight", 4)[:2]
    out_channels = shape(state_dict, head, 4)[0]
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "output": output_form(state_dict, in_channels, out_channels),
        "embed_dim": embed_dim,
        "depths": tuple(count(state_dict, f"layers.{k}.blocks.") for k in range(count(state_dict, "layers."))),
        "d_state": shape(state_dict, "layers.0.blocks.0.self_attention.A_logs", 2)[1],
        "detail": "stem.weight" in state_dict,
    }


def infer(state_dict: StateDict) -> VMUNetConfig:
    """Configuration of weights of VMUNet.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    found = _infer(state_dict, "final_conv.weight")
    depths = (count(state_dict, f"layers_up.{k}.blocks.") for k in range(len(found["depths"])))
    return VMUNetConfig(**found, depths_decoder=tuple(depths))


def infer_mamba_unet(state_dict: StateDict) -> MambaUNetConfig:
    """Configuration of weights of MambaUNet.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    return MambaUNetConfig(**_infer(state_dict, "output.weight"))


def describe(config: ScanUNetConfig) -> Descriptor:
    """What inference has to know."""
    return describe_u_shape(config, config.multiple, bytes_per_pixel=4 * 6 * config.embed_dim)
