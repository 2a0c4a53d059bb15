"""The frozen published scan as a backend of the dispatcher, so that whole networks can run on it."""

from types import ModuleType

from torch import Tensor

from benchmarks import published_scan
from mambair_kernels import Paths, dispatch


def available() -> tuple[bool, str]:
    """Always usable."""
    return True, "the published pure-torch reference"


def selective_scan(*arguments: Tensor | bool | None) -> Tensor:
    """See :func:`mambair_kernels.selective_scan`."""
    return published_scan.selective_scan(*arguments)  # type: ignore[arg-type]


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
    """See :func:`mambair_kernels.scan_2d`; one path per image is what MambaIRv2 uses."""
    if not isinstance(paths, Tensor):
        return published_scan.cross_scan_core(x, x_proj, dt_proj, dt_bias, A_log, D)
    flat, order = x.flatten(1, 2), paths[:, 0, :, None].expand(-1, -1, x.shape[3])
    state, rank = A_log.shape[1], dt_proj.shape[2]
    u = flat.gather(1, order)
    dt, B, C = (u @ x_proj[0].T).split([rank, state, state], dim=-1)
    C = C if c_bias is None else C + c_bias
    delta = (dt @ dt_proj[0].T).mT.contiguous()
    y = published_scan.selective_scan(
        u.mT.contiguous(), delta, -A_log.exp(), B.mT[:, None], C.mT[:, None], D, dt_bias[0], True
    )
    return flat.new_zeros(flat.shape).scatter(1, order, y.mT).view_as(x)


def register() -> None:
    """Let ``MAMBAIR_SCAN_BACKEND=published`` choose it."""
    module = ModuleType("published")
    module.__dict__.update(available=available, selective_scan=selective_scan, scan_2d=scan_2d)
    dispatch.BACKENDS = (*dispatch.BACKENDS, dispatch.Backend("published", module, automatic=False))
