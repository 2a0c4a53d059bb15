"""The selective scan as the published pure-torch reference computes it: the frozen baseline of every speed figure.

exp(delta A) and delta B u are materialised for the whole sequence, then a Python loop takes one einsum per step.
Do not improve this file: a faster baseline would make all later figures incomparable.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Same arguments and result as ``mambair_kernels.selective_scan``."""
    dtype = u.dtype
    u, delta, B, C = u.float(), delta.float(), B.float(), C.float()
    if delta_bias is not None:
        delta = delta + delta_bias[:, None].float()
    if delta_softplus:
        delta = F.softplus(delta)
    per_group = u.shape[1] // B.shape[1]
    B = B.repeat_interleave(per_group, dim=1)
    C = C.repeat_interleave(per_group, dim=1)
    decay = torch.exp(torch.einsum("bdl,dn->bdln", delta, A))
    drive = torch.einsum("bdl,bdnl,bdl->bdln", delta, B, u)
    state = A.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    for step in range(u.shape[2]):
        state = decay[:, :, step] * state + drive[:, :, step]
        outputs.append(torch.einsum("bdn,bdn->bd", state, C[:, :, :, step]))
    y = torch.stack(outputs, dim=2)
    if D is not None:
        y = y + u * D[:, None]
    return y.to(dtype)


def cross_scan_core(x: Tensor, x_proj: Tensor, dt_proj: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor) -> Tensor:
    """SS2D's core around that scan, with the four directions copied out as published.

    Arguments as in ``mambair_kernels.scan_2d``: x (batch, height, width, channels); returns the same shape.
    """
    batch, height, width, channels = x.shape
    length, state, rank = height * width, A_log.shape[1], dt_proj.shape[2]
    image = x.permute(0, 3, 1, 2)
    both = torch.stack([image.flatten(2), image.transpose(2, 3).flatten(2)], dim=1)
    sequences = torch.cat([both, both.flip(-1)], dim=1)
    projected = torch.einsum("bkdl,kcd->bkcl", sequences, x_proj)
    dt, B, C = torch.split(projected, [rank, state, state], dim=2)
    dt = torch.einsum("bkrl,kdr->bkdl", dt, dt_proj)
    y = selective_scan(
        sequences.reshape(batch, -1, length),
        dt.reshape(batch, -1, length),
        -torch.exp(A_log.float()),
        B.contiguous(),
        C.contiguous(),
        D.float(),
        dt_bias.reshape(-1).float(),
        True,
    ).view(batch, 4, channels, length)
    backward = y[:, 2:4].flip(-1)
    rows = y[:, 0] + backward[:, 0]
    columns = (y[:, 1] + backward[:, 1]).view(batch, channels, width, height).transpose(2, 3).reshape_as(rows)
    return (rows + columns).view(batch, channels, height, width).permute(0, 2, 3, 1)
