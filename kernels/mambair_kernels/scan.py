"""The public scan operations: arguments are checked once here, then a backend does the work.

The recurrence is that of Mamba (arXiv 2312.00752, section 3.2, with the Euler step for B that its code uses):
``h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t`` and ``y_t = C_t . h_t + D u_t``, the state always in float32
(float64 for float64 input).
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from . import dispatch
from . import paths as scan_paths
from .layout import check
from .paths import CROSS_SCAN, Paths


def _check_type(x: Tensor) -> None:
    if not x.is_floating_point():
        raise ValueError(f"the input has type {x.dtype}, expected a floating-point type")


def _full_precision(x: Tensor) -> AbstractContextManager[object]:
    """The state and what leads to it stay in float32 under autocast, which some devices (meta) do not know."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


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
    """Selective scan of a batch of sequences.

    Args:
        u: input, (batch, groups * channels, length).
        delta: step sizes before bias and softplus, shaped like ``u``.
        A: (groups * channels, state), negative for a stable recurrence.
        B: (batch, groups, state, length); each group serves ``channels`` consecutive rows of ``u``.
        C: shaped like ``B``.
        D: skip weights, (groups * channels,).
        delta_bias: added to ``delta``, (groups * channels,).
        delta_softplus: whether ``softplus(delta + delta_bias)`` is the step size.

    Returns:
        (batch, groups * channels, length) in the type of ``u``.

    Raises:
        ValueError: shapes do not fit together or a dimension is empty.
        BackendError: the backend asked for cannot handle the tensors.
    """
    if u.dim() != 3 or B.dim() != 4 or A.dim() != 2 or 0 in u.shape:
        raise ValueError(f"expected non-empty u (b, g*c, l), A (g*c, n), B (b, g, n, l); got u {tuple(u.shape)}")
    _check_type(u)
    batch, channels, length = u.shape
    groups, state = B.shape[1], A.shape[1]
    if groups == 0 or channels % groups:
        raise ValueError(f"{channels} channels cannot be shared by {groups} groups")
    check("delta", delta, *u.shape)
    check("A", A, channels, state)
    check("B", B, batch, groups, state, length)
    check("C", C, batch, groups, state, length)
    check("D", D, channels)
    check("delta_bias", delta_bias, channels)
    backend = dispatch.select(u.device, u.dtype)
    with _full_precision(u):
        return backend.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)


def scan_2d(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    paths: Paths = CROSS_SCAN,
    c_bias: Tensor | None = None,
) -> Tensor:
    """Selective scan of an image along several paths, summed: the core of SS2D.

    Along every path the pixels are projected to step size, B and C, scanned, and added back where they came from.

    Args:
        x: channels-last image, (batch, height, width, channels).
        x_proj: (paths, rank + 2 * state, channels), giving the low-rank step, then B, then C.
        dt_proj: (paths, channels, rank).
        dt_bias: added before the softplus, (paths, channels).
        A_log: (paths * channels, state); A is ``-exp(A_log)``.
        D: skip weights, (paths * channels,).
        paths: static paths, or a permutation of the raster positions per image, int64 (batch, paths, length).
        c_bias: (batch, length, state), added to C by step of the scan (it is not permuted).

    Returns:
        (batch, height, width, channels) in the type of ``x``.

    Raises:
        ValueError: shapes do not fit together or a dimension is empty.
        BackendError: the backend asked for cannot handle the tensors.
    """
    if x.dim() != 4 or dt_proj.dim() != 3 or A_log.dim() != 2 or 0 in x.shape:
        raise ValueError(
            f"expected a non-empty x (b, h, w, c), dt_proj (k, c, r), A_log (k*c, n); got x {tuple(x.shape)}"
        )
    _check_type(x)
    batch, height, width, channels = x.shape
    directions, state, rank = scan_paths.count(paths), A_log.shape[1], dt_proj.shape[2]
    check("x_proj", x_proj, directions, rank + 2 * state, channels)
    check("dt_proj", dt_proj, directions, channels, rank)
    check("dt_bias", dt_bias, directions, channels)
    check("A_log", A_log, directions * channels, state)
    check("D", D, directions * channels)
    check("c_bias", c_bias, batch, height * width, state)
    if isinstance(paths, Tensor):
        check("paths", paths, batch, directions, height * width)
    backend = dispatch.select(x.device, x.dtype)
    with _full_precision(x):
        return backend.scan_2d(x, x_proj, dt_proj, dt_bias, A_log, D, paths, c_bias)
