"""Single modules of an installed BasicSR, without importing the package, which does not import unaided."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = ("basicsr", "basicsr.utils", "basicsr.metrics")


def installed() -> bool:
    """Whether there is a BasicSR."""
    return importlib.util.find_spec("basicsr") is not None


def part(name: str) -> Any:
    """The module ``basicsr.NAME``, for example ``metrics.psnr_ssim``; what the process has loaded is left as it is.

    Raises:
        ModuleNotFoundError: BasicSR is not installed.
    """
    with _bare_packages():
        sys.modules["basicsr.utils"].bgr2ycbcr = importlib.import_module("basicsr.utils.color_util").bgr2ycbcr  # type: ignore[attr-defined]
        return importlib.import_module(f"basicsr.{name}")


@contextmanager
def _bare_packages() -> Iterator[None]:
    """Packages that have their folders, but whose ``__init__`` has not run."""
    spec = importlib.util.find_spec("basicsr")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pip install --no-build-isolation --no-deps basicsr==1.4.2")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "basicsr"}
    root = Path(spec.origin).parent
    try:
        for name in PACKAGES:
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "basicsr"]:
            del sys.modules[name]
        sys.modules.update(before)
