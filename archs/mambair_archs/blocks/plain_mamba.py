"""PlainMamba (arXiv 2403.17695): continuous two-dimensional scans that know the direction of every step."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels import orders, selective_scan
from mambair_kernels.paths import CONTINUOUS

from .convolution import DepthwiseConv2d
from .local_scan import ChannelsLastBatchNorm
from .pointwise import apply_linear
from .selective_scan import dt_rank, initial_A_log, initial_dt_bias


class RMSNorm(nn.Module):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the channels (arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to the same shape."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class PlainMamba2D(nn.Module):
    """PlainMamba's mixer: four snakes that share all weights, with a learned vector per move added to B.

    Args:
        d_model: channels in and out.
        d_state: states per channel.
        expand: channels of the scan over ``d_model``.
        published: imitate the released code, as its weights need: step size, B and C stay in raster order while only
            the input follows the path, and the bias of the step size is added twice.
    """

    def __init__(self, d_model: int, d_state: int = 16, expand: int = 2, published: bool = False) -> None:
        super().__init__()
        d_inner, rank = expand * d_model, dt_rank(d_model)
        self.published = published
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv2d = DepthwiseConv2d(d_inner, 7, activation="silu")
        self.x_proj = nn.Linear(d_inner, rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(rank, d_inner)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        self.dt_proj.bias = nn.Parameter(initial_dt_bias(d_inner))
        self.A_log = nn.Parameter(initial_A_log(d_inner, d_state))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.direction_Bs = nn.Parameter(torch.randn(5, d_state) * 0.02)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def macs_per_pixel(self, inside: float) -> float:
        """9 * state + 1 per channel and direction."""
        return inside + len(CONTINUOUS) * (9 * self.A_log.numel() + len(self.D))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, d_model) to the same shape."""
        height, width = x.shape[1:3]
        u, gate = apply_linear(self.in_proj, x).chunk(2, dim=-1)
        u = self.conv2d(u).flatten(1, 2)
        y = torch.stack([self._scan(u, k, height, width) for k in range(len(CONTINUOUS))]).sum(0)
        return apply_linear(self.out_proj, y.unflatten(1, (height, width)) * F.silu(gate))

    def _scan(self, u: Tensor, k: int, height: int, width: int) -> Tensor:
        path, d_state = CONTINUOUS[k], self.A_log.shape[1]
        index = path.index(height, width, u.device)
        ordered = u[:, index]
        dt, B, C = self.x_proj(u if self.published else ordered).split([self.dt_proj.in_features, d_state, d_state], -1)
        B = B + self.direction_Bs[orders.moves(index, width)]
        dt = dt @ self.dt_proj.weight.mT
        bias = self.dt_proj.bias * 2 if self.published else self.dt_proj.bias
        A = -self.A_log.exp()
        y = selective_scan(ordered.mT, dt.mT, A, B.mT[:, None], C.mT[:, None], self.D, bias, delta_softplus=True)
        return y.mT[:, path.inverse(height, width, u.device)]


class PlainMambaLayer(nn.Module):
    """A normed, residual mixer, then a depthwise convolution with batch norm and GELU that replaces its input."""

    def __init__(self, dim: int, d_state: int = 16, expand: int = 2, published: bool = False) -> None:
        super().__init__()
        self.norm = RMSNorm(dim)
        self.mamba = PlainMamba2D(dim, d_state, expand, published)
        self.dw = nn.Sequential(DepthwiseConv2d(dim, 3, bias=False), ChannelsLastBatchNorm(dim), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        out: Tensor = self.dw(x + self.mamba(self.norm(x)))
        return out
