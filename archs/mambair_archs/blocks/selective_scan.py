"""Selective-scan layers: the bare scan with its parameters, and SS2D, which scans an image in four directions."""

import math

import torch
from torch import Tensor, nn

from mambair_kernels import CROSS_SCAN, Path, Paths, scan_2d
from mambair_kernels.fused import gated_norm_linear

from .convolution import DepthwiseConv2d
from .merging import Merge, PathGate
from .pointwise import apply_linear, norm_linear, norm_linear_conv

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 0.1, 1e-4


def dt_rank(channels: int) -> int:
    """Rank of the step-size projection for a layer of ``channels`` (Mamba's ``auto``)."""
    return math.ceil(channels / 16)


def initial_dt_bias(*shape: int) -> Tensor:
    """Biases whose softplus is log-uniform in [0.001, 0.1] (Mamba, arXiv 2312.00752, section 3.6)."""
    bias = torch.empty(*shape)
    if bias.is_meta:  # to compute nothing, torch would import its compiler
        return bias
    log_dt = bias.uniform_(math.log(DT_MIN), math.log(DT_MAX))
    dt = log_dt.exp().clamp(min=DT_FLOOR)
    return dt + torch.log(-torch.expm1(-dt))


def initial_A_log(channels: int, d_state: int) -> Tensor:
    """Logarithm of S4D-real, A = -1, -2, ..., -d_state in every channel: (channels, d_state)."""
    return torch.tensor([[math.log(n) for n in range(1, d_state + 1)]] * channels)


class SelectiveScan2d(nn.Module):
    """Scan of an image along ``directions`` paths with input-dependent step size, B and C.

    Initialisation as in Mamba (arXiv 2312.00752, section 3.6): A is S4D-real, step sizes are log-uniform in
    [0.001, 0.1], D is one. Parameter names are those of the published checkpoints.
    """

    def __init__(self, channels: int, d_state: int, rank: int, directions: int) -> None:
        super().__init__()
        bound = channels**-0.5
        self.x_proj_weight = nn.Parameter(torch.empty(directions, rank + 2 * d_state, channels).uniform_(-bound, bound))
        bound = rank**-0.5
        self.dt_projs_weight = nn.Parameter(torch.empty(directions, channels, rank).uniform_(-bound, bound))
        self.dt_projs_bias = nn.Parameter(initial_dt_bias(directions, channels))
        self.A_logs = nn.Parameter(initial_A_log(directions * channels, d_state))
        self.Ds = nn.Parameter(torch.ones(directions * channels))

    def macs_per_pixel(self, inside: float) -> float:
        """9 * state + 1 per channel and direction, and what makes step size, B and C (state-spaces/mamba issue 110)."""
        projections = self.x_proj_weight.numel() + self.dt_projs_weight.numel()
        return inside + projections + 9 * self.A_logs.numel() + self.Ds.numel()

    def scan(self, x: Tensor, paths: Paths = CROSS_SCAN, c_bias: Tensor | None = None) -> Tensor:
        """Scan x (batch, height, width, channels) along ``paths``; see :func:`mambair_kernels.scan_2d`."""
        return scan_2d(
            x, self.x_proj_weight, self.dt_projs_weight, self.dt_projs_bias, self.A_logs, self.Ds, paths, c_bias
        )

    def scan_groups(self, x: Tensor, paths: tuple[Path, ...]) -> list[Tensor]:
        """Scan groups of channels along a path each, given x (batch, height, width, paths * channels).

        Returns one (batch, height, width, channels) per path.
        """
        parts = x.chunk(len(paths), -1)
        return [self.scan_along(k, part, path) for k, (part, path) in enumerate(zip(parts, paths, strict=True))]

    def scan_along(self, number: int, x: Tensor, path: Path) -> Tensor:
        """Scan x (batch, height, width, channels) along one path with the weights of direction ``number``."""
        one, rows = slice(number, number + 1), slice(number * x.shape[-1], (number + 1) * x.shape[-1])
        projections = self.x_proj_weight[one], self.dt_projs_weight[one], self.dt_projs_bias[one]
        return scan_2d(x, *projections, self.A_logs[rows], self.Ds[rows], (path,))


class SS2D(SelectiveScan2d):
    """Two-dimensional selective scan module (VMamba, arXiv 2401.10166) with a depthwise convolution.

    Args:
        d_model: channels in and out.
        d_state: states per channel.
        d_inner: channels of the scan.
        paths: one per direction.
        gated: whether the other half of the first projection gates the result (VMamba's ``v0`` and ``v05``; not
            ``v05_noz``).
        conv_bias: whether the convolution has a bias.
        merging: what becomes of the results of the paths, see :class:`.merging.Scan`.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        d_inner: int,
        paths: tuple[Path, ...] = CROSS_SCAN,
        gated: bool = True,
        conv_bias: bool = True,
        merging: Merge = "sum",
    ) -> None:
        channels = d_inner // len(paths) if merging == "concat" else d_inner
        super().__init__(channels, d_state, dt_rank(d_model), directions=len(paths))
        self.paths, self.gated, self.merging = paths, gated, merging
        if merging == "gated":
            self.gating = PathGate(d_inner, len(paths))
        self.in_proj = nn.Linear(d_model, (2 if gated else 1) * d_inner, bias=False)
        self.conv2d = DepthwiseConv2d(d_inner, 3, activation="silu", bias=conv_bias)
        self.out_norm = nn.LayerNorm(d_inner)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def merge(self, x: Tensor) -> Tensor:
        """Scan (batch, height, width, d_inner) along every path, and merge the results."""
        if self.merging == "concat":
            return torch.cat(self.scan_groups(x, self.paths), -1)
        if self.merging == "gated":
            gated: Tensor = self.gating([self.scan_along(k, x, path) for k, path in enumerate(self.paths)])
            return gated
        y = self.scan(x, self.paths)
        return y / len(self.paths) if self.merging == "mean" else y

    def forward(self, x: Tensor, norm: nn.LayerNorm | None = None, skip_scale: Tensor | None = None) -> Tensor:
        """(batch, height, width, d_model) to the same shape.

        ``norm`` is applied to the input first. With ``skip_scale`` (d_model,) the result includes ``x * skip_scale``.
        """
        if norm is None:
            projected = apply_linear(self.in_proj, x)
            channels = self.conv2d.in_channels
            u, gate = self.conv2d(projected[..., :channels]), projected[..., channels:]
        else:
            u, gate = norm_linear_conv(norm, self.in_proj, self.conv2d, x)
        y = self.merge(u)
        return self.project(y, gate if self.gated else None, None if skip_scale is None else (x, skip_scale))

    def project(self, y: Tensor, gate: Tensor | None, skip: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Norm, gate and projection of (batch, height, width, d_inner); ``skip`` is a residual and its scale."""
        norm = self.out_norm
        if gate is None:
            y = norm_linear(norm, self.out_proj, y)
            return y if skip is None else y + skip[0] * skip[1]
        residual, scale = skip or (None, None)
        return gated_norm_linear(
            y, gate, norm.weight, norm.bias, self.out_proj.weight, residual=residual, scale=scale, eps=norm.eps
        )
