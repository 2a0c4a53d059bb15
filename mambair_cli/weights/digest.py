"""The checksum that a file of weights carries in its metadata."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

KEY = "tensors_sha256"
"""Name of the checksum in the metadata."""


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
