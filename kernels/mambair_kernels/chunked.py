"""Selective scan in pure torch with bounded memory: the backend for any device without a kernel of its own.

The sequence is worked through in chunks short enough for the expanded tensors to stay in the cache; only the state
is carried from one chunk to the next. Inside a chunk everything but the recurrence itself is one operation over all
steps, and the recurrence is one fused multiply-add per step over all sequences, states and channels. The backward pass
recomputes the states of a chunk, so nothing of size (batch, channels, length, state) ever exists.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import paths as scan_paths
from .paths import Paths
from .reference import state_dtype

CHUNK_ELEMENTS = 1 << 20
MIN_CHUNK, MAX_CHUNK = 8, 512


def available() -> tuple[bool, str]:
    """Always usable."""
    return True, "plain torch in chunks, bounded memory"


def chunk_length(elements_per_step: int) -> int:
    """Steps per chunk for ``elements_per_step`` = batch * groups * state * channels."""
    return max(MIN_CHUNK, min(MAX_CHUNK, CHUNK_ELEMENTS // max(elements_per_step, 1)))


def _expand(dt: Tensor, u: Tensor, A: Tensor, B: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Decay factors and states of one chunk, both (time, batch, groups, state, channels)."""
    decay = (dt.unsqueeze(-2) * A).exp_()
    states = (dt * u).unsqueeze(-2) * B.unsqueeze(-1)
    for state, factor in zip(states.unbind(0), decay.unbind(0), strict=True):
        h = state.addcmul_(factor, h)
    return decay, states


class ChunkScan(torch.autograd.Function):
    """One chunk of the recurrence, time-major.

    u, dt: (time, batch, groups, channels); A: (groups, state, channels); B, C: (time, batch, groups, state);
    h: state before the chunk, (batch, groups, state, channels). Returns y shaped like u and the state after the chunk.
    The gradient is the closed form of Mamba (arXiv 2312.00752, appendix D), with the states recomputed.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Scan; only the inputs are kept."""
        _, states = _expand(dt, u, A, B, h)
        ctx.save_for_backward(u, dt, A, B, C, h)
        return (C.unsqueeze(-2) @ states).squeeze(-2), states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_h: Tensor) -> tuple[Tensor, ...]:
        """Gradients of u, dt, A, B, C and h."""
        u, dt, A, B, C, h = ctx.saved_tensors
        decay, states = _expand(dt, u, A, B, h)
        grad_C = (states @ grad_y.unsqueeze(-1)).squeeze(-1)
        grad_states = C.unsqueeze(-1) * grad_y.unsqueeze(-2)
        grad_states[-1] += grad_h
        for t in range(len(u) - 2, -1, -1):
            grad_states[t].addcmul_(decay[t + 1], grad_states[t + 1])
        grad_first = decay[0] * grad_states[0]
        grad_input = (B.unsqueeze(-2) @ grad_states).squeeze(-2)
        grad_B = (grad_states @ (dt * u).unsqueeze(-1)).squeeze(-1)
        grad_exponent = grad_states.mul_(decay)
        grad_exponent[1:].mul_(states[:-1])
        grad_exponent[0].mul_(h)
        grad_dt = (grad_exponent * A).sum(-2).addcmul_(grad_input, u)
        grad_A = (grad_exponent * dt.unsqueeze(-2)).sum((0, 1))
        return grad_input * dt, grad_dt, grad_A, grad_B, grad_C, grad_first


def _scan_chunk(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    result: tuple[Tensor, Tensor] = ChunkScan.apply(u, dt, A, B, C, h)  # type: ignore[no-untyped-call]
    return result


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
    groups, state = B.shape[1:3]
    dtype = state_dtype(u.dtype)
    split = (batch, groups, channels // groups)
    A = A.to(dtype).reshape(groups, -1, state).mT.contiguous()
    bias = None if delta_bias is None else delta_bias.to(dtype).reshape(groups, -1)
    h = A.new_zeros(batch, *A.shape)
    step = chunk_length(h.numel())
    outputs = []
    for start in range(0, length, step):
        chunk = slice(start, min(start + step, length))
        x = u[..., chunk].to(dtype).unflatten(1, split[1:]).movedim(-1, 0).contiguous()
        dt = delta[..., chunk].to(dtype).unflatten(1, split[1:]).movedim(-1, 0).contiguous()
        if bias is not None:
            dt = dt + bias
        if delta_softplus:
            dt = F.softplus(dt)
        b, c = (tensor[..., chunk].to(dtype).movedim(-1, 0).contiguous() for tensor in (B, C))
        y, h = _scan_chunk(x, dt, A, b, c, h)
        if D is not None:
            y = y + D.to(dtype).reshape(groups, -1) * x
        outputs.append(y.to(u.dtype).flatten(2).movedim(0, -1))
    return torch.cat(outputs, dim=-1)


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
    """See :func:`mambair_kernels.scan_2d`. All paths advance together; only a chunk of each is ever gathered."""
    batch, height, width, channels = x.shape
    length, directions = height * width, scan_paths.count(paths)
    state, rank = A_log.shape[1], dt_proj.shape[2]
    dtype = state_dtype(x.dtype)
    flat = x.reshape(batch * length, channels).to(dtype)
    images = torch.arange(batch, device=x.device).mul_(length)[:, None, None]
    A = -torch.exp(A_log.to(dtype)).reshape(directions, channels, state).mT.contiguous()
    D = D.to(dtype).reshape(directions, channels)
    x_proj, dt_proj, dt_bias = x_proj.to(dtype), dt_proj.to(dtype), dt_bias.to(dtype)
    h = A.new_zeros(batch, *A.shape)
    merged = torch.zeros_like(flat)
    step = chunk_length(h.numel())
    for start in range(0, length, step):
        stop = min(start + step, length)
        index = (images + scan_paths.positions(paths, height, width, start, stop, x.device)).permute(2, 0, 1).flatten()
        u = flat[index].view(stop - start, batch, directions, channels)
        dt, B, C = torch.einsum("tbkc,kpc->tbkp", u, x_proj).split([rank, state, state], dim=-1)
        dt = F.softplus(torch.einsum("tbkr,kcr->tbkc", dt, dt_proj) + dt_bias)
        if c_bias is not None:
            C = C + c_bias[:, start:stop].to(dtype).movedim(1, 0).unsqueeze(2)
        y, h = _scan_chunk(u, dt.contiguous(), A, B, C, h)
        merged.index_add_(0, index, torch.addcmul(y, D, u).view(-1, channels))
    return merged.reshape(x.shape).to(x.dtype)
