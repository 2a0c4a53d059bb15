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
from .constant import constant
from .errors import BackendError
from .operations import (
    LEAVES,
    Gradients,
    ImageScan,
    SequenceScan,
    define_keeping,
    dense,
    single,
    takes_image,
    takes_sequences,
)

EXTENSION = "selective_scan_cuda"
MAX_STATES = 256
CHECKPOINT = 2048  # steps between the states that the kernel keeps


@constant
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


@takes_sequences
def selective_scan(inputs: SequenceScan) -> Tensor:
    """See :func:`mambair_kernels.selective_scan`.

    Raises:
        BackendError: more states than the kernel takes.
    """
    u, delta, A, B, C, D, delta_bias, delta_softplus = inputs
    if A.shape[1] > MAX_STATES:
        raise BackendError(f"mamba-ssm takes up to {MAX_STATES} states, not {A.shape[1]}; choose another scan backend")
    delta, B, C = (tensor.to(u.dtype) for tensor in (delta, B, C))
    return _selective_scan(SequenceScan._make([u, delta, A.float(), B, C, *single(D, delta_bias), delta_softplus]))


@takes_image
def scan_2d(inputs: ImageScan) -> Tensor:
    """See :func:`mambair_kernels.scan_2d`. Projections and both permutations are torch's, in float32 as the scan.

    Raises:
        BackendError: more states than the kernel takes.
    """
    x, paths = inputs.x, inputs.paths
    x_proj, dt_proj, dt_bias, A_log, D, c_bias = single(*inputs[1:LEAVES])
    batch, height, width, channels = x.shape
    length, directions = height * width, scan_paths.count(paths)
    state, rank = A_log.shape[1], dt_proj.shape[2]
    index = scan_paths.positions(paths, height, width, 0, length, x.device)
    index = index.expand(batch, -1, -1)[:, :, None].expand(-1, -1, channels, -1)  # (batch, paths, channels, length)
    flat = x.float().flatten(1, 2).mT[:, None].expand(-1, directions, -1, -1)
    u = flat.gather(3, index)
    rows = torch.einsum("bkcl,kpc->bkpl", u, x_proj)
    dt, B, C = rows.split([rank, state, state], dim=2)
    delta = torch.einsum("bkrl,kcr->bkcl", dt, dt_proj)
    if c_bias is not None:
        C = C + c_bias.mT[:, None]
    y = selective_scan(u.flatten(1, 2), delta.flatten(1, 2), -torch.exp(A_log), B, C, D, dt_bias.flatten(), True)
    # Back by gathering too: adding to places would be in no fixed order on a GPU.
    merged = y.view(u.shape).gather(3, index.argsort(dim=3)).sum(1)
    return merged.mT.reshape(x.shape).to(x.dtype)


def _scan(inputs: SequenceScan, keep: bool) -> tuple[Tensor, Tensor]:
    u, delta, A, B, C, D, delta_bias = dense(*inputs[:LEAVES])
    out, states, *_ = _extension().fwd(u, delta, A, B, C, D, None, delta_bias, inputs.delta_softplus)
    return out, states if keep else states.new_empty(0)


def _kept(inputs: SequenceScan, keep: bool) -> Tensor:
    batch, channels, length = inputs.u.shape
    chunks = (length + CHECKPOINT - 1) // CHECKPOINT
    shape = (batch, channels, chunks, 2 * inputs.A.shape[1])
    return inputs.A.new_empty(shape if keep else 0)


def _scan_backward(grad_out: Tensor, inputs: SequenceScan, states: Tensor) -> Gradients:
    u, delta, A, B, C, D, delta_bias = dense(*inputs[:LEAVES])
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, *_ = _extension().bwd(
        u, delta, A, B, C, D, None, delta_bias, grad_out.contiguous(), states, None, None, inputs.delta_softplus, False
    )
    return grad_u, grad_delta, grad_A, grad_B.to(B.dtype), grad_C.to(C.dtype), grad_D, grad_bias


_selective_scan = define_keeping("mamba_ssm_selective_scan", SequenceScan, _scan, _scan_backward, _kept)
