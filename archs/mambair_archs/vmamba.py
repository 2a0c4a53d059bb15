"""VMamba (arXiv 2401.10166): the hierarchical backbone, its classifier, and its published checkpoints.

Names are those of the checkpoints of release ``v2cls``; the older ones of ``v0`` are renamed by :func:`canonical`. A
backbone is no restoration network by itself; it starts the encoders of U-shapes (:func:`start_encoder`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .blocks.convolution import Conv2d
from .blocks.patches import PatchMerging
from .blocks.vss import Version, VMambaBlock
from .config import InferenceError, StateDict, count, create, option, ratio, shape

PatchEmbed = Literal["v1", "v2"]
Downsample = Literal["v1", "v2", "v3"]

OLDER = (
    (r"^patch_embed\.proj\.", "patch_embed.0."),
    (r"^patch_embed\.norm\.", "patch_embed.2."),
    (r"(\.blocks\.\d+)\.ln_1\.", r"\1.norm."),
    (r"(\.blocks\.\d+)\.self_attention\.", r"\1.op."),
    (r"^norm\.", "classifier.norm."),
    (r"^head\.", "classifier.head."),
)
"""Names of the checkpoints of release ``v0`` and what they are called since."""


@dataclass(frozen=True, kw_only=True)
class VMambaConfig:
    """Options of :class:`VMamba`; the default is VMamba-T (s1l8)."""

    depths: tuple[int, ...] = option((2, 2, 8, 2), "Blocks of each stage.")
    dim: int = option(96, "Channels of the first stage; each further one has twice as many.")
    in_channels: int = option(3, "Channels of the input.")
    classes: int = option(1000, "Classes, or 0 for the backbone with a norm per stage.")
    d_state: int = option(1, "States per channel of the scan.")
    ssm_ratio: float = option(1.0, "Channels of the scan over those of the stage.")
    mlp_ratio: float = option(4.0, "Hidden channels of the perceptron over those of the stage; 0 for none.")
    version: Version = option("v05_noz", "Form of the scan.")
    conv_bias: bool = option(False, "Whether the depthwise convolution has a bias.")
    gated_mlp: bool = option(False, "Whether a second half gates the perceptron.")
    patch_embed: PatchEmbed = option("v2", "One convolution of 4 x 4, or two strided ones.")
    downsample: Downsample = option("v3", "Patch merging, or a convolution of 2 x 2 or 3 x 3.")

    def __post_init__(self) -> None:
        if not self.depths or min(self.depths) < 1 or self.dim < 2 or self.classes < 0:
            raise ValueError(f"depths must be positive numbers, dim at least 2 and classes not negative: {self}")


def preset(name: str) -> VMambaConfig:
    """A published configuration: ``v0-T``, ``v0-S``, ``v0-B``, ``s1l8-T``, ``s2l15-S``, ``s2l15-B`` and the like.

    Raises:
        KeyError: there is none of this name.
    """
    first = {"d_state": 16, "ssm_ratio": 2.0, "mlp_ratio": 0.0, "version": "v0", "conv_bias": True}
    first |= {"patch_embed": "v1", "downsample": "v1"}
    presets: dict[str, dict[str, Any]] = {
        "v0-T": first | {"depths": (2, 2, 9, 2)},
        "v0-S": first | {"depths": (2, 2, 27, 2)},
        "v0-B": first | {"depths": (2, 2, 27, 2), "dim": 128},
        "s1l8-T": {},
        "s2l5-T": {"depths": (2, 2, 5, 2), "ssm_ratio": 2.0},
        "s2l15-S": {"depths": (2, 2, 15, 2), "ssm_ratio": 2.0},
        "s1l20-S": {"depths": (2, 2, 20, 2)},
        "s2l15-B": {"depths": (2, 2, 15, 2), "ssm_ratio": 2.0, "dim": 128},
        "s1l20-B": {"depths": (2, 2, 20, 2), "dim": 128},
    }
    return VMambaConfig(**presets[name])


class _Stage(nn.Module):
    """Blocks, and a reduction unless it is the last stage."""

    def __init__(self, config: VMambaConfig, level: int) -> None:
        super().__init__()
        dim = config.dim * 2**level
        self.blocks = nn.ModuleList(
            VMambaBlock(
                dim,
                config.d_state,
                config.ssm_ratio,
                config.mlp_ratio,
                config.version,
                config.conv_bias,
                config.gated_mlp,
            )
            for _ in range(config.depths[level])
        )
        last = level == len(config.depths) - 1
        self.downsample = None if last else _downsample(config.downsample, dim)

    def forward(self, x: Tensor) -> Tensor:
        """The blocks alone."""
        for block in self.blocks:
            x = block(x)
        return x


def _patch_embed(version: PatchEmbed, in_channels: int, dim: int) -> nn.Sequential:
    """Places without parameters are those of permutations in the published code."""
    if version == "v1":
        return nn.Sequential(Conv2d(in_channels, dim, 4, 4), nn.Identity(), nn.LayerNorm(dim))
    first = Conv2d(in_channels, dim // 2, 3, 2, 1), nn.Identity(), nn.LayerNorm(dim // 2), nn.Identity(), nn.GELU()
    return nn.Sequential(*first, Conv2d(dim // 2, dim, 3, 2, 1), nn.Identity(), nn.LayerNorm(dim))


def _downsample(version: Downsample, dim: int) -> nn.Module:
    if version == "v1":
        return PatchMerging(dim, pad=True)
    conv = Conv2d(dim, 2 * dim, 2, 2) if version == "v2" else Conv2d(dim, 2 * dim, 3, 2, 1)
    return nn.Sequential(nn.Identity(), conv, nn.Identity(), nn.LayerNorm(2 * dim))


class VMamba(nn.Module):
    """VMamba on (batch, in, height, width) of any size from 4 pixels.

    Keyword options: see :class:`VMambaConfig`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = create(VMambaConfig, options)
        self.patch_embed = _patch_embed(config.patch_embed, config.in_channels, config.dim)
        self.layers = nn.ModuleList(_Stage(config, level) for level in range(len(config.depths)))
        dims = [config.dim * 2**level for level in range(len(config.depths))]
        if config.classes:
            self.classifier = nn.ModuleDict(
                {"norm": nn.LayerNorm(dims[-1]), "head": nn.Linear(dims[-1], config.classes)}
            )
        else:
            for level, dim in enumerate(dims):
                self.add_module(f"outnorm{level}", nn.LayerNorm(dim))
        self.apply(_initialise)

    def features(self, x: Tensor) -> list[Tensor]:
        """What every stage gives before its reduction, (batch, height, width, channels) each."""
        x = self.patch_embed(x.permute(0, 2, 3, 1))
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
            assert isinstance(layer, _Stage)
            x = x if layer.downsample is None else layer.downsample(x)
        return found

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Scores (batch, classes), or without classes the normed features (batch, channels, height, width) by stage."""
        found = self.features(x)
        if self.config.classes:
            scores: Tensor = self.classifier["head"](self.classifier["norm"](found[-1]).mean((1, 2)))
            return scores
        return [getattr(self, f"outnorm{level}")(y).permute(0, 3, 1, 2) for level, y in enumerate(found)]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def canonical(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of a published checkpoint, of either release, under the names of :class:`VMamba`.

    They lie under ``model`` in the files. Linear layers stored as convolutions of one pixel lose those two axes.
    """
    tensors = checkpoint.get("model", checkpoint)
    found = {}
    for name, tensor in tensors.items():
        for older, newer in OLDER:
            name = re.sub(older, newer, name)
        linear = re.search(r"(in_proj|out_proj|fc1|fc2|reduction)\.weight$", name)
        found[name] = tensor.flatten(1) if linear and tensor.dim() == 4 else tensor
    return found


