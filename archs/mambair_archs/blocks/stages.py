"""Stages of visual state-space blocks between changes of resolution, under the names of VM-UNet's checkpoints."""

from collections.abc import Sequence

from torch import Tensor, nn

from .patches import PatchExpand, PatchMerging
from .vss import ScanBlock


class Stage(nn.Module):
    """Blocks at one resolution, with an enlargement before them or a reduction after them."""

    def __init__(
        self,
        dim: int,
        depth: int,
        d_state: int,
        downsample: PatchMerging | None = None,
        upsample: PatchExpand | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ScanBlock(dim, d_state) for _ in range(depth))
        self.downsample = downsample
        self.upsample = upsample

    def run(self, x: Tensor) -> Tensor:
        """The blocks alone, (batch, height, width, dim) to the same shape."""
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Enlargement, blocks and reduction, whichever there are."""
        x = self.run(x if self.upsample is None else self.upsample(x))
        return x if self.downsample is None else self.downsample(x)


def encoder(dims: Sequence[int], depths: Sequence[int], d_state: int) -> nn.ModuleList:
    """Stages of which each but the last ends in a patch merging that drops odd rows and columns."""
    last = len(dims) - 1
    return nn.ModuleList(
        Stage(dim, depth, d_state, PatchMerging(dim, pad=False) if k < last else None)
        for k, (dim, depth) in enumerate(zip(dims, depths, strict=True))
    )
