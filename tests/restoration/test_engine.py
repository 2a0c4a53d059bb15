"""The exactness contract: tiled equals whole, bit for bit, also after memory ran out at any tile."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_cli.errors import NumericalError, OutOfMemoryError, UsageError
from mambair_cli.restoration import memory, tiles
from mambair_cli.restoration.engine import Report, Settings, fitting, restore

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


def whole(settings: Settings) -> Settings:
    return Settings(scale=settings.scale, channels=settings.channels, tile=0)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_tiled_equals_whole(case: tuple[np.ndarray, Settings, int]) -> None:
    pixels, tiling, radius = case
    for network in (pointwise(tiling.scale), box(radius, tiling.scale)):
        expected = restore(pixels, network, whole(tiling))
        assert np.array_equal(restore(pixels, network, tiling), expected)


@settings(max_examples=60, deadline=None)
@given(cases(), st.sets(st.integers(1, 40), min_size=1, max_size=3))
def test_tiled_equals_whole_after_memory_ran_out_at_tile_k(
    case: tuple[np.ndarray, Settings, int], at: set[int]
) -> None:
    pixels, tiling, radius = case
    for network in (pointwise(tiling.scale), box(radius, tiling.scale)):
        expected = restore(pixels, network, whole(tiling))
        failing, report = RunsOutOfMemory(network, at), Report()
        try:
            found = restore(pixels, failing, tiling, report)
        except OutOfMemoryError:
            edge = report.tile
            assert tiles.smaller(edge, tiling.overlap) is None
            continue
        assert np.array_equal(found, expected)
        assert len(report.retries) == len([k for k in at if k <= failing.calls])


def test_the_stubs_can_tell_a_wrong_margin(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    tiling = Settings(scale=1, channels=3, tile=32, overlap=8)
    network = box(tiles.margin(8) + 1, 1)
    assert not np.array_equal(restore(pixels, network, tiling), restore(pixels, network, whole(tiling)))


@pytest.mark.parametrize("k", range(1, 17))
def test_memory_runs_out_once_at_every_tile_of_a_plan(k: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 65536, (100, 90, 1), np.uint16)
    tiling = Settings(scale=2, channels=3, tile=32, overlap=12)
    expected = restore(pixels, pointwise(2), whole(tiling))
    report = Report()
    assert np.array_equal(restore(pixels, RunsOutOfMemory(pointwise(2), {k}), tiling, report), expected)
    assert report.tile == 24
    assert report.retries == ["memory ran out with tiles of 32 pixels, going on with 24"]


def test_a_whole_image_that_does_not_fit_goes_on_with_tiles(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (50, 70, 3), np.uint8)
    report = Report()
    found = restore(pixels, RunsOutOfMemory(pointwise(1), {1}), Settings(scale=1, channels=3, tile=0), report)
    assert np.array_equal(found, restore(pixels, pointwise(1), Settings(scale=1, channels=3, tile=0)))
    assert (report.tile, report.tiles) == (64, 2)


def test_memory_that_never_suffices_is_an_error_with_a_hint() -> None:
    def never(x: Tensor) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(OutOfMemoryError, match="even with tiles of 1 pixels"):
        restore(np.zeros((9, 9, 3), np.uint8), never, Settings(scale=1, channels=3, tile=8))


def test_other_failures_are_not_taken_for_memory() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        restore(np.zeros((9, 9, 3), np.uint8), broken, Settings(scale=1, channels=3, tile=8))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(NumericalError):
        restore(np.zeros((9, 9, 3), np.uint8), lambda x: x + value, Settings(scale=1, channels=3, tile=8))


@pytest.mark.parametrize(("tile", "overlap"), [(-1, 0), (8, -1), (8, 8), (8, 9)])
def test_settings_that_make_no_sense(tile: int, overlap: int) -> None:
    with pytest.raises(UsageError):
        Settings(scale=1, channels=3, tile=tile, overlap=overlap)


def test_progress_counts_to_the_announced_total() -> None:
    seen: list[tuple[int, int]] = []
    pixels = np.zeros((60, 100, 3), np.uint8)
    tiling = Settings(scale=1, channels=3, tile=32, overlap=4)
    restore(pixels, pointwise(1), tiling, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 8) for k in range(1, 9)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("seen", [1, 3])
def test_an_identity_network_gives_every_kind_of_picture_back(
    dtype: type[np.generic], channels: int, seen: int, rng: np.random.Generator
) -> None:
    pixels = (rng.random((9, 7, channels)) * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)  # type: ignore[type-var]
    found = restore(pixels, lambda x: x, Settings(scale=1, channels=seen, tile=4, overlap=2))
    assert found.dtype == pixels.dtype
    if channels in (2, 4):  # colours behind full transparency are made up
        found, pixels = found * (pixels[:, :, -1:] > 0), pixels * (pixels[:, :, -1:] > 0)
    np.testing.assert_allclose(found, pixels, rtol=0, atol=1e-6 if dtype is np.float32 else 0)


def test_a_luminance_network_keeps_the_chroma(rng: np.random.Generator) -> None:
    pixels = rng.random((6, 5, 3), dtype=np.float32) * 0.5 + 0.2
    found = restore(pixels, lambda x: x + 0.1, Settings(scale=1, channels=1, tile=0))
    np.testing.assert_allclose(found, pixels + 0.1, atol=1e-6)


def test_the_estimate_steps_down_only_when_memory_is_short() -> None:
    per_pixel, mebi = 1000, 1 << 20
    tiled, untiled = (Settings(scale=1, channels=3, tile=tile, overlap=32) for tile in (256, 0))
    large = (1000, 1000)
    around = memory.RESERVE + 8 * 1000 * 1000  # what does not depend on the tile: reserve and result

    def enough(edge: int) -> int:
        return around + edge * edge * per_pixel + 24 * edge * 1000

    assert fitting(large, tiled, enough(256), per_pixel) == 256
    assert fitting(large, tiled, enough(256) - 1, per_pixel) == 192
    assert fitting(large, untiled, enough(1000), per_pixel) == 0
    assert fitting(large, untiled, enough(1000) - 1, per_pixel) == 768
    assert fitting(large, tiled, 0, per_pixel) == 48
    # Only pixels that exist count: a band of 100 x 8000 is not a square of 8000.
    assert fitting((100, 8000), untiled, memory.RESERVE + 800 * mebi, per_pixel) == 0


def test_tiles_meet_in_a_ramp() -> None:
    # Each call answers with a constant of its own, so the result shows the weights.
    calls = iter(np.linspace(0, 1, 3))

    def constant(x: Tensor) -> Tensor:
        return torch.full_like(x, float(next(calls)))

    pixels = np.zeros((4, 32 + 2 * 16, 3), np.float32)
    row = restore(pixels, constant, Settings(scale=1, channels=3, tile=32, overlap=16))[0, :, 0]
    assert np.all(np.diff(row) >= 0)
    ramp = row[(row > 0) & (row < 0.5)]
    np.testing.assert_allclose(ramp, 0.5 * np.arange(1, 9) / 9, rtol=1e-6)


def test_enlarged_float_alpha_stays_in_range() -> None:
    pixels = np.zeros((8, 8, 4), np.float32)
    pixels[:, 4:, 3] = 1
    found = restore(pixels, pointwise(2), Settings(scale=2, channels=3, tile=0))[:, :, 3]
    assert (found.min(), found.max()) == (0, 1)