def infer(state_dict: StateDict) -> VMambaConfig:
    """Configuration of tensors under the names of :class:`VMamba`.

    Of the forms without a gate, whose tensors are alike, it is ``v05_noz``.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    block = "layers.0.blocks.0."
    inner, d_state = shape(state_dict, block + "op.A_logs", 2)
    inner //= 4
    dim = shape(state_dict, block + "norm.weight", 1)[0]
    gated = shape(state_dict, block + "op.in_proj.weight", 2)[0] == 2 * inner
    hidden = shape(state_dict, block + "mlp.fc2.weight", 2)[1] if block + "mlp.fc2.weight" in state_dict else 0
    two = "patch_embed.5.weight" in state_dict
    merging: Downsample = "v1"
    if "layers.0.downsample.1.weight" in state_dict:
        merging = "v2" if shape(state_dict, "layers.0.downsample.1.weight", 4)[2] == 2 else "v3"
    head = "classifier.head.weight"
    if not count(state_dict, "layers."):
        raise InferenceError("layers.0 is missing")
    return VMambaConfig(
        depths=tuple(count(state_dict, f"layers.{k}.blocks.") for k in range(count(state_dict, "layers."))),
        dim=dim,
        in_channels=shape(state_dict, "patch_embed.0.weight", 4)[1],
        classes=shape(state_dict, head, 2)[0] if head in state_dict else 0,
        d_state=d_state,
        ssm_ratio=ratio(inner, dim),
        mlp_ratio=ratio(hidden, dim) if hidden else 0.0,
        version=("v0" if block + "op.conv2d.bias" in state_dict and not hidden else "v05") if gated else "v05_noz",
        conv_bias=block + "op.conv2d.bias" in state_dict,
        gated_mlp=bool(hidden) and shape(state_dict, block + "mlp.fc1.weight", 2)[0] == 2 * hidden,
        patch_embed="v2" if two else "v1",
        downsample=merging,
    )


def load(checkpoint: Mapping[str, Any]) -> VMamba:
    """The network of a published checkpoint of either release, with its weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
        RuntimeError: tensors are missing or left over.
    """
    tensors = canonical(checkpoint)
    config = infer(tensors)
    with torch.device("meta"):
        network = VMamba(**vars(config))
    network.load_state_dict(tensors, assign=True)
    return network


def start_encoder(network: nn.Module, checkpoint: Mapping[str, Any]) -> list[str]:
    """Start the encoder of VM-UNet, Mamba-UNet or Swin-UMamba with a checkpoint of VMamba ``v0``.

    As in the published code, the decoders of the former two are started as well, mirrored. Tensors of another shape, as
    the patches of another size, stay as they are.

    Returns:
        Names of the tensors that were set.

    Raises:
        InferenceError: not one tensor fits.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in canonical(checkpoint).items():
        name = re.sub(r"(\.blocks\.\d+)\.norm\.", r"\1.ln_1.", name).replace(".op.", ".self_attention.")
        name = name.replace("patch_embed.0.", "patch_embed.proj.").replace("patch_embed.2.", "patch_embed.norm.")
        separate = re.sub(r"^layers\.(\d+)\.downsample\.", r"downsamples.\1.", name)
        mirrored = re.sub(r"^layers\.(\d+)\.blocks\.", lambda found: f"layers_up.{3 - int(found[1])}.blocks.", name)
        tensors |= {name: tensor, f"vssm_encoder.{separate}": tensor, mirrored: tensor}
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and tensor.shape == own[name].shape}
    if not any(name.endswith("patch_embed.proj.weight") for name in fitting):  # what follows knows other patches
        fitting = {name: tensor for name, tensor in fitting.items() if "patch_embed." not in name}
    if not any(".blocks." in name for name in fitting):
        raise InferenceError("not one block of the checkpoint fits this network")
    network.load_state_dict(fitting, strict=False)
    return sorted(fitting)
