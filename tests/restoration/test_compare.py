"""Pictures side by side: where things are, and what becomes of gray, depth and transparency."""

import numpy as np
import pytest

from mambair_cli.images.picture import Pixels
from mambair_cli.restoration.compare import GAP, PANEL, PAPER, SMALLEST, TEXT, ZOOM, side_by_side

STRIP = 2 * TEXT + GAP


def halves(sheet: Pixels) -> tuple[Pixels, Pixels]:
    """Each with the gap on its left."""
    width = (sheet.shape[1] - GAP) // 2
    return sheet[:, :width], sheet[:, width : 2 * width]


def textured(height: int, width: int, corner: tuple[int, int], dtype: type = np.uint8) -> Pixels:
    """Gray, but for a square of 60 pixels full of noise."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    top, left = corner
    pixels[top : top + 60, left : left + 60] = np.random.default_rng(0).integers(0, 256, (60, 60, 3))
    return (pixels.astype(dtype) * 257).astype(dtype) if dtype is np.uint16 else pixels


def test_both_halves_show_label_overview_and_the_richest_part() -> None:
    after = textured(200, 240, (100, 150))
    before = np.full_like(after, 90)
    sheet = side_by_side(before, after)
    left, right = halves(sheet)
    assert left.shape == right.shape
    assert sheet.shape == (2 * TEXT + GAP + 200 + GAP + 200 + GAP, 3 * GAP + 2 * 240, 3)
    for half in (left, right):
        assert np.ptp(half[: 2 * TEXT]) > 150  # bright text on dark ground
    overview = right[STRIP : STRIP + 200, GAP : GAP + 240]
    assert (overview != after).any(axis=2).mean() < 0.01  # but for the frame
    crop = right[STRIP + 200 + GAP :][:200, GAP : GAP + 240]
    part = crop[::ZOOM, ::ZOOM]
    places = [
        (top, column)
        for top in range(200 - 50)
        for column in range(240 - 60)
        if np.array_equal(after[top : top + 50, column : column + 60], part)
    ]
    assert len(places) == 1  # unframed, and nowhere else
    assert 100 <= places[0][0] <= 110
    assert 148 <= places[0][1] <= 152
    assert np.array_equal(crop, part.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1))
    assert (left[STRIP + 200 + GAP :][:200, GAP : GAP + 240] == 90).all()


def test_the_input_is_enlarged_to_the_result() -> None:
    after = textured(160, 200, (50, 60))
    sheet = side_by_side(np.full((40, 50, 3), 77, np.uint8), after)
    left, _ = halves(sheet)
    assert (left[STRIP : STRIP + 160, GAP : GAP + 200] == 77).all(axis=2).mean() > 0.97


def test_large_pictures_are_reduced_and_their_part_is_not() -> None:
    after = textured(1500, 2400, (1010, 2210))
    sheet = side_by_side(after, after)
    left, right = halves(sheet)
    assert sheet.shape[1] == 3 * GAP + 2 * PANEL
    assert sheet.shape[0] < 2 * PANEL
    crop = right[STRIP + 600 + GAP :][:600:ZOOM, GAP : GAP + PANEL : ZOOM]
    assert crop.shape == (150, 240, 3)
    noisy = (crop != 128).any(axis=2)
    assert noisy.sum() == pytest.approx(60 * 60, rel=0.01)  # all of it
    assert np.array_equal(left[STRIP:], right[STRIP:])


def test_depth_does_not_matter() -> None:
    bytes_ = textured(120, 200, (20, 30))
    words = textured(120, 200, (20, 30), np.uint16)
    floats = bytes_.astype(np.float32) / 255
    expected = side_by_side(bytes_, bytes_)
    assert expected.dtype == np.uint8
    assert np.array_equal(side_by_side(words, words), expected)
    assert np.array_equal(side_by_side(floats, floats), expected)


def test_gray_stays_gray_and_goes_with_colour() -> None:
    colour = textured(120, 200, (20, 30))
    gray = colour[:, :, :1]
    assert side_by_side(gray, gray).shape[2] == 1
    mixed = side_by_side(gray, colour)
    assert mixed.shape[2] == 3


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_shows_a_chessboard(channels: int) -> None:
    pixels = np.full((160, 200, channels), 255, np.uint8)
    pixels[:, 100:, -1] = 0
    sheet = side_by_side(pixels, pixels)
    assert sheet.shape[2] == channels - 1
    overview = halves(sheet)[0][STRIP : STRIP + 160, GAP : GAP + 200]
    assert set(np.unique(overview[60:, 110:]).tolist()) - {0, 255} == {102, 153}
    assert (overview[120:, :90] == 255).mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (700, 1), (3, 4000), (4000, 5), (16, 16)])
def test_any_size(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    sheet = side_by_side(pixels, pixels)
    assert sheet.shape[1] >= 3 * GAP + 2 * SMALLEST
    assert max(sheet.shape) <= 2 * PANEL + 3 * GAP + 2 * TEXT + GAP
    assert (sheet[:, :GAP] == PAPER).all()
