"""A quick numerical check of a backend on this machine, for ``mambair doctor``."""

import torch

from . import dispatch
from .paths import CROSS_SCAN


def deviation(name: str, device: torch.device) -> float:
    """Largest absolute difference of ``scan_2d`` between backend ``name`` in float32 and the float64 reference."""
    backends = {backend.name: backend for backend in dispatch.BACKENDS}
    generator = torch.Generator().manual_seed(0)
    channels, state, rank, paths = 24, 6, 3, len(CROSS_SCAN)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    arguments = [
        draw(1, 9, 13, channels),
        draw(paths, rank + 2 * state, channels) / channels**0.5,
        draw(paths, channels, rank) / rank**0.5,
        draw(paths, channels) - 3,
        torch.log(torch.arange(1, state + 1, dtype=torch.float64)).repeat(paths * channels, 1),
        draw(paths * channels),
    ]
    exact = backends["reference"].scan_2d(*arguments, CROSS_SCAN, None)
    single = [tensor.to(device, torch.float32) for tensor in arguments]
    result = backends[name].scan_2d(*single, CROSS_SCAN, None)
    return (result.cpu().double() - exact).abs().max().item()
