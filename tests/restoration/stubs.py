"""Stub networks whose results do not depend on tiles, and pictures to try them on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from mambair_cli.images.picture import Pixels
from mambair_cli.restoration import prepared, tiles
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.engine import Report, Settings, restore_rows
from mambair_cli.weights.model import Model

Network = Callable[[Tensor], Tensor]


def pointwise(scale: int) -> Network:
    """Every pixel becomes a block of ``scale`` x ``scale`` pixels, scrambled; radius 0."""

    def run(x: Tensor) -> Tensor:
        big = x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        return (big * 0.75 + 0.25 * big * big).roll(1, dims=1)

    return run


def box(radius: int, scale: int) -> Network:
    """Sum over a window of ``radius`` pixels of the 8-bit values, an integer, reduced to the byte range."""

    def run(x: Tensor) -> Tensor:
        values = (x * 255).round()
        kernel = torch.arange(1.0, (2 * radius + 1) ** 2 + 1).view(1, 1, 2 * radius + 1, -1)
        total = F.conv2d(values.transpose(0, 1), kernel, padding=radius).transpose(0, 1)
        big = (total % 256 / 255).repeat_interleave(scale, 2)
        return big.repeat_interleave(scale, 3)

    return run


class RunsOutOfMemory:
    """Fails like an allocator at the tiles with these numbers."""

    def __init__(self, network: Network, at: set[int]) -> None:
        self.network, self.at, self.calls = network, at, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls in self.at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(x)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Settings, int]:
    """A picture, settings and a receptive radius that the margin covers."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    tile = draw(st.integers(max(1, max(height, width) // 12), 128))
    overlap = draw(st.integers(0, min(tile - 1, 24)))
    while (tile - overlap) * 16 < max(height, width):  # keep the number of tiles within reason
        overlap //= 2
        tile += 1
    radius = draw(st.integers(0, tiles.margin(overlap)))
    scale = draw(st.integers(1, 4))
    pixels = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)
    multiple = draw(st.sampled_from([1, 8]))
    return pixels, Settings(scale=scale, channels=3, tile=tile, overlap=overlap, multiple=multiple), radius


def restore(
    pixels: Pixels, model: Model, *, report: Report | None = None, unclipped: bool = False, **choices: Any
) -> Pixels:
    """A picture in memory."""
    return prepared.restore(pixels, model, Choices(**choices), report=report, unclipped=unclipped)


def whole(settings: Settings) -> Settings:
    return Settings(scale=settings.scale, channels=settings.channels, tile=0)


class Forward:
    """A source that can only go forward, as a file that is decoded does; it counts the rows that it has to keep."""

    def __init__(self, pixels: Pixels) -> None:
        height, width, channels = pixels.shape
        self.pixels, self.shape, self.dtype = pixels, (height, width, channels), pixels.dtype
        self.released = self.read = self.most = 0

    def rows(self, start: int, stop: int) -> Pixels:
        assert self.released <= start < stop <= self.shape[0]
        self.read = max(self.read, stop)
        self.most = max(self.most, self.read - self.released)
        return self.pixels[start:stop]

    def release(self, row: int) -> None:
        self.released = max(self.released, row)

    def restart(self) -> None:
        self.released = self.read = 0


def streamed(source: Forward, network: Network, settings: Settings, report: Report | None = None) -> Pixels:
    """All that the row-streaming form yields."""
    blocks = list(restore_rows(source, network, settings, report))
    assert {block.dtype for block in blocks} == {source.dtype}
    return np.concatenate(blocks)
