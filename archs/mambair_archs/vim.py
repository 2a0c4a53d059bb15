"""Vim (arXiv 2401.09417): a plain stack of bidirectional Mamba on patches of a picture.

For restoration the mixer alone is of use (:class:`.blocks.mamba.BidirectionalMamba`), at a patch of one pixel and
without position embedding; this is the published encoder and classifier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .blocks.mamba import BidirectionalMamba
from .blocks.plain_mamba import RMSNorm
from .config import StateDict, count, create, option, shape


@dataclass(frozen=True, kw_only=True)
class VimConfig:
    """Options of :class:`Vim`; the default is Vim-Ti."""

    dim: int = option(192, "Channels of the tokens.")
    depth: int = option(24, "Blocks.")
    patch_size: int = option(16, "Edge of a patch, which is the stride as well.")
    in_channels: int = option(3, "Channels of the input.")
    classes: int = option(1000, "Classes, or 0 for the tokens themselves.")
    positions: int = option(196, "Patches that the position embedding is for, or 0 for none.")
    class_token: bool = option(True, "Whether a token for the class stands in the middle.")
    d_state: int = option(16, "States per channel of the scan.")

    def __post_init__(self) -> None:
        if min(self.dim, self.depth, self.patch_size, self.in_channels, self.d_state) < 1:
            raise ValueError("dim, depth, patch_size, in_channels and d_state must be at least 1")
        if self.classes and not self.class_token:
            raise ValueError("classes need a class token")


class VimBlock(nn.Module):
    """A normed mixer, added to its input."""

    def __init__(self, dim: int, d_state: int) -> None:
        super().__init__()
        self.mixer = BidirectionalMamba(dim, d_state)
        self.norm = RMSNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, dim) to the same shape."""
        out: Tensor = x + self.mixer(self.norm(x))
        return out


class _Patches(nn.Module):
    """The convolution of patches under its published name."""

    def __init__(self, in_channels: int, dim: int, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, size, size)


class Vim(nn.Module):
    """Vim on (batch, in, height, width).

    Keyword options: see :class:`VimConfig`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = create(VimConfig, options)
        self.patch_embed = _Patches(config.in_channels, config.dim, config.patch_size)
        if config.class_token:
            self.cls_token = nn.Parameter(torch.randn(1, 1, config.dim) * 0.02)
        if config.positions:
            length = config.positions + config.class_token
            self.pos_embed = nn.Parameter(torch.randn(1, length, config.dim) * 0.02)
        self.layers = nn.ModuleList(VimBlock(config.dim, config.d_state) for _ in range(config.depth))
        self.norm_f = RMSNorm(config.dim)
        if config.classes:
            self.head = nn.Linear(config.dim, config.classes)
        with torch.no_grad():  # the residual stream keeps its size whatever the depth
            for module in self.layers.modules():
                if isinstance(module, BidirectionalMamba):
                    module.out_proj.weight /= config.depth**0.5

    def forward(self, x: Tensor) -> Tensor:
        """Scores (batch, classes), or normed tokens (batch, length, dim).

        Raises:
            ValueError: the picture does not have as many patches as there are position embeddings.
        """
        tokens = self.patch_embed.proj(x).flatten(2).mT
        middle = tokens.shape[1] // 2
        if self.config.positions not in (0, tokens.shape[1]):
            raise ValueError(f"the picture has {tokens.shape[1]} patches, expected {self.config.positions}")
        if self.config.class_token:
            token = self.cls_token.expand(len(tokens), -1, -1)
            tokens = torch.cat([tokens[:, :middle], token, tokens[:, middle:]], dim=1)
        if self.config.positions:
            tokens = tokens + self.pos_embed
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm_f(tokens)
        out: Tensor = self.head(tokens[:, middle]) if self.config.classes else tokens
        return out


def infer(state_dict: StateDict) -> VimConfig:
    """Configuration of weights of :class:`Vim`.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    dim, in_channels, patch_size = shape(state_dict, "patch_embed.proj.weight", 4)[:3]
    token = "cls_token" in state_dict
    return VimConfig(
        dim=dim,
        depth=count(state_dict, "layers."),
        patch_size=patch_size,
        in_channels=in_channels,
        classes=shape(state_dict, "head.weight", 2)[0] if "head.weight" in state_dict else 0,
        positions=shape(state_dict, "pos_embed", 3)[1] - token if "pos_embed" in state_dict else 0,
        class_token=token,
        d_state=shape(state_dict, "layers.0.mixer.A_log", 2)[1],
    )


def load(checkpoint: Mapping[str, Any]) -> Vim:
    """The network of a published checkpoint, whose tensors lie under ``model``, with its weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
        RuntimeError: tensors are missing or left over.
    """
    tensors: StateDict = checkpoint.get("model", checkpoint)
    network = Vim(**vars(infer(tensors)))
    network.load_state_dict(tensors)
    return network
