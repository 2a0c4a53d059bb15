"""Backend ``triton_tiled``: as ``triton``, on the kernels that came first, which have run on a card."""

from ..scan import availability, interpreted, operations
from . import launch

__all__ = ["available", "interpreted", "scan_2d", "selective_scan"]

scan_2d, selective_scan = operations("triton_tiled", launch)
available = availability(launch)
