"""A stand-in for mamba-ssm's extension ``selective_scan_cuda`` with its signature, checks and results, on the CPU."""

from types import ModuleType

import torch
from torch import Tensor

from mambair_kernels import chunked
from mambair_kernels.operations import SequenceScan

Optional = Tensor | None


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional, delta_bias: Optional) -> None:
    batch, dim, length = u.shape
    groups, state = B.shape[1], A.shape[1]
    assert u.dtype in (torch.float32, torch.float16, torch.bfloat16)
    assert u.dtype == delta.dtype == B.dtype == C.dtype
    assert A.dtype == torch.float32
    assert all(each is None or (each.dtype == torch.float32 and each.shape == (dim,)) for each in (D, delta_bias))
    assert state <= 256
    assert dim % groups == 0
    assert delta.shape == u.shape
    assert B.shape == C.shape == (batch, groups, state, length)
    assert all(each.stride(-1) == 1 or each.shape[-1] == 1 for each in (u, delta, B, C))


def fwd(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional, z: Optional, delta_bias: Optional,
    delta_softplus: bool,
) -> list[Tensor]:  # fmt: skip
    """Output, and the states that the backward pass wants back; ``z`` is not used here."""
    assert z is None
    _check(u, delta, A, B, C, D, delta_bias)
    out, _ = chunked._scan_sequences(SequenceScan(u, delta, A, B, C, D, delta_bias, delta_softplus), False)
    chunks = -(-u.shape[2] // 2048)
    return [out, torch.full((*u.shape[:2], chunks, 2 * A.shape[1]), 7.0)]


def bwd(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Optional, z: Optional, delta_bias: Optional,
    dout: Tensor, x: Optional, out: Optional, dz: Optional, delta_softplus: bool, recompute_out_z: bool,
) -> list[Tensor | None]:  # fmt: skip
    """Gradients; those of B and C in float32, those of what is not given None."""
    assert z is out is dz is None
    assert not recompute_out_z
    assert x is not None
    assert (x == 7).all()
    assert dout.shape == u.shape
    assert dout.stride(-1) == 1 or dout.shape[-1] == 1
    _check(u, delta, A, B, C, D, delta_bias)
    inputs = SequenceScan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    found = chunked._sequence_gradients(dout, inputs, torch.empty(0))
    return [None if each is None else each.float() if i in (3, 4) else each for i, each in enumerate(found)]


def extension() -> ModuleType:
    """The module to put in place of ``selective_scan_cuda``."""
    module = ModuleType("selective_scan_cuda")
    module.__dict__.update(fwd=fwd, bwd=bwd)
    return module
