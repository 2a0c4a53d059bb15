"""Selective scan in pure torch with bounded memory: the backend for any device without a kernel of its own.

The sequence is worked through in chunks short enough for the expanded tensors to stay in the cache; only the state
is carried from one chunk to the next. Inside a chunk everything but the recurrence itself is one operation over all
steps, and the recurrence is one fused multiply-add per step over all sequences, states and channels. The backward pass
keeps the state before every chunk and recomputes those inside, so nothing of size (batch, channels, length, state) ever
exists. Both passes are custom operations with closed-form gradients: a compiler need not unroll the chunks, and an
exported network is not bound to their number.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import paths as scan_paths
from .operations import LEAVES, Gradients, ImageScan, SequenceScan, define_keeping, takes_image, takes_sequences
from .reference import state_dtype

CHUNK_ELEMENTS = 1 << 20
MIN_CHUNK, MAX_CHUNK = 8, 512
KEPT = 4  # states before the chunks are kept for the backward pass up to that many times the size of the output


def available() -> tuple[bool, str]:
    """Always usable."""
    return True, "plain torch in chunks, bounded memory"


def chunk_length(elements_per_step: int) -> int:
    """Steps per chunk for ``elements_per_step`` = batch * groups * state * channels."""
    return max(MIN_CHUNK, min(MAX_CHUNK, CHUNK_ELEMENTS // max(elements_per_step, 1)))


@takes_sequences
def selective_scan(inputs: SequenceScan) -> Tensor:
    """See :func:`mambair_kernels.selective_scan`."""
    return _selective_scan(inputs)


@takes_image
def scan_2d(inputs: ImageScan) -> Tensor:
    """See :func:`mambair_kernels.scan_2d`. All paths advance together; only a chunk of each is ever gathered."""
    return _scan_2d(inputs)


# One chunk, time-major. u, dt: (time, batch, groups, channels); A: (groups, state, channels);
# B, C: (time, batch, groups, state); h: state before the chunk, (batch, groups, state, channels).


def _expand(dt: Tensor, u: Tensor, A: Tensor, B: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Decay factors and states of one chunk, both (time, batch, groups, state, channels)."""
    decay = (dt.unsqueeze(-2) * A).exp_()
    states = (dt * u).unsqueeze(-2) * B.unsqueeze(-1)
    for state, factor in zip(states.unbind(0), decay.unbind(0), strict=True):
        h = state.addcmul_(factor, h)
    return decay, states


