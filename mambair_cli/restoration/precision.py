"""Networks in half precision, and in full where that fails."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mambair_archs import Descriptor

from ..errors import UsageError
from .engine import Network, Report

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype(precision: str) -> torch.dtype:
    """The type of activations that ``precision`` names.

    Raises:
        UsageError: there is no such precision.
    """
    if precision not in DTYPES:
        raise UsageError(f"There is no precision {precision!r}.", f"Use {', '.join(DTYPES)}.")
    return DTYPES[precision]


@dataclass
class Mixed:
    """A network under autocast: convolutions and products in half precision, scans and normalisation in full.

    When a value that is not a number comes out, the same input goes through in full precision, as does what follows.
    """

    network: Network
    precision: str
    report: Report
    failed: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """See :data:`Network`."""
        if self.failed:
            return self.network(x)
        with torch.autocast(x.device.type, dtype(self.precision)):
            y = self.network(x).float()
        if bool(y.isfinite().all()):
            return y
        self.failed = True
        del y
        self.report.notes.append(f"{self.precision} gave values that are not numbers, redone in fp32")
        return self.network(x)


def mixed(network: Network, precision: str, report: Report) -> Network:
    """``network`` in ``precision``; what happens is noted in ``report``.

    Raises:
        UsageError: there is no such precision.
    """
    return network if dtype(precision) == torch.float32 else Mixed(network, precision, report)


def precision_notes(descriptor: Descriptor, precision: str, depth: np.dtype) -> list[str]:
    """What a user should know before a picture of this depth is restored in this precision."""
    found = []
    if dtype(precision) not in descriptor.dtypes:
        found.append(f"{precision} was never tried with trained weights of this network, compare with fp32")
    if precision == "bf16" and depth != np.uint8:
        found.append("bf16 computes with 8 bits, finer steps of the picture are lost")
    return found
