"""Python objects that trainers save beside tensors: settings, paths, dates, scores.

None of them is made: an object that does nothing takes the place of each, so that nothing but torch's own code for
tensors runs. Classes of which a network itself may consist are not among them.
"""

from collections.abc import Callable
from typing import Any, BinaryIO

import torch

STANDARD = {"argparse", "collections", "datetime", "decimal", "enum", "pathlib", "types", "typing", "uuid"}
INSTALLED = {"addict", "easydict", "lightning", "lightning_fabric", "ml_collections", "numpy", "omegaconf", "yacs"}
ROOTS = {*STANDARD, *INSTALLED, "pytorch_lightning"}
"""Packages of settings and of bookkeeping."""

PLAIN = (bool, bytes, dict, float, int, list, object, set, str, tuple)
TYPES = {f"builtins.{kind.__name__}" for kind in PLAIN}


class Bystander:
    """In the place of an object that is not needed; takes any arguments and any state."""

    def __new__(cls, *_: Any, **__: Any) -> "Bystander":
        """One that knows nothing."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget it."""


def _mapping(*_: Any) -> dict[Any, Any]:
    """In the place of a ``defaultdict``, which can hold tensors."""
    return {}


def bystanders(file: BinaryIO) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What stands for each such class in a checkpoint of torch, for ``torch.serialization.safe_globals``."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except ValueError:  # the format before zip, which torch cannot look into
        return []
    finally:
        file.seek(0)
    known = [name for name in names if name in TYPES or name.partition(".")[0] in ROOTS]
    return [(_mapping if name == "collections.defaultdict" else Bystander, name) for name in known]
