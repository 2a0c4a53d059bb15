"""The network with whose speed others are compared."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

YARDSTICK = "EDSR-baseline x4"


class EDSRBaseline(nn.Module):
    """EDSR-baseline x4 (arXiv 1707.02921) in stock torch layers: 16 residual blocks of 64 channels."""

    def __init__(self) -> None:
        super().__init__()

        def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
            return nn.Conv2d(channels_in, channels_out, 3, padding=1)

        self.head = conv(3, 64)
        self.blocks = nn.ModuleList(nn.Sequential(conv(64, 64), nn.ReLU(), conv(64, 64)) for _ in range(16))
        self.body_end = conv(64, 64)
        self.tail = nn.Sequential(conv(64, 256), nn.PixelShuffle(2), conv(64, 256), nn.PixelShuffle(2), conv(64, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, h, w) to (batch, 3, 4 h, 4 w)."""
        shallow = x = self.head(x)
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.tail(self.body_end(x) + shallow)
        return out


def edsr_baseline(device: torch.device) -> Callable[[Tensor], Tensor]:
    """EDSR-baseline of its initialisation, in the memory format in which torch runs it fastest."""
    network = EDSRBaseline().eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda x: network(x.contiguous(memory_format=torch.channels_last))
