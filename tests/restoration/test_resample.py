"""Resampling against the filter written out and against Pillow, with transparency, however the rows come."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mambair_cli.images.picture import Pixels
from mambair_cli.restoration.resample import resampled, resized


def lanczos(length: int, wanted: int) -> NDArray[np.float64]:
    """The matrix of one axis: sinc(x) sinc(x / 3) around each centre, widened when shrinking, normalised."""
    widening = max(1.0, length / wanted)
    centres = (np.arange(wanted) + 0.5) * length / wanted
    x = (np.arange(length) + 0.5 - centres[:, None]) / widening
    weights: NDArray[np.float64] = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3]))
def test_it_is_lanczos_filter(height: int, width: int, high: int, wide: int, channels: int) -> None:
    pixels = np.random.default_rng(height).random((height, width, channels), np.float32)
    expected = np.einsum("ij,jkc,lk->ilc", lanczos(height, high), pixels, lanczos(width, wide))
    np.testing.assert_allclose(resized(pixels, (high, wide)), np.clip(expected, 0, 1), rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_rounded_once(dtype: type, rng: np.random.Generator) -> None:
    white = np.iinfo(dtype).max
    pixels = rng.integers(0, white, (24, 31, 3), dtype, endpoint=True)
    expected = np.einsum("ij,jkc,lk->ilc", lanczos(24, 17), pixels.astype(float), lanczos(31, 40))
    found = resized(pixels, (17, 40))
    assert found.dtype == dtype
    assert np.abs(found - np.clip(expected, 0, white)).max() < 0.51 + white * 1e-6


def test_what_is_finer_than_the_new_grid_becomes_gray() -> None:
    stripes = np.zeros((60, 60, 1), np.uint8)
    stripes[:, ::2] = 200
    small = resized(stripes, (20, 20))
    assert np.abs(small[:, 3:-3].astype(int) - 100).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("size", [(20, 26), (45, 50)])
def test_transparent_pixels_do_not_colour_their_neighbours(dtype: type, channels: int, size: tuple[int, int]) -> None:
    white = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels: Pixels = np.zeros((32, 32, channels), dtype)
    pixels[:, :16, :-1] = white  # white to be seen, black not
    pixels[:, :16, -1] = white
    found = resized(pixels, size)
    visible = found[:, :, -1] > white / 100
    assert 0.3 < visible.mean() < 0.7
    assert found[visible][:, :-1].min() >= white * 0.99
    assert found[:, -1].max() == 0


def test_the_same_size_is_the_same_picture(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (9, 7, 4), np.uint8)
    assert np.array_equal(resized(pixels, (9, 7)), pixels)


def by_pillow(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Every channel at once, without transparency."""
    white = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    planes = [Image.fromarray(plane.astype(np.float32) / np.float32(white)) for plane in np.moveaxis(pixels, 2, 0)]
    made = np.stack([np.asarray(plane.resize(size[::-1], Image.Resampling.LANCZOS)) for plane in planes], axis=2)
    made = made.clip(0, 1)
    return made if pixels.dtype == np.float32 else np.rint(made * np.float32(white)).astype(pixels.dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(40, 61), (300, 61), (201, 20), (201, 61), (1, 1), (999, 130)])
def test_integers_are_those_of_pillow(dtype: type, size: tuple[int, int], rng: np.random.Generator) -> None:
    pixels = rng.integers(0, np.iinfo(dtype).max, (201, 61, 3), dtype, endpoint=True)
    assert np.array_equal(resized(pixels, size), by_pillow(pixels, size))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=6), st.integers(1, 400), st.integers(1, 30), st.booleans())
def test_blocks_do_not_matter(counts: list[int], high: int, wide: int, alpha: bool) -> None:
    rng = np.random.default_rng(high)
    pixels = rng.random((sum(counts), 17, 4 if alpha else 3), np.float32)
    blocks = np.split(pixels, np.cumsum(counts)[:-1])
    found = list(resampled(blocks, (sum(counts), 17), (high, wide)))
    assert np.array_equal(np.concatenate(found), resized(pixels, (high, wide)))


def test_few_rows_are_kept() -> None:
    """Of a picture that grows, hardly more rows are read than those that are out need."""
    read = 0

    def rows() -> Iterator[Pixels]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield np.zeros((1, 5, 3), np.uint8)

    out = 0
    for block in resampled(rows(), (1000, 5), (1500, 5)):
        out += len(block)
        assert read <= out / 1.5 + 4
    assert (read, out) == (1000, 1500)
