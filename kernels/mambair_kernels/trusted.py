"""Checks of kernels on a card, made once for each card, driver, compiler and version of the kernels."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from . import kept
from .cuda import driver


def deviation(what: str, device: torch.device, check: Callable[[], float], tolerance: float) -> float:
    """What ``check`` finds, or what it found before under the same circumstances if that was below ``tolerance``.

    Raises:
        Exception: whatever ``check`` raises.
    """
    under = circumstances(device)
    if under is None:
        return check()
    name = kept.name("deviation", what, *under)
    before = kept.read(name)
    if before is not None:
        return float(before)
    found = check()
    if found < tolerance:
        kept.write(name, repr(found).encode())
    return found


def circumstances(device: torch.device) -> tuple[str, ...] | None:
    """All that the result of a check depends on; None where it is not known, so that nothing may be remembered."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    try:
        import triton

        versions = torch.__version__, triton.__version__, driver.compiler_version(), driver.version()
    except (ImportError, OSError, driver.CompilationError):
        return None
    capability = "{}.{}".format(*torch.cuda.get_device_capability(device))
    return _source(), *versions, torch.cuda.get_device_name(device), capability


@cache
def _source() -> str:
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.rglob("*.py"), *here.rglob("*.cu")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
