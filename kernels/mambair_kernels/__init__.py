"""Selective-scan operations for visual state-space networks. Knows nothing of networks."""

from .errors import BackendError, PathError
from .paths import CROSS_SCAN, Path, Paths
from .scan import scan_2d, selective_scan

__all__ = ["CROSS_SCAN", "BackendError", "Path", "PathError", "Paths", "scan_2d", "selective_scan"]
