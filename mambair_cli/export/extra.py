"""Optional packages that exports need, in one sentence where they are missing."""

import importlib
import importlib.util
from typing import Any

from ..errors import MambairError

EXTRAS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "hub": ("huggingface_hub",), "spandrel": ("spandrel",)}
"""Packages of each extra, by what is imported."""


def available(extra: str) -> bool:
    """Whether all packages of an extra are installed."""
    return all(importlib.util.find_spec(name) for name in EXTRAS[extra])


def load(extra: str, module: str) -> Any:
    """A module of an extra.

    Raises:
        MambairError: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load ({error})"
        raise MambairError(f"{package} {reason}.", f"Run pip install 'mambair[{extra}]'.") from None
