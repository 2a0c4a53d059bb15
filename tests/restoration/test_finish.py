"""Resampling against the filter written out, transparency, and blending with the input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from mambair_cli.errors import UsageError
from mambair_cli.images.picture import Pixels
from mambair_cli.restoration.engine import Settings, restore
from mambair_cli.restoration.finish import blended, resized


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


def invert(x: Tensor) -> Tensor:
    return 1 - x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_moves_from_input_to_result(channels: int, dtype: type, rng: np.random.Generator) -> None:
    white = np.iinfo(dtype).max
    pixels = rng.integers(0, white, (40, 30, channels), dtype, endpoint=True)
    tiling = Settings(scale=1, channels=channels, tile=16, overlap=4)

    def at(strength: float) -> Pixels:
        return restore(pixels, blended(invert, strength), tiling)

    assert np.array_equal(at(0), pixels)
    assert np.array_equal(at(1), white - pixels)
    quarter = pixels + 0.25 * (white - 2.0 * pixels)
    assert np.abs(at(0.25) - quarter).max() <= 0.5 + 1e-6 * white


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strengths_out_of_range_are_refused(strength: float) -> None:
    with pytest.raises(UsageError, match="not between 0 and 1"):
        blended(torch.neg, strength)
