"""Adapter to the CUDA kernel of mamba-ssm, for those who have it installed.

Its extension module ``selective_scan_cuda`` is called directly: importing the package ``mamba_ssm`` pulls in much that
a scan does not need. What is known of the extension is its calling convention (mamba-ssm 1.0 to 2.3)::

    fwd(u, delta, A, B, C, D, z, delta_bias, delta_softplus) -> out, x, ...
    bwd(u, delta, A, B, C, D, z, delta_bias, dout, x, out, dz, delta_softplus, recompute_out_z)
        -> du, ddelta, dA, dB, dC, dD, ddelta_bias, ...

u, delta, B and C have one type and are dense along the steps; A, D and delta_bias are float32; there are at most 256
states. ``x`` holds the state after every 2048 steps.
"""

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from . import paths as scan_paths
from .errors import BackendError
from .paths import Paths

EXTENSION = "selective_scan_cuda"
MAX_STATES = 256
CHECKPOINT = 2048  # steps between the states that the kernel keeps


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def available() -> tuple[bool, str]:
    """Whether the extension of mamba-ssm can be imported; tried once."""
    return _available()


@cache
def _available() -> tuple[bool, str]:
    try:
        _extension()
    except ImportError as error:
        return False, f"mamba-ssm's {EXTENSION} cannot be imported ({error})"
    return True, f"mamba-ssm's {EXTENSION}, directions copied out by torch"


def _extension() -> Any:
    return importlib.import_module(EXTENSION)


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
    """See :func:`mambair_kernels.selective_scan`.

    Raises:
        BackendError: more states than the kernel takes.
    """
    if A.shape[1] > MAX_STATES:
        raise BackendError(f"mamba-ssm takes up to {MAX_STATES} states, not {A.shape[1]}; choose another scan backend")
    delta, B, C = (tensor.to(u.dtype) for tensor in (delta, B, C))
    D, delta_bias = (None if tensor is None else tensor.float() for tensor in (D, delta_bias))
    y: Tensor = _selective_scan(u, delta, A.float(), B, C, D, delta_bias, delta_softplus)[0]
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
    """See :func:`mambair_kernels.scan_2d`. Projections and both permutations are torch's, in float32 as the scan.

    Raises:
        BackendError: more states than the kernel takes.
    """
    batch, height, width, channels = x.shape
    length, directions = height * width, scan_paths.count(paths)
    state, rank = A_log.shape[1], dt_proj.shape[2]
    index = scan_paths.positions(paths, height, width, 0, length, x.device)
    index = index.expand(batch, -1, -1)[:, :, None].expand(-1, -1, channels, -1)  # (batch, paths, channels, length)
    flat = x.float().flatten(1, 2).mT[:, None].expand(-1, directions, -1, -1)
    u = flat.gather(3, index)
    rows = torch.einsum("bkcl,kpc->bkpl", u, x_proj.float())
    dt, B, C = rows.split([rank, state, state], dim=2)
    delta = torch.einsum("bkrl,kcr->bkcl", dt, dt_proj.float())
    if c_bias is not None:
        C = C + c_bias.float().mT[:, None]
    y = selective_scan(
        u.flatten(1, 2), delta.flatten(1, 2), -torch.exp(A_log.float()), B, C, D, dt_bias.flatten(), True
    )  # fmt: skip
    # Back by gathering too: adding to places would be in no fixed order on a GPU.
    merged = y.view(u.shape).gather(3, index.argsort(dim=3)).sum(1)
    return merged.mT.reshape(x.shape).to(x.dtype)


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


@torch.library.custom_op("mambair::mamba_ssm_selective_scan", mutates_args=())
def _selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    u, delta, A, B, C = (tensor.contiguous() for tensor in (u, delta, A, B, C))
    out, states, *_ = _extension().fwd(u, delta, A, B, C, _dense(D), None, _dense(delta_bias), delta_softplus)
    return out, states


@_selective_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    batch, channels, length = u.shape
    chunks = (length + CHECKPOINT - 1) // CHECKPOINT
    return u.new_empty(u.shape), A.new_empty(batch, channels, chunks, 2 * A.shape[1])


@torch.library.custom_op("mambair::mamba_ssm_selective_scan_backward", mutates_args=())
def _selective_scan_backward(
    grad_out: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    states: Tensor,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    u, delta, A, B, C, grad_out = (tensor.contiguous() for tensor in (u, delta, A, B, C, grad_out))
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, *_ = _extension().bwd(
        u, delta, A, B, C, _dense(D), None, _dense(delta_bias), grad_out, states, None, None, delta_softplus, False
    )
    missing = A.new_empty(0)
    grad_D, grad_bias = missing if D is None else grad_D, missing.clone() if delta_bias is None else grad_bias
    return grad_u, grad_delta, grad_A, grad_B.to(B.dtype), grad_C.to(C.dtype), grad_D, grad_bias


@_selective_scan_backward.register_fake
def _(grad_out: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    *tensors, D, delta_bias, _, _ = inputs
    A = tensors[2]
    options = (A.new_empty(0) if tensor is None else tensor.new_empty(tensor.shape) for tensor in (D, delta_bias))
    return *(tensor.new_empty(tensor.shape) for tensor in tensors), *options


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _backward(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, D, delta_bias, states = ctx.saved_tensors
    found = _selective_scan_backward(grad_out, *tensors, D, delta_bias, states, ctx.delta_softplus)
    *grads, grad_D, grad_bias = found
    return *grads, None if D is None else grad_D, None if delta_bias is None else grad_bias, None


_selective_scan.register_autograd(_backward, setup_context=_save)
