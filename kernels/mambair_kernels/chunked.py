"""Selective scan in pure torch with bounded memory: the backend for any device without a kernel of its own.

The sequence is worked through in chunks short enough for the expanded tensors to stay in the cache; only the state
is carried from one chunk to the next. Inside a chunk everything but the recurrence itself is one operation over all
steps, and the recurrence is one fused multiply-add per step over all sequences, states and channels. The backward pass
keeps the state before every chunk and recomputes those inside, so nothing of size (batch, channels, length, state) ever
exists. Both passes are custom operations with closed-form gradients: a compiler need not unroll the chunks, and an
exported network is not bound to their number.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import paths as scan_paths
from .paths import Path, Paths
from .reference import state_dtype

CHUNK_ELEMENTS = 1 << 20
MIN_CHUNK, MAX_CHUNK = 8, 512


def available() -> tuple[bool, str]:
    """Always usable."""
    return True, "plain torch in chunks, bounded memory"


def chunk_length(elements_per_step: int) -> int:
    """Steps per chunk for ``elements_per_step`` = batch * groups * state * channels."""
    return max(MIN_CHUNK, min(MAX_CHUNK, CHUNK_ELEMENTS // max(elements_per_step, 1)))


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
    y: Tensor = _selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return y


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
    index = paths if isinstance(paths, Tensor) else None
    orders = [] if isinstance(paths, Tensor) else [scan_paths.code(path) for path in paths]
    y: Tensor = _scan_2d(x, x_proj, dt_proj, dt_bias, A_log, D, orders, index, c_bias)
    return y


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


def _starts(chunks: list[slice], load: Callable[[slice], Inputs], A: Tensor, batch: int) -> list[Tensor]:
    """State before every chunk."""
    states = [A.new_zeros(batch, *A.shape)]
    for chunk in chunks[:-1]:
        u, dt, B, _ = load(chunk)
        states.append(_expand(dt, u, A, B, states[-1])[1][-1].clone())
    return states


def _chunks(length: int, elements_per_step: int) -> list[slice]:
    step = chunk_length(elements_per_step)
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


class _Sequences:
    """Arguments of a plain scan in the type of the state, loaded chunk by chunk."""

    def __init__(
        self,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        delta_softplus: bool,
    ) -> None:
        self.dtype = dtype = state_dtype(u.dtype)
        self.groups, self.state = B.shape[1:3]
        self.u, self.delta, self.B, self.C, self.softplus = u, delta, B, C, delta_softplus
        self.A = A.to(dtype).reshape(self.groups, -1, self.state).mT.contiguous()
        self.D, self.bias = (None if each is None else each.to(dtype).view(self.groups, -1) for each in (D, delta_bias))
        self.chunks = _chunks(u.shape[2], u.shape[0] * self.A.numel())

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
        """A chunk as :data:`Inputs`."""
        raw = self.steps(chunk)
        B, C = (tensor[..., chunk].to(self.dtype).movedim(-1, 0).contiguous() for tensor in (self.B, self.C))
        return self.rows(self.u, chunk), F.softplus(raw) if self.softplus else raw, B, C


def _scan_sequences(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    job = _Sequences(u, delta, A, B, C, D, delta_bias, delta_softplus)
    out = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    h = job.A.new_zeros(len(u), *job.A.shape)
    for chunk in job.chunks:
        x, dt, b, c = job.load(chunk)
        y, h = _scan_chunk(x, dt, job.A, b, c, h)
        y = y if job.D is None else torch.addcmul(y, job.D, x)
        out[..., chunk] = y.flatten(2).movedim(0, -1)
    return out


_selective_scan = torch.library.custom_op("mambair::chunked_selective_scan", _scan_sequences, mutates_args=())


@_selective_scan.register_fake
def _(u: Tensor, *_: Any) -> Tensor:
    return torch.empty(u.shape, dtype=u.dtype, device=u.device)


def _sequence_gradients(
    grad_out: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    job = _Sequences(u, delta, A, B, C, D, delta_bias, delta_softplus)
    starts = _starts(job.chunks, job.load, job.A, len(u))
    grads = [torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in (u, delta, B, C)]
    grad_A, grad_h = torch.zeros_like(job.A), torch.zeros_like(starts[0])
    grad_D, grad_bias = job.A.new_zeros(2, job.groups, job.A.shape[2]).unbind()
    for chunk, start in zip(reversed(job.chunks), reversed(starts), strict=True):
        x, dt, b, c = job.load(chunk)
        grad_y = job.rows(grad_out, chunk)
        found_u, found_dt, found_A, found_B, found_C, grad_h = _chunk_gradients(
            x, dt, job.A, b, c, start, grad_y, grad_h
        )
        if delta_softplus:
            found_dt *= job.steps(chunk).sigmoid()
        if job.D is not None:
            found_u.addcmul_(job.D, grad_y)
        grad_A += found_A
        grad_D += (grad_y * x).sum((0, 1))
        grad_bias += found_dt.sum((0, 1))
        for grad, found in zip(grads, (found_u.flatten(2), found_dt.flatten(2), found_B, found_C), strict=True):
            grad[..., chunk] = found.movedim(0, -1)
    grad_D, grad_bias = (
        u.new_empty(0) if each is None else grad.flatten().to(each.dtype, copy=True)
        for each, grad in ((D, grad_D), (delta_bias, grad_bias))
    )
    grad_A = grad_A.mT.reshape(A.shape).to(A.dtype, copy=True)
    return grads[0], grads[1], grad_A, grads[2], grads[3], grad_D, grad_bias


_selective_scan_backward = torch.library.custom_op(
    "mambair::chunked_selective_scan_backward", _sequence_gradients, mutates_args=()
)


@_selective_scan_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    *tensors, D, delta_bias, _ = inputs
    grads = tuple(torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in tensors)
    options = (grad_out.new_empty(0) if each is None else each.new_empty(each.shape) for each in (D, delta_bias))
    return *grads, *options


def _save_sequences(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.save_for_backward(*tensors)


def _backward_sequences(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, D, delta_bias = ctx.saved_tensors
    *grads, grad_D, grad_bias = _selective_scan_backward(grad_out, *tensors, D, delta_bias, ctx.delta_softplus)
    return *grads, None if D is None else grad_D, None if delta_bias is None else grad_bias, None


_selective_scan.register_autograd(_backward_sequences, setup_context=_save_sequences)


class _Image:
    """Arguments of the scan of an image in the type of the state, gathered and projected chunk by chunk."""

    def __init__(
        self,
        x: Tensor,
        x_proj: Tensor,
        dt_proj: Tensor,
        dt_bias: Tensor,
        A_log: Tensor,
        D: Tensor,
        orders: Sequence[int],
        index: Tensor | None,
        c_bias: Tensor | None,
    ) -> None:
        self.batch, self.height, self.width, self.channels = x.shape
        self.directions, self.rank, self.state = dt_proj.shape[0], dt_proj.shape[2], A_log.shape[1]
        dtype = state_dtype(x.dtype)
        static = tuple(Path(column=bool(order & 1), reverse=bool(order & 2)) for order in orders)
        self.paths: Paths = static if index is None else index
        self.flat = x.reshape(-1, self.channels).to(dtype)
        self.x_proj, self.dt_proj, self.dt_bias = (each.to(dtype) for each in (x_proj, dt_proj, dt_bias))
        self.A = -torch.exp(A_log.to(dtype)).reshape(self.directions, self.channels, self.state).mT.contiguous()
        self.D = D.to(dtype).reshape(self.directions, self.channels)
        self.c_bias = None if c_bias is None else c_bias.to(dtype)
        self.chunks = _chunks(self.height * self.width, self.batch * self.A.numel())

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
        """A chunk as :data:`Inputs`."""
        u = self.gather(self.flat, chunk)
        _, raw, B, C = self.project(u, chunk)
        return u, F.softplus(raw), B, C


def _scan_image(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    orders: Sequence[int],
    index: Tensor | None,
    c_bias: Tensor | None,
) -> Tensor:
    job = _Image(x, x_proj, dt_proj, dt_bias, A_log, D, orders, index, c_bias)
    h = job.A.new_zeros(job.batch, *job.A.shape)
    merged = torch.zeros_like(job.flat, memory_format=torch.contiguous_format)
    for chunk in job.chunks:
        u, dt, B, C = job.load(chunk)
        y, h = _scan_chunk(u, dt, job.A, B, C, h)
        merged.index_add_(0, job.places(chunk), torch.addcmul(y, job.D, u).view(-1, job.channels))
    return merged.view(x.shape).to(x.dtype)


_scan_2d = torch.library.custom_op("mambair::chunked_scan_2d", _scan_image, mutates_args=())


@_scan_2d.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _image_gradients(
    grad_out: Tensor,
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    orders: Sequence[int],
    index: Tensor | None,
    c_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    job = _Image(x, x_proj, dt_proj, dt_bias, A_log, D, orders, index, c_bias)
    starts = _starts(job.chunks, job.load, job.A, job.batch)
    grad_flat = grad_out.reshape(-1, job.channels).to(job.flat.dtype)
    grad_x = torch.zeros_like(job.flat, memory_format=torch.contiguous_format)
    grad_h, grad_A = torch.zeros_like(starts[0]), torch.zeros_like(job.A)
    grads = [torch.zeros_like(each) for each in (job.x_proj, job.dt_proj, job.dt_bias, job.D)]
    grad_c = job.A.new_zeros(0 if c_bias is None else c_bias.shape)
    for chunk, start in zip(reversed(job.chunks), reversed(starts), strict=True):
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
        if c_bias is not None:
            grad_c[:, chunk] = grad_C.sum(2).movedim(0, 1)
    weights = (x_proj, dt_proj, dt_bias, A_log, D)
    found = (grad_x, *grads[:3], (grad_A * job.A).mT, grads[3])
    a, b, c, d, e, f = (
        grad.reshape(each.shape).to(each.dtype, copy=True) for grad, each in zip(found, (x, *weights), strict=True)
    )
    return a, b, c, d, e, f, grad_c if c_bias is None else grad_c.to(c_bias.dtype)


_scan_2d_backward = torch.library.custom_op("mambair::chunked_scan_2d_backward", _image_gradients, mutates_args=())


@_scan_2d_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    *tensors, _, _, c_bias = inputs
    grads = tuple(torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in tensors)
    missing = grad_out.new_empty(0, dtype=state_dtype(grad_out.dtype))
    return *grads, missing if c_bias is None else c_bias.new_empty(c_bias.shape)


def _save_image(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.orders, index, c_bias = inputs
    ctx.save_for_backward(*tensors, index, c_bias)


def _backward_image(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, index, c_bias = ctx.saved_tensors
    *grads, grad_c = _scan_2d_backward(grad_out, *tensors, ctx.orders, index, c_bias)
    return *grads, None, None, None if c_bias is None else grad_c


_scan_2d.register_autograd(_backward_image, setup_context=_save_image)
