"""Visual state-space blocks of VMamba (arXiv 2401.10166) and of the U-shapes built from its first version."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels.paths import CROSS_SCAN, RASTER, RASTER_REVERSED, Path

from .pointwise import apply_linear, norm_linear
from .selective_scan import SS2D

Version = Literal["v0", "v05", "v05_noz", "v051d_noz", "v052d_noz"]
"""Forms of VMamba's SS2D: ``noz`` has no gate; ``v051d`` and ``v052d`` read rows only, in one and in two directions."""

DIRECTIONS: dict[Version, tuple[Path, ...]] = {
    "v051d_noz": (RASTER,) * 4,
    "v052d_noz": (RASTER, RASTER, RASTER_REVERSED, RASTER_REVERSED),
}


def ss2d(version: Version, dim: int, d_state: int, ratio: float, conv_bias: bool = True) -> SS2D:
    """SS2D of a version of VMamba with ``int(ratio * dim)`` channels."""
    paths = DIRECTIONS.get(version, CROSS_SCAN)
    return SS2D(dim, d_state, int(ratio * dim), paths, gated=not version.endswith("_noz"), conv_bias=conv_bias)


class MLP(nn.Module):
    """Two linear layers with GELU between; ``gated`` multiplies by a second half of the hidden channels."""

    def __init__(self, dim: int, hidden: int, gated: bool = False) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden * (2 if gated else 1))
        self.fc2 = nn.Linear(hidden, dim)
        self.gated = gated

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """(..., dim) to the same shape; ``norm`` comes first."""
        if self.gated:
            x, gate = norm_linear(norm, self.fc1, x).chunk(2, dim=-1)
            return apply_linear(self.fc2, x * F.gelu(gate))
        return apply_linear(self.fc2, norm_linear(norm, self.fc1, x, "gelu"))


class VMambaBlock(nn.Module):
    """VMamba's block: scan and, unless ``mlp_ratio`` is 0, a perceptron, each normed first and added."""

    def __init__(
        self,
        dim: int,
        d_state: int,
        ssm_ratio: float,
        mlp_ratio: float,
        version: Version = "v05_noz",
        conv_bias: bool = False,
        gated_mlp: bool = False,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.op = ss2d(version, dim, d_state, ssm_ratio, conv_bias)
        if mlp_ratio > 0:
            self.norm2 = nn.LayerNorm(dim)
            self.mlp = MLP(dim, int(dim * mlp_ratio), gated_mlp)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        x = x + self.op(x, self.norm)
        out: Tensor = x + self.mlp(x, self.norm2) if hasattr(self, "mlp") else x
        return out


class ScanBlock(nn.Module):
    """The block of VM-UNet, Mamba-UNet and Swin-UMamba: VMamba's ``v0`` under its older names."""

    def __init__(self, dim: int, d_state: int = 16, ssm_ratio: float = 2.0) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.self_attention = ss2d("v0", dim, d_state, ssm_ratio)
        self.register_buffer("one", torch.ones(dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        out: Tensor = self.self_attention(x, self.ln_1, self.one)
        return out
