"""The published algorithm on a card without mamba-ssm: its scan in plain CUDA, with copied directions.

Directions are copied out and back and projected by torch, as VMamba (arXiv 2401.10166) does around mamba-ssm's kernel.
torch compiles the scan (benchmarks/cuda_port.cu) on the card's machine; nothing has to be installed.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_suffix(".cu")
THREADS = 128


@cache
def kernel() -> Any:
    """The compiled scan."""
    return torch.cuda._compile_kernel(SOURCE.read_text(), "selective_scan")


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor, launch: Any = None
) -> Tensor:
    """The scan with softplus of sequences, all float32.

    u and delta: (batch, channels, length); A: (channels, states); B and C: (batch, groups, states, length); D and bias:
    (channels). ``launch`` takes the place of the kernel.
    """
    y = torch.empty_like(u)
    batch, channels, length = u.shape
    sizes = [channels, B.shape[1], length, A.shape[1]]
    tensors = [each.contiguous() for each in (u, delta, A, B, C, D, bias)]
    (launch or kernel())(grid=(channels, batch, 1), block=(THREADS, 1, 1), args=[*tensors, y, *sizes])
    return y


def scan_2d(
    x: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    paths: object = None,
    c_bias: None = None,
    launch: Any = None,
) -> Tensor:
    """As :func:`mambair_kernels.scan_2d` along the four directions of the cross scan, without gradients."""
    batch, height, width, channels = x.shape
    states, rank = A_log.shape[1], dt_proj.shape[2]
    image = x.float().permute(0, 3, 1, 2)
    rows, columns = image.flatten(2), image.mT.flatten(2)
    u = torch.stack([rows, columns, rows.flip(-1), columns.flip(-1)], 1)
    dt, B, C = torch.einsum("bkcl,kpc->bkpl", u, x_proj).split([rank, states, states], 2)
    delta = torch.einsum("bkrl,kcr->bkcl", dt, dt_proj).flatten(1, 2)
    y = selective_scan(u.flatten(1, 2), delta, -A_log.exp(), B, C, D, dt_bias.flatten(), launch).view(u.shape)
    merged = y[:, 0] + y[:, 2].flip(-1)
    turned = (y[:, 1] + y[:, 3].flip(-1)).view(batch, channels, width, height).mT.flatten(2)
    return (merged + turned).mT.reshape(x.shape).to(x.dtype)
