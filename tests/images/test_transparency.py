"""Colours behind transparency: edges without fringes, in a few rows of memory."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mambair_cli.images import planes, transparency
from mambair_cli.images.transparency import RADII, REACH, solid, straight
from mambair_cli.restoration.engine import Settings, restore

from .foreign import Pixels


def disc(dtype: type[np.generic], channels: int, hidden: float) -> Pixels:
    """A bright disc with a soft edge on something else that is fully transparent."""
    y, x = np.mgrid[-30:30, -40:40]
    alpha = np.clip(20 - np.hypot(y, x), 0, 1)
    white = planes.white(np.zeros(1, dtype))
    colours = np.where(alpha[:, :, None] > 0, 0.8 * white, hidden * white) * np.ones(channels)
    return np.concatenate([colours, alpha[:, :, None] * white], axis=2).astype(dtype)


def bicubic(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bicubic")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("hidden", [0, 0.25])
def test_enlarged_edges_have_no_fringe(dtype: type[np.generic], channels: int, hidden: float) -> None:
    picture = disc(dtype, channels, hidden)
    found = restore(picture, bicubic, Settings(scale=2, channels=3, tile=0))
    seen = found[..., -1] > 0
    assert seen.mean() > 0.2
    bright = float(picture[30, 40, 0])
    assert np.abs(found[seen][:, :-1].astype(float) - bright).max() <= bright * 1e-2
    plain = bicubic(torch.from_numpy(picture[None, :, :, 0].astype(np.float32))[None])[0, 0].numpy()
    assert plain[seen].min() < bright * 0.7  # what it would be without


def slow(pixels: Pixels) -> Pixels:
    """The definition, pixel by pixel."""
    out = pixels[:, :, :-1].copy()
    visible = pixels[:, :, -1] > 0
    for y, x in np.argwhere(~visible):
        for radius in RADII:
            square = np.s_[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
            if visible[square].any():
                out[y, x] = np.rint(pixels[square][visible[square]][:, :-1].astype(float).mean(axis=0))
                break
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("band", [1, 2400, 1 << 19])
def test_hidden_pixels_are_means_of_the_smallest_square(
    dtype: type[np.unsignedinteger], band: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transparency, "BAND", band)
    pixels = rng.integers(0, np.iinfo(dtype).max, (150, 40, 4), dtype)
    pixels[:, :, 3] *= rng.random((150, 40)) > 0.99
    pixels[70:, :, 3] = 0
    assert np.array_equal(solid(pixels), slow(pixels))


def test_what_is_visible_and_what_is_far_away_stays(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (90, 9, 4), np.uint8)
    pixels[1:, :, 3] = 0
    pixels[0, :, 3] = 1
    found = solid(pixels)
    assert np.array_equal(found[0], pixels[0, :, :3])
    assert np.array_equal(found[REACH + 1 :], pixels[REACH + 1 :, :, :3])
    assert (found[1 : REACH + 1] != pixels[1 : REACH + 1, :, :3]).any(axis=(1, 2)).all()


def test_any_cut_with_its_surroundings_gives_the_same(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 65536, (200, 30, 4), np.uint16)
    pixels[:, :, 3] *= rng.random((200, 30)) > 0.998
    whole = solid(pixels)
    for first, last in [(0, 50), (50, 117), (117, 200)]:
        top = max(first - REACH, 0)
        assert np.array_equal(solid(pixels[top : last + REACH])[first - top :][: last - first], whole[first:last])


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_copied_where_nothing_is_hidden(channels: int) -> None:
    opaque = np.ones((5, 6, channels), np.uint8)
    assert solid(opaque) is opaque
    assert np.shares_memory(solid(picture := np.ones((5, 6, channels + 1), np.uint8)), picture)


def test_memory_is_that_of_the_result_and_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transparency, "BAND", 1 << 14)
    beyond = []
    for height in (2000, 8000):
        pixels = np.zeros((height, 200, 4), np.uint8)
        pixels[::50] = 255
        tracemalloc.start()
        solid(pixels)
        beyond.append(tracemalloc.get_traced_memory()[1] - height * 200 * (3 + 1))  # the result and what is visible
        tracemalloc.stop()
    assert beyond[1] < 1.1 * beyond[0]


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_straight_undoes_the_multiplication(
    dtype: type[np.generic], white: int, channels: int, rng: np.random.Generator
) -> None:
    alpha = np.array([0, 0.25, 0.5, 1])[None, :, None] * white
    colours = rng.random((5, 4, channels)) * white
    stored = np.concatenate([colours * alpha / white, np.broadcast_to(alpha, (5, 4, 1))], axis=2)
    stored = (np.rint(stored) if white > 1 else stored).astype(dtype)
    found = straight(stored)
    assert found.dtype == dtype
    assert (found[:, 0] == 0).all()
    assert np.abs(found[:, 1:, :-1] - colours[:, 1:]).max() <= (3 if white > 1 else 1e-6)
    assert np.array_equal(found[:, :, -1:], stored[:, :, -1:])


def test_values_brighter_than_their_alpha_are_white() -> None:
    assert straight(np.array([[[200, 100]]], np.uint8)).tolist() == [[[255, 100]]]
