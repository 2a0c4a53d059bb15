"""nnMamba's blocks (arXiv 2402.03526), in two and three dimensions, on (batch, channels, ...)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dimensions import Dimensions, batch_norm, conv
from .mamba import Mamba


class MICCSS(nn.Module):
    """Mamba in convolutions with channel-spatial siamese input.

    One Mamba reads the tokens four times: as they are, with channels reversed, with tokens reversed, and both; the mean
    is added to its input. 1x1 convolutions with batch norm stand before and after. ``siamese`` False reads them once.
    """

    def __init__(self, dimensions: Dimensions, dim: int, d_state: int = 16, siamese: bool = True) -> None:
        super().__init__()
        self.nin = conv(dimensions, dim, dim, 1, bias=False)
        self.norm = batch_norm(dimensions, dim)
        self.mamba = Mamba(dim, d_state)
        self.nin2 = conv(dimensions, dim, dim, 1, bias=False)
        self.norm2 = batch_norm(dimensions, dim)
        self.flips: tuple[list[int], ...] = ([], [2], [1], [1, 2]) if siamese else ([],)

    def macs_per_pixel(self, inside: float) -> float:
        """Mamba is run once per flip."""
        return inside + (len(self.flips) - 1) * self.mamba.macs_per_token()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, dim, ...) to the same shape."""
        shape = x.shape
        x = F.relu(self.norm(self.nin(x)))
        tokens = x.flatten(2).mT
        every = torch.cat([tokens.flip(axes) for axes in self.flips])  # one batch: one pass over the weights
        scanned = self.mamba(every).chunk(len(self.flips))
        mean = torch.stack([y.flip(axes) for y, axes in zip(scanned, self.flips, strict=True)]).mean(0)
        x = (tokens + mean).mT.reshape(shape)
        out: Tensor = F.relu(self.norm2(self.nin2(x)))
        return out


class ResMambaBlock(nn.Module):
    """Two convolutions with batch norm and a shortcut; with ``mamba_layer``, its result is added as well.

    The published networks share one layer among the blocks of a stage, whose tensors are then listed in each.
    """

    def __init__(
        self, dimensions: Dimensions, in_channels: int, channels: int, stride: int, mamba_layer: MICCSS | None
    ) -> None:
        super().__init__()
        self.conv1 = conv(dimensions, in_channels, channels, 3, stride, bias=False)
        self.bn1 = batch_norm(dimensions, channels)
        self.conv2 = conv(dimensions, channels, channels, 3, bias=False)
        self.bn2 = batch_norm(dimensions, channels)
        self.downsample = (
            nn.Sequential(
                conv(dimensions, in_channels, channels, 1, stride, bias=False), batch_norm(dimensions, channels)
            )
            if stride > 1 or in_channels != channels
            else None
        )
        self.mamba_layer = mamba_layer

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, ...) to (batch, channels, ...), divided by the stride."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.mamba_layer is not None:
            y = y + self.mamba_layer(x)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def res_mamba_stage(
    dimensions: Dimensions, in_channels: int, channels: int, blocks: int, with_mamba: bool = True
) -> nn.Sequential:
    """A strided block without Mamba, then blocks that share one MICCSS layer."""
    shared = MICCSS(dimensions, channels) if with_mamba and blocks > 1 else None
    first = ResMambaBlock(dimensions, in_channels, channels, 2, None)
    rest = (ResMambaBlock(dimensions, channels, channels, 1, shared) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
