"""Scans in Triton: device code (kernels, gradient), launches, and the operations themselves (scan)."""
