"""Chooses the scan backend for a tensor and says why the others were passed over."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from . import chunked, mamba_ssm, reference
from .cpu import scan as cpu
from .cuda import scan as cuda
from .errors import BackendError
from .triton import scan as triton_scan

__all__ = ["BACKENDS", "VARIABLE", "Backend", "BackendError", "Verdict", "select", "verdicts"]

VARIABLE = "MAMBAIR_SCAN_BACKEND"


@dataclass(frozen=True)
class Backend:
    """One implementation of the public operations.

    ``devices`` and ``dtypes`` list what it accepts; empty means any. ``automatic`` is false for a backend that runs
    only when it is asked for by name. ``interpreted`` says whether it stands in for its devices on the CPU, which is
    for tests and happens on request only.
    """

    name: str
    module: ModuleType
    devices: frozenset[str] = frozenset()
    dtypes: frozenset[torch.dtype] = frozenset()
    automatic: bool = True
    interpreted: Callable[[], bool] = lambda: False

    @property
    def selective_scan(self) -> Callable[..., Tensor]:
        """Implementation of :func:`mambair_kernels.selective_scan`, all arguments given."""
        function: Callable[..., Tensor] = self.module.selective_scan
        return function

    @property
    def scan_2d(self) -> Callable[..., Tensor]:
        """Implementation of :func:`mambair_kernels.scan_2d`, all arguments given."""
        function: Callable[..., Tensor] = self.module.scan_2d
        return function

    def accepts(self, device: torch.device, dtype: torch.dtype) -> tuple[bool, str]:
        """Whether a tensor of this kind can be handled on this machine, and the reason."""
        usable: tuple[bool, str] = self.module.available()
        if not usable[0]:
            return usable
        devices = frozenset({"cpu"}) if self.interpreted() else self.devices
        if devices and device.type not in devices:
            return False, f"needs a tensor on {' or '.join(sorted(devices))}, not on {device.type}"
        if self.dtypes and dtype not in self.dtypes:
            return False, f"does not compute in {str(dtype).removeprefix('torch.')}"
        return usable


GPUS = frozenset({"cuda", "xpu"})
SINGLE_AND_HALF = frozenset({torch.float32, torch.bfloat16, torch.float16})

BACKENDS: tuple[Backend, ...] = (
    Backend("cpu", cpu, frozenset({"cpu"}), SINGLE_AND_HALF),
    Backend("cuda", cuda, frozenset({"cuda"}), SINGLE_AND_HALF),
    Backend("triton", triton_scan, GPUS, SINGLE_AND_HALF, interpreted=triton_scan.interpreted),
    Backend("mamba_ssm", mamba_ssm, frozenset({"cuda"}), SINGLE_AND_HALF),
    Backend("chunked", chunked),
    Backend("reference", reference, automatic=False),
)
"""All backends, the preferred first."""


@dataclass(frozen=True)
class Verdict:
    """What the dispatcher thinks of one backend: a row of ``mambair doctor``."""

    name: str
    usable: bool
    chosen: bool
    reason: str


def _eligible(backend: Backend, wanted: str | None) -> bool:
    return backend.name == wanted if wanted else backend.automatic and not backend.interpreted()


def verdicts(device: torch.device, dtype: torch.dtype = torch.float32) -> list[Verdict]:
    """Every backend with the reason why it is or is not used for such a tensor; none is if the variable is wrong."""
    wanted = os.environ.get(VARIABLE)
    rows: list[Verdict] = []
    for backend in BACKENDS:
        usable, reason = backend.accepts(device, dtype)
        chosen = usable and _eligible(backend, wanted) and not any(row.chosen for row in rows)
        if usable and wanted:
            reason += f"; {VARIABLE} asks for {'it' if chosen else wanted}"
        elif usable and not chosen:
            reason += "; a preferred backend is in use" if backend.automatic else "; only on request"
        rows.append(Verdict(backend.name, usable, chosen, reason))
    return rows


def select(device: torch.device, dtype: torch.dtype = torch.float32) -> Backend:
    """The backend for such a tensor: the one named by ``MAMBAIR_SCAN_BACKEND``, else the first that accepts it.

    Raises:
        BackendError: the variable names an unknown backend or one that cannot handle the tensor.
    """
    wanted = os.environ.get(VARIABLE)
    for backend in BACKENDS:
        if not wanted and backend.devices and device.type not in backend.devices:
            continue  # before anything is asked: every fused layer comes here
        if _eligible(backend, wanted):
            usable, reason = backend.accepts(device, dtype)
            if usable:
                return backend
            if wanted:
                raise BackendError(f"{VARIABLE}={wanted} cannot be used: {reason}")
    names = ", ".join(backend.name for backend in BACKENDS)
    raise BackendError(f"{VARIABLE}={wanted} is not a scan backend; choose one of {names} or unset the variable")
