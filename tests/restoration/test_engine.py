"""The exactness contract: tiled equals whole, bit for bit, also after memory ran out at any tile."""

import mmap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_cli.errors import NumericalError, OutOfMemoryError, UsageError
from mambair_cli.images import planes, transparency
from mambair_cli.restoration import memory, tiles
from mambair_cli.restoration.engine import Report, Settings, fitting, restore
from tests.restoration.stubs import Forward, RunsOutOfMemory, box, cases, pointwise, streamed, whole


@settings(max_examples=60, deadline=None)
@given(cases())
def test_tiled_equals_whole(case: tuple[np.ndarray, Settings, int]) -> None:
    pixels, tiling, radius = case
    for network in (pointwise(tiling.scale), box(radius, tiling.scale)):
        expected = restore(pixels, network, whole(tiling))
        assert np.array_equal(restore(pixels, network, tiling), expected)
        assert np.array_equal(streamed(Forward(pixels), network, tiling), expected)


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
            found = streamed(Forward(pixels), failing, tiling, report)
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


@pytest.mark.parametrize(("channels", "seen"), [(1, 1), (2, 3), (3, 1), (4, 3)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_streamed_rows_equal_the_picture_in_memory(
    channels: int, seen: int, scale: int, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 65536, (150, 40, channels), np.uint16)
    tiling = Settings(scale=scale, channels=seen, tile=32, overlap=8, multiple=8)
    expected = restore(pixels, pointwise(scale), whole(tiling))
    assert np.array_equal(streamed(Forward(pixels), pointwise(scale), tiling), expected)
    assert np.array_equal(streamed(Forward(pixels), RunsOutOfMemory(pointwise(scale), {7}), tiling), expected)


def test_few_rows_of_a_tall_picture_are_kept() -> None:
    kept = []
    for height in (1000, 4000):
        source = Forward(np.zeros((height, 20, 4), np.uint8))
        streamed(source, pointwise(2), Settings(scale=2, channels=3, tile=64, overlap=16))
        kept.append(source.most)
    assert kept[0] == kept[1] <= 64 + 64 + 16 + 2 * transparency.REACH


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_alpha_is_enlarged_as_in_one_piece(scale: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (200, 30, 4), np.uint8)
    found = restore(pixels, pointwise(scale), Settings(scale=scale, channels=3, tile=50, overlap=8))
    whole_plane = planes.enlarge(pixels[:, :, 3:], scale)
    assert np.abs(found[:, :, 3:].astype(int) - whole_plane).max() <= 1


def test_the_peak_of_memory_is_that_of_this_picture() -> None:
    def hungry(x: Tensor) -> Tensor:
        with mmap.mmap(-1, 240 << 20) as room:  # given back at once, which freed tensors need not be
            room.write(b"\1" * len(room))
        return x

    pixels, reports = np.zeros((8, 8, 3), np.uint8), [Report(), Report(), Report()]
    for network, report in zip((pointwise(1), hungry, pointwise(1)), reports, strict=True):
        restore(pixels, network, Settings(scale=1, channels=3, tile=0), report)
    calm, high, calm_again = (report.peak_memory >> 20 for report in reports)
    assert high - calm >= 200
    if memory.FORGET.exists():  # elsewhere it is the peak of the whole life
        assert high - calm_again >= 200
