"""A network that is ready to run, and where it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from mambair_archs import Descriptor

from ..errors import DeviceError

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Kinds of devices that can be asked for by name."""


@dataclass(frozen=True)
class Model:
    """A loaded network.

    Attributes:
        name: name in the catalogue, else the file's name.
        task: what it was trained for, or None if the file does not say.
        architecture: name of the network.
        descriptor: what inference has to know about the network.
        autocast: whether torch can run it in half precision.
    """

    name: str
    path: Path
    task: str | None
    architecture: str
    descriptor: Descriptor
    network: nn.Module
    device: torch.device
    autocast: bool = True

    from_pretrained: ClassVar[Callable[..., "Model"]]
    """:func:`.loader.from_pretrained`, which the loader puts here: it stands above this module."""


def resolve_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ... as a device that is there.

    Raises:
        DeviceError: it is not there, or the name is not one.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    try:
        if kind not in DEVICES:
            raise RuntimeError("not a device to compute on")
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise DeviceError(
            f"The device {name or 'without a name'} is not available here.", "Use --device auto or cpu."
        ) from None
    return device
