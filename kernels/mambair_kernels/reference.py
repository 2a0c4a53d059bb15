"""Sequential selective scan in plain differentiable torch operations: the oracle of every other backend.

It favours being obviously right over speed and memory, and runs in any floating-point type: float64 input keeps a
float64 state, everything else a float32 state.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import paths as scan_paths
from .paths import Paths


def available() -> tuple[bool, str]:
    """Always usable."""
    return True, "plain torch, one step at a time"


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """Type of the recurrent state for an input of type ``dtype``: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """See :func:`mambair_kernels.selective_scan`."""
    batch, channels, length = u.shape
    groups = B.shape[1]
    dtype = state_dtype(u.dtype)
    x, dt, B, C = (tensor.to(dtype) for tensor in (u, delta, B, C))
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    B = B.repeat_interleave(channels // groups, dim=1)  # (batch, channels, state, length)
    C = C.repeat_interleave(channels // groups, dim=1)
    h = x.new_zeros(batch, channels, A.shape[1])
    outputs = []
    for t in range(length):
        step = dt[:, :, t, None]
        h = torch.exp(step * A.to(dtype)) * h + step * B[..., t] * x[:, :, t, None]
        outputs.append((C[..., t] * h).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    return y.to(u.dtype)


def scan_2d(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    paths: Paths,
    c_bias: Tensor | None,
) -> Tensor:
    """See :func:`mambair_kernels.scan_2d`."""
    batch, height, width, channels = x.shape
    length = height * width
    state, rank = A_log.shape[1], dt_proj.shape[2]
    dtype = state_dtype(x.dtype)
    flat = x.reshape(batch, length, channels).to(dtype)
    index = scan_paths.positions(paths, height, width, 0, length, x.device).expand(batch, -1, -1)
    merged = torch.zeros_like(flat)
    for k in range(index.shape[1]):
        order = index[:, k, :, None].expand(-1, -1, channels)
        u = flat.gather(1, order)
        dt, B, C = (u @ x_proj[k].to(dtype).T).split([rank, state, state], dim=-1)
        if c_bias is not None:
            C = C + c_bias.to(dtype)
        rows = slice(k * channels, (k + 1) * channels)
        y = selective_scan(
            u.mT,
            (dt @ dt_proj[k].to(dtype).T).mT,
            -torch.exp(A_log[rows].to(dtype)),
            B.mT[:, None],
            C.mT[:, None],
            D[rows],
            dt_bias[k],
            True,
        )
        merged = merged.scatter_add(1, order, y.mT)
    return merged.reshape(x.shape).to(x.dtype)