def _scan_chunk(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs shaped like u, and the state after the chunk."""
    _, states = _expand(dt, u, A, B, h)
    return (C.unsqueeze(-2) @ states).squeeze(-2), states[-1].clone()


def _chunk_gradients(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor, grad_y: Tensor, grad_h: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of u, dt, A, B, C and h: the closed form of Mamba (arXiv 2312.00752, appendix D)."""
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


Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
"""u, dt, B and C of one chunk."""


def _room(states: tuple[int, ...], length: int, outputs: int, keep: bool) -> tuple[int, ...]:
    """Shape of the kept states before all chunks, given that of one and the outputs per step; empty if not kept."""
    step = chunk_length(math.prod(states))
    if not keep or math.prod(states) > KEPT * step * outputs:
        return (0,)
    return ((length + step - 1) // step, *states)


class _Job:
    """A scan in the type of the state, loaded chunk by chunk."""

    def __init__(self, A: Tensor, batch: int, length: int) -> None:
        self.A = A.mT.contiguous()
        self.states = (batch, *self.A.shape)
        step = chunk_length(math.prod(self.states))
        self.chunks = [slice(start, min(start + step, length)) for start in range(0, length, step)]

    def load(self, chunk: slice) -> Inputs:
        """A chunk as :data:`Inputs`."""
        raise NotImplementedError

    def starts(self, kept: Tensor) -> list[Tensor]:
        """State before every chunk: those that were kept, or else computed."""
        if kept.numel():
            return list(kept.unbind(0))
        states = [self.A.new_zeros(self.states)]
        for chunk in self.chunks[:-1]:
            u, dt, B, _ = self.load(chunk)
            states.append(_expand(dt, u, self.A, B, states[-1])[1][-1].clone())
        return states


class _Sequences(_Job):
    def __init__(self, inputs: SequenceScan) -> None:
        self.u, self.delta, A, self.B, self.C, D, bias, self.softplus = inputs
        self.dtype = dtype = state_dtype(self.u.dtype)
        self.groups, state = self.B.shape[1:3]
        super().__init__(A.to(dtype).reshape(self.groups, -1, state), len(self.u), self.u.shape[2])
        self.D, self.bias = (None if each is None else each.to(dtype).view(self.groups, -1) for each in (D, bias))

    def rows(self, tensor: Tensor, chunk: slice) -> Tensor:
        """A chunk of something shaped like u, (time, batch, groups, channels)."""
        part = tensor[..., chunk].to(self.dtype).unflatten(1, (self.groups, -1))
        time_major: Tensor = part.movedim(-1, 0).contiguous()
        return time_major

    def steps(self, chunk: slice) -> Tensor:
        """Step sizes before the softplus."""
        raw = self.rows(self.delta, chunk)
        return raw if self.bias is None else raw + self.bias

    def load(self, chunk: slice) -> Inputs:
        raw = self.steps(chunk)
        B, C = (tensor[..., chunk].to(self.dtype).movedim(-1, 0).contiguous() for tensor in (self.B, self.C))
        return self.rows(self.u, chunk), F.softplus(raw) if self.softplus else raw, B, C


def _kept_of_sequences(inputs: SequenceScan, keep: bool) -> Tensor:
    u, B = inputs.u, inputs.B
    batch, channels, length = u.shape
    states = (batch, B.shape[1], B.shape[2], channels // B.shape[1])
    return u.new_empty(_room(states, length, batch * channels, keep), dtype=state_dtype(u.dtype))


def _scan_sequences(inputs: SequenceScan, keep: bool) -> tuple[Tensor, Tensor]:
    job, kept = _Sequences(inputs), _kept_of_sequences(inputs, keep)
    out = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
    h = job.A.new_zeros(job.states)
    for i, chunk in enumerate(job.chunks):
        if len(kept):
            kept[i] = h
        x, dt, b, c = job.load(chunk)
        y, h = _scan_chunk(x, dt, job.A, b, c, h)
        y = y if job.D is None else torch.addcmul(y, job.D, x)
        out[..., chunk] = y.flatten(2).movedim(0, -1)
    return out, kept


def _sequence_gradients(grad_out: Tensor, inputs: SequenceScan, kept: Tensor) -> Gradients:
    job, (u, delta, A, B, C, D, delta_bias, softplus) = _Sequences(inputs), inputs
    grads = [torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in (u, delta, B, C)]
    grad_A, grad_h = torch.zeros_like(job.A), job.A.new_zeros(job.states)
    grad_D, grad_bias = job.A.new_zeros(2, job.groups, job.A.shape[2]).unbind()
    for chunk, start in zip(reversed(job.chunks), reversed(job.starts(kept)), strict=True):
        x, dt, b, c = job.load(chunk)
        grad_y = job.rows(grad_out, chunk)
        found_u, found_dt, found_A, found_B, found_C, grad_h = _chunk_gradients(
            x, dt, job.A, b, c, start, grad_y, grad_h
        )
        if softplus:
            found_dt *= job.steps(chunk).sigmoid()
        if job.D is not None:
            found_u.addcmul_(job.D, grad_y)
        grad_A += found_A
        grad_D += (grad_y * x).sum((0, 1))
        grad_bias += found_dt.sum((0, 1))
        for grad, found in zip(grads, (found_u.flatten(2), found_dt.flatten(2), found_B, found_C), strict=True):
            grad[..., chunk] = found.movedim(0, -1)
    options = (
        None if each is None else grad.flatten().to(each.dtype, copy=True)
        for each, grad in ((D, grad_D), (delta_bias, grad_bias))
    )
    return *grads[:2], grad_A.mT.reshape(A.shape).to(A.dtype, copy=True), *grads[2:], *options


_selective_scan = define_keeping(
    "chunked_selective_scan", SequenceScan, _scan_sequences, _sequence_gradients, _kept_of_sequences
)


class _Image(_Job):
    """Pixels are gathered and projected chunk by chunk."""

    def __init__(self, inputs: ImageScan) -> None:
        dtype = state_dtype(inputs.x.dtype)
        leaves: list[Any] = [None if each is None else each.to(dtype) for each in inputs[:LEAVES]]
        flat, self.x_proj, self.dt_proj, self.dt_bias, A_log, D, self.c_bias = leaves
        self.paths = inputs.paths
        self.batch, self.height, self.width, self.channels = inputs.x.shape
        self.directions, self.rank, self.state = self.dt_proj.shape[0], self.dt_proj.shape[2], A_log.shape[1]
        A = -torch.exp(A_log).reshape(self.directions, self.channels, self.state)
        super().__init__(A, self.batch, self.height * self.width)
        self.flat, self.D = flat.reshape(-1, self.channels), D.reshape(self.directions, self.channels)

    def places(self, chunk: slice) -> Tensor:
        """Rows of ``flat`` that a chunk visits, in the order (time, batch, paths), flattened."""
        device, length = self.flat.device, self.height * self.width
        images = torch.arange(self.batch, device=device).mul_(length)[:, None, None]
        index = scan_paths.positions(self.paths, self.height, self.width, chunk.start, chunk.stop, device)
        return (images + index).permute(2, 0, 1).flatten()

    def gather(self, flat: Tensor, chunk: slice) -> Tensor:
        """A chunk of every path, (time, batch, paths, channels)."""
        return flat[self.places(chunk)].view(-1, self.batch, self.directions, self.channels)

    def project(self, u: Tensor, chunk: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Low-rank steps, steps before the softplus, B and C."""
        low, B, C = torch.einsum("tbkc,kpc->tbkp", u, self.x_proj).split([self.rank, self.state, self.state], dim=-1)
        raw = torch.einsum("tbkr,kcr->tbkc", low, self.dt_proj) + self.dt_bias
        if self.c_bias is not None:
            C = C + self.c_bias[:, chunk].movedim(1, 0).unsqueeze(2)
        return low, raw.contiguous(), B, C

    def load(self, chunk: slice) -> Inputs:
        u = self.gather(self.flat, chunk)
        _, raw, B, C = self.project(u, chunk)
        return u, F.softplus(raw), B, C


def _kept_of_image(inputs: ImageScan, keep: bool) -> Tensor:
    batch, height, width, channels = inputs.x.shape
    states = (batch, len(inputs.dt_proj), inputs.A_log.shape[1], channels)
    room = _room(states, height * width, batch * channels, keep)
    return inputs.x.new_empty(room, dtype=state_dtype(inputs.x.dtype))


def _scan_image(inputs: ImageScan, keep: bool) -> tuple[Tensor, Tensor]:
    job, kept = _Image(inputs), _kept_of_image(inputs, keep)
    merged = torch.zeros_like(job.flat, memory_format=torch.contiguous_format)
    h = job.A.new_zeros(job.states)
    for i, chunk in enumerate(job.chunks):
        if len(kept):
            kept[i] = h
        u, dt, B, C = job.load(chunk)
        y, h = _scan_chunk(u, dt, job.A, B, C, h)
        merged.index_add_(0, job.places(chunk), torch.addcmul(y, job.D, u).view(-1, job.channels))
    return merged.view(inputs.x.shape).to(inputs.x.dtype), kept


def _image_gradients(grad_out: Tensor, inputs: ImageScan, kept: Tensor) -> Gradients:
    job = _Image(inputs)
    grad_flat = grad_out.reshape(-1, job.channels).to(job.flat.dtype)
    grad_x = torch.zeros_like(job.flat, memory_format=torch.contiguous_format)
    grad_h, grad_A = job.A.new_zeros(job.states), torch.zeros_like(job.A)
    grads = [torch.zeros_like(each) for each in (job.x_proj, job.dt_proj, job.dt_bias, job.D)]
    grad_c = None if job.c_bias is None else torch.zeros_like(job.c_bias, memory_format=torch.contiguous_format)
    for chunk, start in zip(reversed(job.chunks), reversed(job.starts(kept)), strict=True):
        u, grad_y = job.gather(job.flat, chunk), job.gather(grad_flat, chunk)
        low, raw, B, C = job.project(u, chunk)
        grad_u, grad_raw, found_A, grad_B, grad_C, grad_h = _chunk_gradients(
            u, F.softplus(raw), job.A, B, C, start, grad_y, grad_h
        )
        grad_raw *= raw.sigmoid()
        rows = torch.cat([torch.einsum("tbkc,kcr->tbkr", grad_raw, job.dt_proj), grad_B, grad_C], dim=-1)
        grad_u = grad_u.addcmul_(job.D, grad_y) + torch.einsum("tbkp,kpc->tbkc", rows, job.x_proj)
        grad_x.index_add_(0, job.places(chunk), grad_u.view(-1, job.channels))
        grad_A += found_A
        grads[0] += torch.einsum("tbkp,tbkc->kpc", rows, u)
        grads[1] += torch.einsum("tbkc,tbkr->kcr", grad_raw, low)
        grads[2] += grad_raw.sum((0, 1))
        grads[3] += (grad_y * u).sum((0, 1))
        if grad_c is not None:
            grad_c[:, chunk] = grad_C.sum(2).movedim(0, 1)
    found = (grad_x, *grads[:3], (grad_A * job.A).mT, grads[3], grad_c)
    return tuple(
        None if grad is None or each is None else grad.reshape(each.shape).to(each.dtype, copy=True)
        for grad, each in zip(found, inputs[:LEAVES], strict=True)
    )


_scan_2d = define_keeping("chunked_scan_2d", ImageScan, _scan_image, _image_gradients, _kept_of_image)
