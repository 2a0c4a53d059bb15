"""The scan of an image in CUDA: device code (scan.cu), launches, and the operations themselves (scan)."""
